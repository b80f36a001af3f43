-- Guessing, by growing waits instead of a month: an account is closed to networks that its owner has not signed in from when
-- 100 failures in a row are on record, for a minute, and after each further ten for twice as long, a day at most. One network
-- has a share of 20 in them, and from its 20th failure on waits likewise by itself: nobody alone closes an account to its owner.

-- What one network has failed at one account.
create type network_failures as (
    network     inet,
    -- In a row.
    failures    integer,
    -- How many of them since anybody last signed in: what the account's sum is made of.
    counted     integer,
    failed_at   timestamptz,
    -- It waits by itself.
    waits_until timestamptz
);

comment on table guesses is 'How often somebody failed in a row to prove to be the owner of an account.';
comment on table guessers is 'Where a user has signed in from before.';

-- They were counted by other rules.
truncate guesses;
alter table guesses
    -- At most `most_networks`: those whose failures have not faded. There is no sum beside them that could differ from them.
    add column networks network_failures[] not null default '{}',
    -- Closed to networks that its owner has not signed in from.
    add column closed_until timestamptz,
    -- The tries of whoever is signed in are this far ahead of their pace, wherever they come from.
    add column own_paced_until timestamptz;

comment on column guesses.account is 'The user''s id (16 bytes), or the place of a name that nobody has.';
comment on column guesses.failures is 'Of strangers, while the sum of the networks'' shares closed the account.';
comment on column guesses.failed_at is 'When a stranger last failed.';

delete from guessers where signed_in_at is null;
drop index guessers_paced_until;
alter table guessers drop column failures, alter column signed_in_at set not null;
create index guessers_signed_in_at on guessers (signed_in_at);

-- How many failures in a row close an account (NIST SP 800-63B, section 5.2.2).
create function failures_that_close() returns integer language sql immutable set search_path = dualauth, pg_temp
    as 'select 100';

-- How many of them are one network's at most, and after how many it waits by itself.
create function failures_of_one_network() returns integer language sql immutable set search_path = dualauth, pg_temp
    as 'select 20';

-- How many networks are remembered for an account: more than failures that close it, so that one is forgotten only while the
-- others close it without that one.
create function most_networks() returns integer language sql immutable set search_path = dualauth, pg_temp
    as 'select 128';

-- How far apart the tries of a network that the owner has signed in from may be, at most, and how many may come at once.
create function pace_of_known() returns interval language sql immutable set search_path = dualauth, pg_temp
    as $$ select interval '20 seconds' $$;
create function known_at_once() returns integer language sql immutable set search_path = dualauth, pg_temp
    as 'select 3';

-- What is left of so many failures, the last of which was then: half with each day since. No count is above 255: nothing is
-- left after eight days.
create function faded(failures integer, failed_at timestamptz, at timestamptz) returns integer language sql immutable
    set search_path = dualauth, pg_temp
    as $$
    select coalesce(failures >> least(greatest(floor(extract(epoch from at - failed_at) / 86400), 0), 31)::integer, 0)
$$;

-- That, and one more.
create function one_more(failures integer, failed_at timestamptz, at timestamptz) returns integer language sql immutable
    set search_path = dualauth, pg_temp
    as 'select least(faded(failures, failed_at, at) + 1, 255)';

-- How long so many failures close, counted from the one that did so first: for a minute, and each ten for twice as long.
create function closing(failures integer) returns interval language sql immutable set search_path = dualauth, pg_temp
    as $$ select least(interval '1 minute' * 2 ^ least(failures / 10, 11), interval '1 day') $$;

-- What all networks have failed together, each up to its share.
create function failures_of_all(networks network_failures[], at timestamptz) returns integer language sql immutable
    set search_path = dualauth, pg_temp
    as $$
    select coalesce(sum(least(faded(counted, failed_at, at), failures_of_one_network())), 0)::integer from unnest(networks)
$$;

-- When a try may come that is in line with the pace, if tries are so far ahead of it. Null: now.
create function in_pace(paced_until timestamptz, at timestamptz) returns timestamptz language sql immutable
    set search_path = dualauth, pg_temp
    as $$
    select until from (select paced_until - pace_of_known() * (known_at_once() - 1) as until) as pace where until > at
$$;

-- How far ahead of the pace tries are after one more.
create function paced(paced_until timestamptz, at timestamptz) returns timestamptz language sql immutable
    set search_path = dualauth, pg_temp
    as $$
    select least(greatest(paced_until, at) + pace_of_known(), at + pace_of_known() * known_at_once())
$$;

-- When somebody may try next to be this user, or to have a name that nobody has. Null: now.
create function next_try_at(of_user uuid, nobody bytea, from_address text, at timestamptz) returns timestamptz
    language plpgsql stable set search_path = dualauth, pg_temp as $$
declare
    of_account constant bytea := coalesce(uuid_send(of_user), nobody);
    from_network constant inet := network_of(from_address);
    total guesses;
    here network_failures;
    known guessers;
begin
    select * into total from guesses where account = of_account;
    select * into here from unnest(total.networks) where network = from_network;
    select * into known from guessers where account = of_account and network = from_network;
    if known.account is null then
        return greatest(case when total.closed_until > at then total.closed_until end,
                        case when here.waits_until > at then here.waits_until end);
    elsif faded(here.failures, here.failed_at, at) >= failures_of_one_network()
        or failures_of_all(total.networks, at) >= failures_that_close() then
        return in_pace(known.paced_until, at);
    end if;
    return null;
end $$;

-- Counts a try as failed, before anybody knows whether it will: tries that come at once don't slip through. Null: go on.
-- Else nothing was counted, and the next try may come at this time.
create function count_try(of_user uuid, nobody bytea, from_address text, at timestamptz) returns timestamptz
    language plpgsql set search_path = dualauth, pg_temp as $$
