-- Everything is in a schema of its own from here on, and functions find it whoever calls them: a statement typed into psql
-- has another search_path than the program's. A function that is replaced later has to say so anew.
alter function network_of(text) set search_path = dualauth, pg_temp;
alter function admit_try(bytea, text, boolean, timestamptz, integer, interval, integer, interval)
    set search_path = dualauth, pg_temp;
alter function forget_guesses_here() set search_path = dualauth, pg_temp;
alter function forget_guesses() set search_path = dualauth, pg_temp;
alter function on_primary() set search_path = dualauth, pg_temp;
alter function current_history() set search_path = dualauth, pg_temp;
alter function note_revoked_login() set search_path = dualauth, pg_temp;
alter function note_changed_user() set search_path = dualauth, pg_temp;
alter function note_reload() set search_path = dualauth, pg_temp;
alter function end_logins(uuid, uuid, timestamptz) set search_path = dualauth, pg_temp;
alter function ring() set search_path = dualauth, pg_temp;

-- Which versions of the program may use this schema. A migration that takes something away from older ones names here the
-- oldest that can do without (docs/decisions/0013); they refuse to start then, and say so.
create table compatibility (
    only_one       boolean primary key default true check (only_one),
    -- As in "1.2.3".
    oldest_version text not null
);

insert into compatibility (oldest_version) values ('0.1.0');
