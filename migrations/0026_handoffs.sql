-- A login that is presented in two modes: one session id, and one chain of refresh tokens. Each has a generation and a history
-- of its own, so that a refresh in one mode is none in the other.

-- One-time codes by which a login is presented in the other mode as well.
create table handoffs (
    -- SHA-256 of the code: 256 random bits need neither salt nor stretching.
    code_hash  bytea primary key,
    login_id   uuid not null references logins on delete cascade,
    -- How the login was proved when the code was made. One from before a step-up is worth what was proved before it: nothing any more.
    auth_time  timestamptz not null,
    aal        smallint not null,
    expires_at timestamptz not null
);

-- Whoever deletes a login looks for its codes.
create index handoffs_login_id on handoffs (login_id);
create index handoffs_expires_at on handoffs (expires_at);

-- Whether a mode has a credential of the login that can be renewed. A step-up in one mode takes it from the other: of a login that was
-- presented in both, the own mode's is then missing if one of the hashes is.
create function is_presented_in(login logins, in_mode text) returns boolean language sql immutable parallel safe
    set search_path = dualauth, pg_temp as $$
    select case when login.mode <> in_mode then login.other_generation is not null
                else login.other_generation is null or login.handle_hash is not null and login.refresh_hash is not null end
$$;

-- The generation of a mode's credential, and when those before it were replaced.
create function presented_generation(login logins, in_mode text) returns integer language sql immutable parallel safe
    set search_path = dualauth, pg_temp as $$
    select case when login.mode = in_mode then login.generation else coalesce(login.other_generation, 0) end
$$;
create function presented_replaced_at(login logins, in_mode text) returns timestamptz[] language sql immutable parallel safe
    set search_path = dualauth, pg_temp as $$
    select case when login.mode = in_mode then login.replaced_at else coalesce(login.other_replaced_at, '{}') end
$$;
