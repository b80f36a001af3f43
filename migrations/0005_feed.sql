-- The revocation feed, made complete: whatever ends a credential before its time writes a row in the same
-- transaction, whoever does it. Hence triggers: a statement typed into psql, or a user who is deleted, is told to
-- every node like a logout is.

-- Counts the changes of the password: a login that was begun with an older one comes too late.
alter table users add column password_version integer not null default 0;

alter table logins
    -- When the last access token that was signed for it runs out. Null: it has none, it is looked up by its handle.
    add column token_expires_at timestamptz,
    -- When the sweep looks at it next. Not moved with every use: the sweep itself moves it on when the login turns
    -- out to live longer, so that noting a use changes no index.
    add column sweep_at timestamptz;
update logins set
    token_expires_at = case when handle_hash is null then least(idle_expires_at, expires_at) end,
    sweep_at = least(idle_expires_at, expires_at);
alter table logins alter column sweep_at set not null;
create index logins_sweep_at on logins (sweep_at);

-- A row is one of three things, or two at once:
--   login_id     access tokens of this login are refused, until the last of them has run out;
--   handle_hash  what is remembered of the login behind this handle is wrong: look it up anew;
--   user_id      the roles of this user changed: tokens with other ones are refused, until the last has run out.
alter table revocations
    alter column login_id drop not null,
    add column handle_hash bytea,
    add column user_id uuid;

create function note_revoked_login() returns trigger language plpgsql as $$
begin
    insert into revocations (login_id, handle_hash, until) values (
        -- With another handle the login goes on: only the old handle is dead.
        case when old.token_expires_at is not null and (tg_op = 'DELETE' or new.ended_at is not null) then old.id end,
        old.handle_hash,
        coalesce(old.token_expires_at,
            case when tg_op = 'DELETE' then old.expires_at
                 else greatest(new.ended_at, new.renewed_at, now()) end));
    return null;
end $$;

create trigger login_ended after update of ended_at, handle_hash on logins for each row
    when (old.ended_at is null and new.ended_at is not null or old.handle_hash is distinct from new.handle_hash)
    execute function note_revoked_login();

-- One that is long over, as the sweep deletes, interests nobody. The hour is for clocks that differ.
create trigger login_deleted after delete on logins for each row
    when (old.ended_at is null and least(old.idle_expires_at, old.expires_at) > now() - interval '1 hour')
    execute function note_revoked_login();

-- Ends the live logins of a user, but one. A function, and not part of the statement that calls it, because each
-- of its statements sees what was committed until then: the caller holds the user's row, so a login that was
-- being begun meanwhile is seen here.
create function end_logins(of_user uuid, kept uuid, at timestamptz)
returns table (id uuid, handle_hash bytea, token_expires_at timestamptz) language plpgsql as $$
begin
    return query
        with live as (
            select l.id from logins l
            where l.user_id = of_user and l.id is distinct from kept and l.ended_at is null and l.expires_at > at
            order by l.id for update
        )
        update logins l set ended_at = at from live where l.id = live.id
        returning l.id, l.handle_hash, l.token_expires_at;
end $$;

create function note_changed_user() returns trigger language plpgsql as $$
begin
    if old.disabled_at is null and new.disabled_at is not null then
        perform end_logins(new.id, null, new.disabled_at);
    end if;
    if old.roles is distinct from new.roles then
        -- Also when no token is about: a node may still go by the roles of a change before this one.
        insert into revocations (user_id, until)
            select new.id, coalesce(max(token_expires_at), now()) from logins
            where user_id = new.id and ended_at is null;
        insert into revocations (handle_hash, until)
            select handle_hash, least(idle_expires_at, expires_at) from logins
            where user_id = new.id and ended_at is null and handle_hash is not null;
    end if;
    return null;
end $$;

create trigger user_changed after update of roles, disabled_at on users for each row
    execute function note_changed_user();

-- Rings at every node: there is something new to read. Lost rings do no harm, since nodes look by themselves.
create function ring() returns trigger language plpgsql as $$
begin
    perform pg_notify('dualauth', '');
    return null;
end $$;

create trigger revocations_ring after insert on revocations for each statement execute function ring();
