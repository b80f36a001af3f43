-- Passkeys and security keys (Web Authentication Level 3), one row for each credential.
create table passkeys (
    id              uuid primary key,
    user_id         uuid not null references users on delete cascade,
    -- Nobody else's (section 7.1, step 26). At most 1,023 bytes.
    credential_id   bytea not null unique check (length(credential_id) between 1 and 1023),
    -- A COSE_Key (RFC 9052).
    public_key      bytea not null,
    algorithm       integer not null check (algorithm in (-8, -7, -257)),
    -- passkey: verifies the user, so both factors. security_key: a second factor.
    kind            text not null check (kind in ('passkey', 'security_key')),
    name            text not null,
    -- What the authenticator counted at the last use. 0: it does not count.
    sign_count      bigint not null check (sign_count between 0 and 4294967295),
    -- Whether it may be copied to other devices: never changes. And whether it was at the last use.
    backup_eligible boolean not null,
    backed_up       boolean not null check (backup_eligible or not backed_up),
    transports      text[] not null,
    aaguid          uuid not null,
    -- Under another relying party id (PASSKEY_RP_ID) no browser offers it.
    rp_id           text not null,
    created_at      timestamptz not null,
    last_used_at    timestamptz
);

create index passkeys_user_id on passkeys (user_id);

-- Redeems a challenge with a passkey: uses it up if the authenticator's counter can be taken, which finds copies of a credential (section 7.2,
-- step 22). The devices that share a synced one don't share a counter: theirs may be lower, and the higher one is kept. Of many answers at
-- once, on any node, one succeeds. The caller has verified the signature. No row: there is no such challenge, or it is over.
create function redeem_passkey(of_token bytea, for_purpose text, for_login uuid, of_passkey uuid, counted bigint, is_copied boolean,
    at timestamptz)
    returns table (is_counted boolean, user_id uuid, version integer)
    language plpgsql set search_path = dualauth, pg_temp as $$
declare
    pending challenges;
begin
    select c.* into pending from challenges c
        where c.token_hash = of_token and c.purpose = for_purpose and c.method in ('passkey', 'second_factor', 'link')
          and c.login_id is not distinct from for_login
          and c.used_at is null and c.expires_at > at and c.tries < most_code_tries() for update;
    if not found then
        return;
    end if;
    select u.id, u.password_version into user_id, version from users u
        where u.id = (select p.user_id from passkeys p where p.id = of_passkey) and u.id = coalesce(pending.user_id, u.id)
          and u.password_version = coalesce(pending.version, u.password_version) and u.disabled_at is null for share;
    if not found then
        return;
    end if;
    update passkeys p
        set sign_count = greatest(p.sign_count, counted), backed_up = is_copied, last_used_at = at
        where p.id = of_passkey and (p.sign_count < counted or counted = 0 and p.sign_count = 0 or p.backup_eligible);
    is_counted := found;
    -- Removed meanwhile.
    if not is_counted and not exists (select from passkeys p where p.id = of_passkey) then
        return;
    end if;
    if is_counted then
        update challenges c set used_at = at where c.id = pending.id;
    end if;
    return next;
end $$;

-- Uses up a proof that was checked before, in the statement that begins or raises a login by it: if one of the two fails, neither happens.
-- False: it was used meanwhile, or the account has changed. A null purpose: there is nothing to use up, as with a password. `of_login`: the
-- login that the proof is to raise. The mail tells of a used recovery code.
create function use_checked_proof(for_purpose text, of_user uuid, of_login uuid, of_token bytea, totp_step bigint, recovery_hash bytea,
    of_passkey uuid, counted bigint, is_copied boolean, from_address text, mail_id uuid, mail_content bytea, mail_expires_at timestamptz,
    at timestamptz)
    returns boolean language plpgsql set search_path = dualauth, pg_temp as $$
declare
    proved text;
