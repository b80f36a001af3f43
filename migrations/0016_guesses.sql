-- Guessing, by growing waits instead of a month: an account is closed to networks that its owner has not signed in from for
-- a minute after 100 failures in a row, then after each further ten for twice as long, a day at most. One network contributes
-- 20 of them, and from its 20th on waits likewise by itself, so that nobody alone closes an account to its owner.

comment on table guesses is 'How often somebody failed in a row to prove to be the owner of an account.';
comment on table guessers is 'The same by network, and where a user has signed in from before.';

alter table guesses
    -- Which row of failures it is: what a network contributed to another one is not of this one.
    add column streak uuid,
    -- Closed to networks that its owner has not signed in from, while there are failures enough for that.
    add column closed_until timestamptz;

alter table guessers
    add column failed_at timestamptz,
    -- Closed to this network, while it has failures enough for that.
    add column waits_until timestamptz,
    -- How many of its failures are among the account's, in this row of them.
    add column streak uuid,
    add column counted integer not null default 0;

comment on column guesses.account is 'The user''s id (16 bytes), or the place of a name that nobody has.';
comment on column guessers.account is 'The user''s id (16 bytes), or the place of a name that nobody has and of the network that gave it.';

-- They were counted by other rules. Those of networks are void without a time.
truncate guesses;

-- How many failures in a row close an account (NIST SP 800-63B, section 5.2.2).
create function failures_that_close() returns integer language sql immutable set search_path = dualauth, pg_temp
    as 'select 100';

-- How many of them one network contributes, and after how many it waits by itself.
create function failures_of_one_network() returns integer language sql immutable set search_path = dualauth, pg_temp
    as 'select 20';

-- How far apart the tries of a network that the owner has signed in from may be, at most, and how many may come at once.
create function pace_of_known() returns interval language sql immutable set search_path = dualauth, pg_temp
    as $$ select interval '20 seconds' $$;
create function known_at_once() returns integer language sql immutable set search_path = dualauth, pg_temp
    as 'select 3';

-- What is left of so many failures, the last of which was then: half with each day since.
create function faded(failures integer, failed_at timestamptz, at timestamptz) returns integer language sql immutable
    set search_path = dualauth, pg_temp
    as $$
    select coalesce(failures >> least(greatest(floor(extract(epoch from at - failed_at) / 86400), 0), 31)::integer, 0)
$$;

-- How long a failure closes what `first` failures close: the first of them for a minute, each tenth further one for twice
-- as long, a day at most. Null: it does not.
create function closing(failures integer, first integer) returns interval language sql immutable
    set search_path = dualauth, pg_temp
    as $$
    select case when failures >= first and (failures - first) % 10 = 0
        then least(interval '1 minute' * 2 ^ least((failures - first) / 10, 11), interval '1 day') end
$$;

-- What a try is counted under: the user's id and network, or the places of a name that nobody has.
create function guess_of(of_user uuid, nobody bytea, nobody_here bytea, from_address text,
    out account bytea, out here bytea, out network inet) language sql immutable set search_path = dualauth, pg_temp
    as $$
    select coalesce(uuid_send(of_user), nobody), coalesce(uuid_send(of_user), nobody_here),
        case when of_user is null then inet '0.0.0.0/0' else network_of(from_address) end
$$;

-- When somebody may try next to be this user, or to have a name that nobody has. Null: now.
create function next_try_at(of_user uuid, nobody bytea, nobody_here bytea, from_address text, is_known boolean,
    at timestamptz) returns timestamptz language plpgsql stable set search_path = dualauth, pg_temp as $$
declare
    guess constant record := guess_of(of_user, nobody, nobody_here, from_address);
    -- How far ahead of their pace the tries of a known network may be.
    ahead constant interval := pace_of_known() * (known_at_once() - 1);
    total guesses;
    here guessers;
    is_closed boolean;
    is_spent boolean;
