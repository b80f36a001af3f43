-- Who may sign in.
create table users (
    id            uuid primary key,
    -- Kept as it was typed; compared whatever the letter case. Both are ASCII, hence collate "C": the
    -- lower() of another collation may turn an I into a dotless one.
    username      text not null,
    email         text not null,
    -- A PHC string: algorithm, parameters, salt and hash in one.
    password_hash text not null,
    roles         text[] not null,
    created_at    timestamptz not null,
    -- Set: nobody signs in as this user.
    disabled_at   timestamptz
);

create unique index users_username_key on users (lower(username collate "C"));
create unique index users_email_key on users (lower(email collate "C"));
