-- Mails that wait to be sent. Whoever has a reason for one writes the row in the statement that makes the change, so that neither is
-- without the other; any node sends it afterwards.
create table mails (
    id         uuid primary key,
    -- Who gets what, sealed under APP_SECRET and padded: there are codes in it. One for an address that nobody has is to nobody, and a
    -- row like any other.
    content    bytea not null,
    created_at timestamptz not null,
    -- When it may be tried next. A node that takes it puts this off, so that no other one takes it meanwhile.
    send_at    timestamptz not null,
    -- Not sent after that: its code is good for nothing any more.
    expires_at timestamptz not null,
    tries      smallint not null default 0
);

create index mails_send_at on mails (send_at);
create index mails_expires_at on mails (expires_at);

-- When strangers last had a mail sent to an address, whether anybody has it or not.
create table mail_quotas (
    -- A MAC of the address: this is no list of people.
    address_mac bytea primary key,
    -- The last five, newest first.
    sent_at     timestamptz[] not null
);

create index mail_quotas_newest on mail_quotas ((sent_at[1]));

-- Whether a stranger may have a mail sent to this address now, and counts it if so: one a minute, five an hour. Of several at once one
-- may. For the condition of the insert into mails, in the statement that asks; notices don't ask.
create function mail_allowed(of_address bytea, at timestamptz) returns boolean language plpgsql
    set search_path = dualauth, pg_temp as $$
begin
    insert into mail_quotas as q values (of_address, array[at])
        on conflict (address_mac) do update set sent_at = (array[at] || q.sent_at)[1:5]
            where q.sent_at[1] <= at - interval '1 minute'
              and (cardinality(q.sent_at) < 5 or q.sent_at[5] <= at - interval '1 hour');
    return found;
end $$;
