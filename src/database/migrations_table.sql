-- Which migrations have run, as sqlx writes it down.
create table if not exists dualauth._sqlx_migrations (
    version        bigint primary key,
    description    text not null,
    installed_on   timestamptz not null default now(),
    success        boolean not null,
    checksum       bytea not null,
    execution_time bigint not null
);