begin
    if for_purpose is null then
        return true;
    elsif of_passkey is not null then
        return coalesce((select r.is_counted
            from redeem_passkey(of_token, for_purpose, of_login, of_passkey, counted, is_copied, at) r), false);
    elsif of_token is not null then
        select r.method into proved
            from redeem_second_factor(of_token, for_purpose, totp_step, recovery_hash, from_address, at) r;
    else
        proved := use_second_factor(of_user, totp_step, recovery_hash, at);
    end if;
    if proved = 'rc' then
        perform queue_mail(mail_id, mail_content, mail_expires_at, at);
    end if;
    return proved is not null;
end $$;

-- Counts an answer that was refused: at its challenge, and, where the challenge is of an account, as a failure of its network there, as a wrong
-- code is; with no address it is not.
create function count_refused_passkey(of_token bytea, for_purpose text, from_address text, at timestamptz) returns void
    language plpgsql set search_path = dualauth, pg_temp as $$
declare
    of_user uuid;
begin
    update challenges c set tries = c.tries + 1
        where c.token_hash = of_token and c.purpose = for_purpose and c.used_at is null and c.tries < most_code_tries()
        returning c.user_id into of_user;
    if of_user is not null and from_address is not null then
        perform count_try(of_user, null, from_address, at);
    end if;
end $$;

-- What an enrolled factor changes beside its own row: the first second factor turns two-step sign-in on, for which there are recovery codes,
-- and ends every other login. The login that enrolled it has proved it. Whether it was the first.
create function note_enrolled_factor(of_user uuid, by_login uuid, is_second_factor boolean, code_hashes bytea[], login_amr text[],
    login_aal smallint, login_auth_time timestamptz, mail_id uuid, mail_content bytea, mail_expires_at timestamptz, at timestamptz)
    returns boolean language plpgsql set search_path = dualauth, pg_temp as $$
declare
    is_first boolean;
begin
    update users set two_step = true where id = of_user and is_second_factor and not two_step;
    is_first := found;
    update logins l
        set amr = l.amr || array(select name from unnest(login_amr) as name where name <> all (l.amr)),
            aal = greatest(l.aal, login_aal), auth_time = greatest(l.auth_time, login_auth_time)
        where l.id = by_login and l.user_id = of_user and l.ended_at is null;
    if is_first then
        insert into recovery_codes (user_id, hash) select of_user, hash from unnest(code_hashes) as hash;
        perform end_logins(of_user, by_login, at);
    end if;
    perform queue_mail(mail_id, mail_content, mail_expires_at, at);
    return is_first;
end $$;

-- Sets the forgotten password of an account whose proofs are still of this version, which proves its address, and ends every login.
-- False: the account has changed, or has no password.
create function reset_password(of_user uuid, of_version integer, new_hash text, mail_id uuid, mail_content bytea,
    mail_expires_at timestamptz, at timestamptz)
    returns boolean language plpgsql set search_path = dualauth, pg_temp as $$
begin
    update users
        set password_hash = new_hash, password_version = password_version + 1, email_verified_at = coalesce(email_verified_at, at)
        where id = of_user and password_version = of_version and coalesce(password_hash, '!') <> '!' and disabled_at is null;
    if not found then
        return false;
    end if;
    perform end_logins(of_user, null, at);
    perform queue_mail(mail_id, mail_content, mail_expires_at, at);
    return true;
end $$;

-- Removes a factor of an account, unless it has to stay, and ends every other login and every challenge. Without a TOTP or a security key
-- two-step sign-in is off, and the recovery codes are gone. Says what it was; null: there is no such factor. In steps, after the account's
-- row is locked: of two removals at once, the second sees what the first has left.
create function remove_factor(of_user uuid, of_factor uuid, kept uuid, today_rp_id text, codes_sign_in boolean, today_providers text[],
    second_factor_required boolean, at timestamptz, out factor text, out is_removed boolean)
    language plpgsql set search_path = dualauth, pg_temp as $$
declare
    has_second_factor boolean;
