-- Whose address it is, and how to speak to them. Only additions with constant defaults: nothing is rewritten, and nodes of versions before
-- go on writing rows without these columns.
alter table users
    -- When the address was proved to be the user's. Null: it is whatever somebody typed.
    add column email_verified_at timestamptz,
    -- The language of mails to the user (RFC 5646).
    add column language          text not null default 'en';

-- What was asked for before a user was disabled is good for nothing afterwards: no proof, and no challenge.
create function note_disabled_user() returns trigger language plpgsql set search_path = dualauth, pg_temp as $$
begin
    new.password_version := old.password_version + 1;
    return new;
end $$;

create trigger user_disabled before update of disabled_at on users for each row
    when (old.disabled_at is null and new.disabled_at is not null) execute function note_disabled_user();
