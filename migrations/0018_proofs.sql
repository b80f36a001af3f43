-- How each login was proved, in which way, when, and what that comes to: it belongs to the login, whatever the mode that presents
-- it. Only additions: nodes of versions before go on writing rows without these columns, and no table is rewritten or read through.
alter table logins
    -- Authentication methods (RFC 8176; and email, fed, rc).
    add column amr              text[] not null default '{pwd}',
    -- Authenticator assurance level: 1, or 2 when two factors were proved.
    add column aal              smallint not null default 1,
    -- When the last proof came. Null: when the login began.
    add column auth_time        timestamptz,
    -- How the session id travels. Null: as `transport` says.
    add column handle_transport text,
    -- Of a login that is presented in another mode beside its own: what `generation` and `replaced_at` are for the credential of
    -- its own mode, for the other's. Null: it is not.
    add column other_generation  integer,
    add column other_replaced_at timestamptz[];

-- Not valid: they hold for what is written from now on, and every row of before has the defaults.
alter table logins
    add constraint logins_aal_check check (aal in (1, 2)) not valid,
    add constraint logins_handle_transport_check check (handle_transport in ('cookie', 'bearer')) not valid;

-- What a node remembers of a session says how it was proved, too.
drop trigger login_ended on logins;
create trigger login_ended
    after update of ended_at, handle_hash, generation, other_generation, amr, aal, auth_time on logins for each row
    when (old.ended_at is null and new.ended_at is not null or old.handle_hash is distinct from new.handle_hash
          or new.handle_hash is not null
             and (old.generation, old.other_generation, old.amr, old.aal, old.auth_time)
                 is distinct from (new.generation, new.other_generation, new.amr, new.aal, new.auth_time))
    execute function note_revoked_login();

-- Null: the user signs in without a password.
alter table users alter column password_hash drop not null;

comment on column users.password_version is
    'Counts every change of what proves the account: a login or a step-up by an older proof comes too late.';

-- A version that takes every account for one with a password is not to start any more once there is one without
-- (docs/decisions/0016). By the owner of the table: whoever serves may not write it.
create function note_account_without_password() returns trigger language plpgsql security definer
    set search_path = dualauth, pg_temp as $$
begin
    update compatibility set oldest_version = '0.2.0'
        where string_to_array(split_part(oldest_version, '-', 1), '.')::integer[] < '{0,2,0}'::integer[];
    return null;
end $$;

create trigger user_without_password after insert or update of password_hash on users for each row
    when (new.password_hash is null) execute function note_account_without_password();
