-- One-time and temporary access that registered clients define for themselves: an invitation, a download.
create table custom_tokens (
    id         uuid primary key,
    -- SHA-256 of the token: 256 random bits need neither salt nor stretching.
    token_hash bytea not null unique,
    -- The client that made it, and the only one that may redeem or delete it.
    client_id  uuid not null references clients on delete cascade,
    purpose    text not null,
    user_id    uuid references users on delete cascade,
    -- Not jsonb: that would sort members, drop repeated ones and write numbers anew, and nobody searches in it.
    data       json,
    uses_left  integer not null check (uses_left >= 0),
    created_at timestamptz not null,
    expires_at timestamptz not null,
    -- From when on it is deleted: when it expires, or when it was used for the last time.
    sweep_at   timestamptz not null
);

-- Whoever deletes a client or a user looks for their tokens.
create index custom_tokens_client_id on custom_tokens (client_id);
create index custom_tokens_user_id on custom_tokens (user_id);
create index custom_tokens_sweep_at on custom_tokens (sweep_at);
