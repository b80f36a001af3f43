-- Second factors: authenticators that show codes (TOTP, RFC 6238), and recovery codes for when they are lost. Only additions with constant
-- defaults; but versions that know of no second factor are not to start any more once an account has one.
alter table users
    -- Whether each login of the account takes two factors. A column, so that a login that begins while it is turned on sees it once it
    -- has the row.
    add column two_step boolean not null default false;

create table totp (
    user_id      uuid primary key references users (id) on delete cascade,
    id           uuid not null unique,
    -- Sealed under APP_SECRET.
    secret       bytea not null,
    -- The time step of the last code that was accepted: none up to it is accepted again (RFC 6238, section 5.2).
    last_step    bigint not null,
    name         text not null,
    created_at   timestamptz not null,
    last_used_at timestamptz
);

create table recovery_codes (
    user_id uuid not null references users (id) on delete cascade,
    -- SHA-256: 120 random bits need neither salt nor stretching.
    hash    bytea not null,
    used_at timestamptz,
    primary key (user_id, hash)
);

-- A version that signs an account in by the password alone is not to start any more once there is one with two steps
-- (docs/decisions/0017). By the owner of the table: whoever serves may not write it.
create function note_two_step_account() returns trigger language plpgsql security definer
    set search_path = dualauth, pg_temp as $$
begin
    update compatibility set oldest_version = '0.3.0'
        where string_to_array(split_part(oldest_version, '-', 1), '.')::integer[] < '{0,3,0}'::integer[];
    return null;
end $$;

create trigger user_with_two_step after insert or update of two_step on users for each row
    when (new.two_step) execute function note_two_step_account();

-- Such a version that runs on begins no login of such an account: it knows of no aal, whose default is 1.
create function refuse_login_below_aal2() returns trigger language plpgsql set search_path = dualauth, pg_temp as $$
begin
    if exists (select from users where id = new.user_id and two_step) then
        raise exception 'the account has two-step sign-in: this version signs nobody in by one factor' using errcode = 'restrict_violation';
    end if;
    return new;
end $$;

create trigger login_below_aal2 before insert on logins for each row
    when (new.aal < 2) execute function refuse_login_below_aal2();

-- Queues a mail, if there is one.
create function queue_mail(id uuid, content bytea, expires_at timestamptz, at timestamptz) returns void language sql
    set search_path = dualauth, pg_temp as $$
    insert into mails (id, content, created_at, send_at, expires_at)
        select queue_mail.id, queue_mail.content, at, at, queue_mail.expires_at where queue_mail.id is not null
$$;

-- Which second factor a code of an account is of that could be used now, as `amr` names it; null: none.
create function second_factor_of(of_user uuid, totp_step bigint, recovery_hash bytea) returns text language sql stable
    set search_path = dualauth, pg_temp as $$
    select case when exists (select from totp where user_id = of_user and last_step < totp_step) then 'otp'
                when exists (select from recovery_codes where user_id = of_user and hash = recovery_hash and used_at is null) then 'rc' end
$$;

-- Uses up a code of an account's second factors: the time step that a TOTP is of, or the hash of a recovery code. Of many at once, on any
-- node, one succeeds. Says which it was, as `amr` does; null: neither.
create function use_second_factor(of_user uuid, totp_step bigint, recovery_hash bytea, at timestamptz) returns text
    language plpgsql set search_path = dualauth, pg_temp as $$
begin
    update totp set last_step = totp_step, last_used_at = at where user_id = of_user and last_step < totp_step;
    if found then
        return 'otp';
    end if;
    update recovery_codes set used_at = at where user_id = of_user and hash = recovery_hash and used_at is null;
    if found then
        return 'rc';
    end if;
    return null;
end $$;

-- Tries a code of a second factor at a challenge that waits for one, as `redeem_challenge` does with a code by mail: counts, compares and
-- uses up in one statement. The challenge is over once the account's proofs have changed. No row: there is no such challenge, or it is over.
create function redeem_second_factor(of_token bytea, for_purpose text, totp_step bigint, recovery_hash bytea, from_address text, at timestamptz)
    returns table (method text, user_id uuid, version integer)
    language plpgsql set search_path = dualauth, pg_temp as $$
declare
    pending challenges;
    -- Not the column of that name.
    proved text;
begin
    select c.* into pending from challenges c
        where c.token_hash = of_token and c.purpose = for_purpose and c.method = 'second_factor'
          and c.used_at is null and c.expires_at > at and c.tries < most_code_tries() for update;
    if not found then
        return;
    end if;
    -- Not shared: a reset changes the row in the same statement, and two of them must not wait for each other.
    perform from users u
        where u.id = pending.user_id and u.password_version = pending.version and u.disabled_at is null
        for no key update;
    if not found then
        return;
    end if;
    user_id := pending.user_id;
    version := pending.version;
    proved := use_second_factor(pending.user_id, totp_step, recovery_hash, at);
    method := proved;
    update challenges c set tries = c.tries + 1, used_at = case when proved is not null then at end where c.id = pending.id;
    if proved is null then
        perform count_try(user_id, null, from_address, at);
    end if;
    return next;
end $$;

-- Tries a code by mail that resets a password, as `redeem_challenge` does. With two-step sign-in a right one is one factor of two: the
-- challenge lives on then, and waits for the second (`pending_id`, `pending_until`), which has tries of its own.
create function redeem_reset(of_token bytea, code_macs bytea[], from_address text, at timestamptz)
    returns table (is_right boolean, user_id uuid, version integer, pending_id uuid, pending_until timestamptz)
    language plpgsql set search_path = dualauth, pg_temp as $$
declare
    has_two_step boolean;
begin
    perform from challenges c
        where c.token_hash = of_token and c.purpose = 'reset_password' and c.method = 'email' for update;
    if not found then
        return;
    end if;
    select r.is_right, r.user_id, r.version into is_right, user_id, version
        from redeem_challenge(of_token, code_macs, 'reset_password', null, from_address, at) r;
    if not found then
        return;
    end if;
    if is_right then
        -- Waits for whoever turns two-step sign-in on, and sees it.
        select u.two_step into has_two_step from users u
            where u.id = redeem_reset.user_id and u.password_version = redeem_reset.version and u.disabled_at is null
            for no key update;
        if has_two_step then
            update challenges c set used_at = null, method = 'second_factor', code_mac = null, tries = 0
                where c.token_hash = of_token returning c.id, c.expires_at into pending_id, pending_until;
        end if;
    end if;
    return next;
end $$;

-- Locks the account's row, and says whether this login may change what the account is proved by: it is live, and of both factors where
-- the account has two-step sign-in. Whoever asked before the lock may have been told what was true then. Statement by statement, so that
-- it sees what was committed while it waited.
create function may_change_factors(of_user uuid, by_login uuid) returns boolean language plpgsql
    set search_path = dualauth, pg_temp as $$
begin
    perform from users where id = of_user for update;
    return exists (select from logins l join users u on u.id = l.user_id
        where l.id = by_login and l.user_id = of_user and l.ended_at is null and u.disabled_at is null
          and (l.aal >= 2 or not u.two_step));
end $$;
