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

-- Removes every factor of an account but its password, turns two-step sign-in off, and ends every challenge and every proof from before.
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
-- under today's relying party id, or a code by mail to a proved address. A second factor alone opens nothing. Where a second factor is
-- required, one must be left, too. Volatile, so that whoever has locked the user sees what was removed meanwhile.
create function may_remove_factor(of_user uuid, password boolean, factor uuid, today_rp_id text, codes_sign_in boolean,
        second_factor_required boolean) returns boolean
    language plpgsql set search_path = dualauth, pg_temp as $$
declare
    opens boolean;
begin
    opens := exists (select from users u
                where u.id = of_user
                  and (not password and coalesce(u.password_hash, '!') <> '!'
                       or codes_sign_in and u.email_verified_at is not null))
          or exists (select from passkeys p
                where p.user_id = of_user and p.id is distinct from factor and p.kind = 'passkey' and p.rp_id = today_rp_id);
    return opens and (password or not second_factor_required
        or exists (select from totp t where t.user_id = of_user and t.id is distinct from factor)
        or exists (select from passkeys p where p.user_id = of_user and p.id is distinct from factor and p.rp_id = today_rp_id));
end $$;
