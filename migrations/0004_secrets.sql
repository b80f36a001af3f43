-- Secrets that were made here because none was set: one row a name, the same for every node.
create table secrets (
    name       text primary key,
    value      bytea not null,
    created_at timestamptz not null
);
