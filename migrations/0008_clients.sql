-- Services that may ask about tokens and revoke them.
create table clients (
    id          uuid primary key,
    name        text not null,
    -- SHA-256 of the secret: 256 random bits need neither salt nor stretching.
    secret_hash bytea not null,
    created_at  timestamptz not null
);

create trigger clients_changed after insert or update or delete on clients for each row
    execute function note_reload();
