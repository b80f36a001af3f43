-- What a node knows of the feed belongs to one unbroken history of one server. After a crash or a failover transaction
-- ids that never reached the disk are given out again; after a restore rows come from elsewhere. Then what was read
-- before says nothing of what is new.

-- Postgres empties an unlogged table in every crash recovery and on every promotion, and it can't be read on a standby:
-- that is what this one is for.
create unlogged table history (
    only_one boolean primary key default true check (only_one),
    id       uuid not null default gen_random_uuid()
);

-- Refuses to answer on a standby: what has ended elsewhere may not have reached it.
create function on_primary() returns boolean language plpgsql stable as $$
begin
    if pg_is_in_recovery() then
        raise exception 'this server is a standby' using errcode = 'read_only_sql_transaction';
    end if;
    return true;
end $$;

-- Names the history that the server is in. Whatever ends one changes the name: a crash of any process and a promotion
-- (the table is empty, and gets another id), a restart, also on files of before (the start time), another cluster (the
-- system identifier), a database or a table that was dropped and restored (their oids).
create function current_history() returns uuid language plpgsql as $$
declare
    started constant bigint := extract(epoch from pg_postmaster_start_time()) * 1000000;
    named uuid;
begin
    perform on_primary();
    loop
        select md5(concat_ws('/', h.id, h.tableoid, d.oid, c.system_identifier, started))::uuid into named
            from history h, pg_control_system() c, pg_database d where d.datname = current_database();
        exit when found;
        insert into history default values on conflict do nothing;
    end loop;
    return named;
end $$;

-- A row tells of the end of a login whatever its mode, and until when that is to be remembered: until no access token of
-- it is valid any more, and for ten minutes at least, so that an end that a failover has lost can be made again. One that
-- has tokens for as long as any may live: a failover may have lost the renewal that made the last of them.
create or replace function note_revoked_login() returns trigger language plpgsql as $$
declare
    has_ended constant boolean := tg_op = 'DELETE' or old.ended_at is null and new.ended_at is not null;
    noted_at constant timestamptz := case when tg_op = 'DELETE' then greatest(old.last_seen_at, now())
                                          else greatest(new.ended_at, new.renewed_at, now()) end;
    token_life constant interval :=
        case when old.token_expires_at is not null then (select make_interval(secs => token_life) from key_ring) end;
begin
    insert into revocations (login_id, handle_hash, until) values (
        case when has_ended then old.id end,
        old.handle_hash,
        case when has_ended
             then greatest(old.token_expires_at, noted_at + interval '10 minutes', noted_at + token_life)
             else noted_at end);
    return null;
end $$;

-- A name may change, too: nobody is to be called by one that somebody else may have meanwhile.
create or replace function note_changed_user() returns trigger language plpgsql as $$
begin
    if old.disabled_at is null and new.disabled_at is not null then
        perform end_logins(new.id, null, new.disabled_at);
    end if;
    if old.roles is distinct from new.roles or old.username is distinct from new.username then
        -- Also when no token is about: a node may still go by the change before this one.
        insert into revocations (user_id, until)
            select new.id, coalesce(max(token_expires_at), now()) from logins
            where user_id = new.id and ended_at is null;
        insert into revocations (handle_hash, until)
            select handle_hash, least(idle_expires_at, expires_at) from logins
            where user_id = new.id and ended_at is null and handle_hash is not null;
    end if;
    return null;
end $$;

drop trigger user_changed on users;
create trigger user_changed after update of username, roles, disabled_at on users for each row
    execute function note_changed_user();

-- NOTIFY in a transaction takes one lock for all of Postgres when it commits. Nodes ring after their commits, many ends
-- at once, and so does the trigger only for others.
drop trigger revocations_ring on revocations;
create trigger revocations_ring after insert on revocations for each statement
    when (current_setting('application_name') <> 'dualauth') execute function ring();

-- Keys and clients change so seldom that whoever changes them rings at once.
create or replace function note_reload() returns trigger language plpgsql as $$
begin
    insert into revocations (reload, until) values (true, now() + interval '1 hour');
    perform pg_notify('dualauth', '');
    return null;
end $$;

-- The index was partial: to delete a user looked at every login, and to end a login could not be done in its own page.
drop index logins_user_id;
create index logins_user_id on logins (user_id);
alter table logins set (fillfactor = 80);