begin
    is_removed := false;
    if not may_change_factors(of_user, kept) then
        return;
    end if;
    select 'totp' into factor from totp where user_id = of_user and id = of_factor
        union all select kind from passkeys where user_id = of_user and id = of_factor
        union all select 'provider' from identities where user_id = of_user and id = of_factor;
    if factor is null
        or not may_remove_factor(of_user, false, of_factor, today_rp_id, codes_sign_in, today_providers, second_factor_required) then
        return;
    end if;
    delete from totp where user_id = of_user and id = of_factor;
    delete from passkeys where user_id = of_user and id = of_factor;
    delete from identities where user_id = of_user and id = of_factor;
    has_second_factor := exists (select from totp where user_id = of_user)
        or exists (select from passkeys where user_id = of_user and kind = 'security_key');
    if not has_second_factor then
        delete from recovery_codes where user_id = of_user;
    end if;
    update users set two_step = has_second_factor, password_version = password_version + 1 where id = of_user;
    perform end_logins(of_user, kept, at);
    is_removed := true;
end $$;

-- Removes every factor of an account but its password and its identities at providers, which nobody loses with a device, turns two-step sign-in off, and ends every challenge and every proof from before.
-- False: there was nothing to remove. Statement by statement: once it has the account's row, it sees what an enrolment has stored while it
-- waited for the row.
create function reset_factors(of_user uuid) returns boolean language plpgsql set search_path = dualauth, pg_temp as $$
declare
    had_any boolean;
begin
    select two_step into had_any from users where id = of_user for update;
    delete from totp where user_id = of_user;
    had_any := had_any or found;
    delete from passkeys where user_id = of_user;
    had_any := had_any or found;
    delete from recovery_codes where user_id = of_user;
    had_any := had_any or found;
    update users set two_step = false, password_version = password_version + 1 where id = of_user and had_any;
    return had_any;
end $$;

-- Whether a factor may be removed: the password, or else the one with this id. What is left must open the account: a password, a passkey
-- under today's relying party id, one of today's providers, or a code by mail to a proved address. A second factor alone opens nothing. Where one is
-- asked for at each sign-in, or has to be there, one that is good today must be left, too. Volatile, so that whoever has locked the user sees what was removed meanwhile.
create function may_remove_factor(of_user uuid, password boolean, factor uuid, today_rp_id text, codes_sign_in boolean,
        today_providers text[], second_factor_required boolean) returns boolean
    language plpgsql set search_path = dualauth, pg_temp as $$
declare
    opens boolean;
    has_two_step boolean;
    has_usable_second_factor boolean;
begin
    opens := exists (select from users u
                where u.id = of_user
                  and (not password and coalesce(u.password_hash, '!') <> '!'
                       or codes_sign_in and u.email_verified_at is not null))
          or exists (select from passkeys p
                where p.user_id = of_user and p.id is distinct from factor and p.kind = 'passkey' and p.rp_id = today_rp_id)
          or exists (select from identities i
                where i.user_id = of_user and i.id is distinct from factor and i.provider = any (today_providers));
    has_two_step := exists (select from totp t where t.user_id = of_user and t.id is distinct from factor)
        or exists (select from passkeys p where p.user_id = of_user and p.id is distinct from factor and p.kind = 'security_key');
    has_usable_second_factor := exists (select from totp t where t.user_id = of_user and t.id is distinct from factor)
        or exists (select from passkeys p where p.user_id = of_user and p.id is distinct from factor and p.rp_id = today_rp_id);
    return opens and (not has_two_step or has_usable_second_factor)
        and (password or not second_factor_required or has_usable_second_factor);
end $$;

-- Whether a code by mail is all by which the owner of an account can authenticate again: there is neither a password nor a factor, but a
-- proved address. A passkey under another relying party id is of no use, nor is a provider that is none of those that tell when somebody has
-- authenticated.
create function has_only_mail(of_user uuid, today_rp_id text, step_up_providers text[]) returns boolean
    language plpgsql stable set search_path = dualauth, pg_temp as $$
begin
    return exists (select from users u
        where u.id = of_user and coalesce(u.password_hash, '!') = '!' and not u.two_step and u.email_verified_at is not null
          and not exists (select from passkeys p where p.user_id = u.id and p.rp_id = today_rp_id)
          and not exists (select from identities i where i.user_id = u.id and i.provider = any (step_up_providers)));
end $$;
