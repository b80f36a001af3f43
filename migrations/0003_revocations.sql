-- The feed that every node follows: logins that ended while an access token of theirs may still be valid.
-- A row is written by the very statement that ends the login.
create table revocations (
    login_id uuid not null,
    -- When the login would have ended by itself: no access token of it is valid longer, whatever the setting was
    -- when it was signed. After that the row has no more use.
    until    timestamptz not null,
    -- The transaction that wrote it: a follower reads on from the oldest one still running when it last
    -- looked. A sequence would not do: a smaller number can commit after a larger one was read.
    xid      xid8 not null default pg_current_xact_id()
);

create index revocations_xid on revocations (xid);
create index revocations_until on revocations (until);
