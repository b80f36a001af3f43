-- The audit trail: what happened, to whom, from where and in which mode. Nothing in it refers to another table, so
-- that it stays when the user, the login or the service that it tells of is deleted.
create table audit_events (
    -- Made by the node that saw it: a batch that is sent twice, because no answer came, is there once.
    id         uuid primary key,
    at         timestamptz not null,
    event      text not null,
    -- Who caused it: a client's request, a command, or the node by itself.
    source     text not null check (source in ('request', 'command', 'node')),
    user_id    uuid,
    -- The account's own name. Never what was typed for a name that nobody has: people type passwords there.
    username   text,
    -- The login that it happened in, or to, with its mode and transport. Without a login: those that were asked for.
    login_id   uuid,
    mode       text,
    transport  text,
    -- The service that asked.
    client_id  uuid,
    -- The client's network address, and what it says it is.
    address    text,
    user_agent text,
    detail     jsonb,
    -- The transaction that wrote it: whoever follows the trail reads on from there, since events may be written in
    -- another order than they happened in.
    xid        xid8 not null default pg_current_xact_id()
);

create index audit_events_at on audit_events (at, id);
create index audit_events_user_id on audit_events (user_id, at);
create index audit_events_xid on audit_events (xid);
