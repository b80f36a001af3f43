-- Every credential that a refresh replaced a moment ago is accepted for a while, however many there are: tabs that wake
-- up at once are honest. No row per refresh: the login remembers when each was replaced, the newest first. Element k,
-- counted from 0, belongs to generation - 1 - k. What is out of its grace is left out by the next refresh.
alter table logins add column replaced_at timestamptz[] not null default '{}';

-- SHA-256 of a secret that every refresh token of the login has in it: who has the database, and APP_SECRET as well, can't
-- make one. Null: a login that began before there were any.
alter table logins add column refresh_hash bytea;

-- Nobody is signed out by this migration: what was replaced last may be in its grace.
update logins set replaced_at = array[renewed_at] where handle_hash is null and generation > 0 and ended_at is null;

-- A session id is a chain from now on: handle_hash stays the hash of its beginning, and a refresh counts generations as
-- it does for refresh tokens. The id that is in force is the beginning of its own.
update logins set generation = 0 where handle_hash is not null and generation > 0;

-- What is remembered of a session says which generation is the current one.
drop trigger login_ended on logins;
create trigger login_ended after update of ended_at, handle_hash, generation on logins for each row
    when (old.ended_at is null and new.ended_at is not null or old.handle_hash is distinct from new.handle_hash
          or new.handle_hash is not null and old.generation is distinct from new.generation)
    execute function note_revoked_login();
