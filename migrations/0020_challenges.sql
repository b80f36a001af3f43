-- What has to come back another way: one row each. Its token stays with whoever asked, its code goes the other way, such as by mail. No
-- half is in here, only what recognises them.
create table challenges (
    id         uuid primary key,
    -- SHA-256 of the token: 256 random bits.
    token_hash bytea not null unique,
    -- A MAC, under APP_SECRET, of token_hash and the code. A hash would not do: eight digits are soon tried. Null: no code was sent, so
    -- none is right.
    code_mac   bytea,
    -- What it is good for, and the way its code goes.
    purpose    text not null,
    method     text not null,
    -- Whose account. For an address that nobody has, a made-up one: the row is like any other. Null: an account that is yet to begin. No
    -- foreign key: looking the user up once more would tell, by time, who has an account.
    user_id    uuid,
    -- The user's password_version when it was asked for: any change of what proves the account ends it.
    version    integer,
    -- Set: good for this login only.
    login_id   uuid,
    -- What is to be kept until then, sealed under APP_SECRET: a new address, a new account.
    state      bytea,
    tries      smallint not null default 0,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    -- Set once: the right code came.
    used_at    timestamptz
);

create index challenges_expires_at on challenges (expires_at);

-- How many codes may be tried.
create function most_code_tries() returns integer language sql immutable set search_path = dualauth, pg_temp
    as 'select 5';

-- Tries a code, given as its MACs under each secret in use: counts, compares and uses the challenge up in one statement, so that of many
-- at once one succeeds, and no more are counted than may be. A wrong one counts as a failure of its network at the account, whatever the
-- challenge, as a wrong password does; with no address it does not. No row: there is no such challenge, or it is over.
create function redeem_challenge(of_token bytea, code_macs bytea[], for_purpose text, for_login uuid, from_address text, at timestamptz)
    returns table (is_right boolean, user_id uuid, version integer)
    language plpgsql set search_path = dualauth, pg_temp as $$
begin
    update challenges c
        set tries = c.tries + 1, used_at = case when c.code_mac = any (code_macs) then at end
        where c.token_hash = of_token and c.purpose = for_purpose and c.login_id is not distinct from for_login
          and c.used_at is null and c.expires_at > at and c.tries < most_code_tries()
        returning c.used_at is not null, c.user_id, c.version into is_right, user_id, version;
    if not found then
        return;
    end if;
    if not is_right and user_id is not null and from_address is not null then
        perform count_try(user_id, null, from_address, at);
    end if;
    return next;
end $$;

-- When a code that resets a password may be tried next. Null: now. What others have failed keeps nobody from it: a reset is what opens an
-- account that was closed by guessing. Whoever has failed too often themselves waits.
create function next_reset_try_at(of_user uuid, from_address text, at timestamptz) returns timestamptz
    language sql stable set search_path = dualauth, pg_temp as $$
    select waits_until from guesses g, unnest(g.networks)
        where g.account = uuid_send(of_user) and network = network_of(from_address) and waits_until > at
$$;
