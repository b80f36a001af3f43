-- The keys that access tokens are signed with, shared by all nodes.
create table signing_keys (
    -- How a token names its key: the thumbprint of the public half (RFC 7638).
    kid           text primary key,
    algorithm     text not null check (algorithm in ('HS256', 'EdDSA', 'ES256', 'RS256')),
    -- A JWK (RFC 7517). Null: HS256 has no public half.
    public_key    jsonb,
    -- Sealed under APP_SECRET. Null: it is kept in a file, or was destroyed when the key retired.
    private_key   bytea,
    -- Published from then on.
    created_at    timestamptz not null,
    -- Signed with from then on.
    activated_at  timestamptz,
    -- Another key took its place then.
    superseded_at timestamptz,
    -- It is retired from then on: no token of it is accepted. Null: not known yet.
    verify_until  timestamptz
);

-- Which key is the active one, and which is published as the next: one row, so that there is exactly one of each,
-- and a change says what it found. Superseded keys are neither: they verify until their time is over, and are then retired.
create table key_ring (
    only_one   boolean primary key default true check (only_one),
    active     text not null references signing_keys (kid),
    -- Null: the keys come from a file that has one.
    next       text references signing_keys (kid),
    -- For how long, in seconds, a token may be accepted after its key has been superseded: the longest of what
    -- the nodes have said of their tokens.
    token_life integer not null
);

-- A row of the feed may also say: what nodes remember of signing keys and clients is to be read anew.
alter table revocations add column reload boolean not null default false;

create function note_reload() returns trigger language plpgsql as $$
begin
    insert into revocations (reload, until) values (true, now() + interval '1 hour');
    return null;
end $$;

create trigger signing_keys_changed after insert or update or delete on signing_keys for each row
    execute function note_reload();
create trigger key_ring_changed after insert or update or delete on key_ring for each row
    execute function note_reload();
