-- Guessing: how often somebody failed to prove to be the owner of an account, over all addresses and in every mode.
create table guesses (
    -- The user's id; for a name that nobody has, a MAC of it, so that such a name counts like any other. The name
    -- itself is not kept: people type passwords there.
    account   bytea primary key,
    -- In a row: what an address failed is forgotten when somebody signs in from there.
    failures  integer not null,
    failed_at timestamptz not null
);

create index guesses_failed_at on guesses (failed_at);

-- The same by address, and where a user has signed in from before.
create table guessers (
    account      bytea not null,
    network      inet not null,
    failures     integer not null,
    -- Set: somebody signed in from there, and knew the password.
    signed_in_at timestamptz,
    -- While the account is closed to strangers: tries are this far ahead of their pace.
    paced_until  timestamptz not null,
    primary key (account, network)
);

create index guessers_paced_until on guessers (paced_until);

-- What counts as one address. An IPv6 network hands each of its members a whole /64; `Client::network` says the same.
create function network_of(address text) returns inet language sql immutable as $$
    select case family(address::inet) when 6 then network(set_masklen(address::inet, 64))::inet else address::inet end
$$;

insert into guessers
    select uuid_send(user_id), network_of(address), 0, max(created_at), max(created_at) from logins group by 1, 2;

-- Counts a try as failed, before anybody knows whether it will: tries that come at once don't slip through. Null: go on.
-- Else nothing was counted, and the next try may come at this time.
--
-- After `most` failures in a row, only who signed in from this address before may try, a `pace` apart, a few at once;
-- and after `forgotten_after` everybody may again.
create function admit_try(of_account bytea, from_address text, is_known boolean, at timestamptz, most integer,
    pace interval, at_once integer, forgotten_after interval) returns timestamptz language plpgsql as $$
declare
    total guesses;
    here guessers;
    from_network constant inet := network_of(from_address);
begin
    -- Takes the row: of two tries at once, the second sees what the first has counted.
    insert into guesses as g values (of_account, 0, at)
        on conflict (account) do update set failures = g.failures returning * into total;
    select * into here from guessers where account = of_account and network = from_network;
    is_known := is_known or here.signed_in_at is not null;
    if total.failed_at <= at - forgotten_after then
        total.failures := 0;
    end if;
    if total.failures >= most then
        if not is_known then
            return total.failed_at + forgotten_after;
        elsif here.paced_until > at + pace * (at_once - 1) then
            return here.paced_until - pace * (at_once - 1);
        end if;
    end if;
    update guesses set failures = total.failures + 1,
        -- Once it is closed, what its owner tries does not put the end off.
        failed_at = case when total.failures < most then at else total.failed_at end
        where account = of_account;
    insert into guessers as g values (of_account, from_network, 1, null, at + pace)
        on conflict (account, network) do update set failures = g.failures + 1,
            paced_until = least(greatest(g.paced_until, at) + pace, at + pace * at_once);
    return null;
end $$;

-- Whoever signs in is no guesser: what was failed from the same address is forgotten, and nothing else.
create function forget_guesses_here() returns trigger language plpgsql as $$
declare
    of_account constant bytea := uuid_send(new.user_id);
    from_network constant inet := network_of(new.address);
    forgotten integer;
begin
    -- In the order of admit_try, so that two never wait for each other.
    perform from guesses where account = of_account for update;
    select failures into forgotten from guessers where account = of_account and network = from_network;
    update guesses set failures = greatest(failures - coalesce(forgotten, 0), 0) where account = of_account;
    insert into guessers values (of_account, from_network, 0, new.created_at, new.created_at)
        on conflict (account, network) do update set failures = 0, signed_in_at = new.created_at;
    return null;
end $$;

create trigger login_began after insert on logins for each row execute function forget_guesses_here();

-- Guesses at another password are worth nothing any more.
create function forget_guesses() returns trigger language plpgsql as $$
begin
    delete from guesses where account = uuid_send(old.id);
    if tg_op = 'DELETE' then
        delete from guessers where account = uuid_send(old.id);
    else
        update guessers set failures = 0 where account = uuid_send(old.id);
    end if;
    return null;
end $$;

create trigger user_password_changed after update of password_version on users for each row
    when (old.password_version is distinct from new.password_version) execute function forget_guesses();
create trigger user_deleted after delete on users for each row execute function forget_guesses();