begin
    select * into total from guesses where account = guess.account;
    select * into here from guessers where account = guess.here and network = guess.network;
    is_closed := faded(total.failures, total.failed_at, at) >= failures_that_close();
    is_spent := faded(here.failures, here.failed_at, at) >= failures_of_one_network();
    if is_known or here.signed_in_at is not null then
        if (is_closed or is_spent) and here.paced_until > at + ahead then
            return here.paced_until - ahead;
        end if;
        return null;
    end if;
    return greatest(case when is_closed and total.closed_until > at then total.closed_until end,
                    case when is_spent and here.waits_until > at then here.waits_until end);
end $$;

-- Counts a try as failed, before anybody knows whether it will: tries that come at once don't slip through. Null: go on.
-- Else nothing was counted, and the next try may come at this time.
create function count_try(of_user uuid, nobody bytea, nobody_here bytea, from_address text, is_known boolean,
    at timestamptz) returns timestamptz language plpgsql set search_path = dualauth, pg_temp as $$
declare
    guess constant record := guess_of(of_user, nobody, nobody_here, from_address);
    pace constant interval := pace_of_known();
    total guesses;
    here guessers;
    until timestamptz;
    failures_here integer;
    contributes boolean;
begin
    -- Takes the row: of two tries at once, the second sees what the first has counted.
    insert into guesses as g (account, failures, failed_at) values (guess.account, 0, at)
        on conflict (account) do update set failures = g.failures returning * into total;
    until := next_try_at(of_user, nobody, nobody_here, from_address, is_known, at);
    if until is not null then
        return until;
    end if;
    select * into here from guessers where account = guess.here and network = guess.network;
    failures_here := faded(here.failures, here.failed_at, at) + 1;
    total.failures := faded(total.failures, total.failed_at, at);
    if total.failures = 0 or total.streak is null then
        total.streak := gen_random_uuid();
    end if;
    if here.streak is distinct from total.streak then
        here.counted := 0;
    end if;
    contributes := here.counted < failures_of_one_network()
        -- Once it is closed, what its owner tries does not put the end off.
        and not (total.failures >= failures_that_close() and (is_known or here.signed_in_at is not null));
    if contributes then
        here.counted := here.counted + 1;
        total.failures := total.failures + 1;
        update guesses set streak = total.streak, failures = total.failures, failed_at = at,
            closed_until = coalesce(at + closing(total.failures, failures_that_close()), closed_until)
            where account = guess.account;
    end if;
    insert into guessers as g
            (account, network, failures, failed_at, streak, counted, paced_until, waits_until)
        values (guess.here, guess.network, failures_here, at, total.streak, here.counted, at + pace,
            at + closing(failures_here, failures_of_one_network()))
        on conflict (account, network) do update set failures = excluded.failures, failed_at = at,
            streak = excluded.streak, counted = excluded.counted,
            waits_until = coalesce(excluded.waits_until, g.waits_until),
            paced_until = least(greatest(g.paced_until, at) + pace, at + pace * known_at_once());
    return null;
end $$;

-- Whoever signs in is no guesser: what failed from the same network is forgotten. And it ends the row of failures, unless
-- that closes the account by what others have failed: then it fades by itself, or each of its owner's sign-ins would give a
-- stranger as many guesses again.
create or replace function forget_guesses_here() returns trigger language plpgsql
    set search_path = dualauth, pg_temp as $$
declare
    of_account constant bytea := uuid_send(new.user_id);
    from_network constant inet := network_of(new.address);
    total guesses;
    of_others integer;
begin
    -- In the order of count_try, so that two never wait for each other.
    select * into total from guesses where account = of_account for update;
    select total.failures - coalesce(sum(counted), 0) into of_others from guessers
        where account = of_account and network = from_network and streak = total.streak;
    if faded(of_others, total.failed_at, new.created_at) < failures_that_close() then
        delete from guesses where account = of_account;
    else
        update guesses set failures = of_others,
            -- What its owner has failed closes it no longer.
            closed_until = case when (failures - failures_that_close()) / 10 = (of_others - failures_that_close()) / 10
                           then closed_until end
            where account = of_account;
    end if;
    insert into guessers (account, network, failures, signed_in_at, paced_until)
        values (of_account, from_network, 0, new.created_at, new.created_at)
        on conflict (account, network) do update set failures = 0, counted = 0, signed_in_at = new.created_at;
    return null;
end $$;
