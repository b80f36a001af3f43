-- One row is one sign-in on one device, whatever the mode it presents itself in.
create table logins (
    id              uuid primary key,
    user_id         uuid not null references users (id) on delete cascade,
    -- No check constraint on mode: another mode is another folder of code, not a migration of this table.
    mode            text not null,
    transport       text not null check (transport in ('cookie', 'bearer')),
    remember_me     boolean not null,
    device_name     text,
    address         text not null,
    user_agent      text not null,
    created_at      timestamptz not null,
    last_seen_at    timestamptz not null,
    -- The login lives until the earlier of these two, or until it is ended.
    idle_expires_at timestamptz not null,
    expires_at      timestamptz not null,
    ended_at        timestamptz,
    -- SHA-256 of the opaque handle, in the modes that look one up. The handle itself is never stored.
    handle_hash     bytea unique,
    -- How often the credential was renewed: the counter that refresh tokens are derived from.
    generation      integer not null default 0,
    -- When it was renewed last: the grace of the previous refresh token runs from here.
    renewed_at      timestamptz not null
);

create index logins_user_id on logins (user_id) where ended_at is null;
