-- What a session keeps on the server: one row a login, so that a write of one key waits for that of another and
-- neither is lost.
create table session_data (
    login_id uuid primary key references logins (id) on delete cascade,
    -- Each key's value as the JSON text that was sent, in a string: jsonb by itself would write numbers anew and
    -- drop repeated members.
    data     jsonb not null
);