declare
    of_account constant bytea := coalesce(uuid_send(of_user), nobody);
    from_network constant inet := network_of(from_address);
    total guesses;
    here network_failures;
    until timestamptz;
    is_known boolean;
    was_closed boolean;
begin
    -- Takes the row: of two tries at once, the second sees what the first has counted.
    insert into guesses as g (account, failures, failed_at) values (of_account, 0, at)
        on conflict (account) do update set failures = g.failures returning * into total;
    until := next_try_at(of_user, nobody, from_address, at);
    if until is not null then
        return until;
    end if;
    update guessers set paced_until = paced(paced_until, at) where account = of_account and network = from_network;
    is_known := found;
    was_closed := failures_of_all(total.networks, at) >= failures_that_close();

    select * into here from unnest(total.networks) where network = from_network;
    here.network := from_network;
    here.counted := one_more(here.counted, here.failed_at, at);
    here.failures := one_more(here.failures, here.failed_at, at);
    here.failed_at := at;
    if not is_known and here.failures >= failures_of_one_network()
        and (here.failures - failures_of_one_network()) % 10 = 0 then
        here.waits_until := at + closing(here.failures - failures_of_one_network());
    end if;
    total.networks := with_network(total.networks, here, at);

    -- What is tried from where its owner has signed in closes it to nobody for longer.
    if not is_known then
        total.failures := faded(total.failures, total.failed_at, at);
        total.failed_at := at;
        if failures_of_all(total.networks, at) >= failures_that_close() then
            if not was_closed or total.failures % 10 = 0 then
                total.closed_until := at + closing(total.failures);
            end if;
            total.failures := least(total.failures + 1, 255);
        end if;
    end if;
    update guesses set networks = total.networks, failures = total.failures, failed_at = total.failed_at,
        closed_until = total.closed_until where account = of_account;
    return null;
end $$;

-- These, and this one in the place of what there was of it. Without what has faded, and without what matters least if there
-- are too many.
create function with_network(networks network_failures[], here network_failures, at timestamptz) returns network_failures[]
    language sql immutable set search_path = dualauth, pg_temp
    as $$
    select array_agg(one) || here from (
        select one from unnest(networks) as one
        where (one).network <> here.network and faded((one).failures, (one).failed_at, at) > 0
        order by least(faded((one).counted, (one).failed_at, at), failures_of_one_network()) desc, (one).failed_at desc
        limit most_networks() - 1
    ) as others
$$;

-- When whoever is signed in may try next to prove once more who they are. Null: now. What they fail closes nothing to anybody
-- else, and they have a pace from the first try on: it is the account's, since any address is as good as another to whoever has
-- found a token.
create function own_next_try_at(of_user uuid, at timestamptz) returns timestamptz language sql stable
    set search_path = dualauth, pg_temp
    as 'select in_pace(own_paced_until, at) from guesses where account = uuid_send(of_user)';

-- Counts such a try, as `count_try` does.
create function count_own_try(of_user uuid, at timestamptz) returns timestamptz language plpgsql
    set search_path = dualauth, pg_temp as $$
declare
    of_account constant bytea := uuid_send(of_user);
    total guesses;
    until timestamptz;
begin
    insert into guesses as g (account, failures, failed_at) values (of_account, 0, at)
        on conflict (account) do update set failures = g.failures returning * into total;
    until := in_pace(total.own_paced_until, at);
    if until is null then
        update guesses set own_paced_until = paced(own_paced_until, at) where account = of_account;
    end if;
    return until;
end $$;

-- Whoever signs in is no guesser: what failed from the same network is forgotten. And it ends the row of failures, unless
-- others' close the account: then it fades by itself, or each of its owner's sign-ins would give a stranger as many guesses
-- again. Who waits by themselves goes on to do so.
create or replace function forget_guesses_here() returns trigger language plpgsql
    set search_path = dualauth, pg_temp as $$
declare
    of_account constant bytea := uuid_send(new.user_id);
    from_network constant inet := network_of(new.address);
    total guesses;
    others network_failures[];
    was_closed boolean;
    is_closed boolean;
begin
    -- In the order of count_try, so that two never wait for each other.
    select * into total from guesses where account = of_account for update;
    was_closed := failures_of_all(total.networks, new.created_at) >= failures_that_close();
    others := array(select one from unnest(total.networks) as one where (one).network <> from_network);
    is_closed := failures_of_all(others, new.created_at) >= failures_that_close();
    -- This very try was counted as a stranger's failure.
    if was_closed and total.failures > 0
        and not exists (select from guessers where account = of_account and network = from_network) then
        total.failures := total.failures - 1;
        if not is_closed or total.failures % 10 = 0 then
            total.closed_until := null;
        end if;
    end if;
    if not is_closed then
        others := array(select row (network, failures, 0, failed_at, waits_until)::network_failures from unnest(others));
    end if;
    update guesses set networks = others, failures = total.failures, closed_until = total.closed_until
        where account = of_account;
    insert into guessers (account, network, signed_in_at, paced_until)
        values (of_account, from_network, new.created_at, new.created_at)
        on conflict (account, network) do update set signed_in_at = new.created_at;
    return null;
end $$;

-- Guesses at another password are worth nothing any more.
create or replace function forget_guesses() returns trigger language plpgsql set search_path = dualauth, pg_temp as $$
begin
    delete from guesses where account = uuid_send(old.id);
    if tg_op = 'DELETE' then
        delete from guessers where account = uuid_send(old.id);
    end if;
    return null;
end $$;
