-- Names that nobody has are counted in a fixed number of places (`Nobody` in the program), which they share: whoever invents
-- names and has many addresses fills no table. A place is no user's id, which has 16 bytes.
comment on column guesses.account is 'The user''s id (16 bytes), or the place of a name that nobody has.';

-- As before, but that all who guess in one place are one: the same statements and rows as for a user, and one row a place.
create or replace function admit_try(of_account bytea, from_address text, is_known boolean, at timestamptz, most integer,
    pace interval, at_once integer, forgotten_after interval) returns timestamptz language plpgsql as $$
declare
    total guesses;
    here guessers;
    from_network constant inet :=
        case octet_length(of_account) when 16 then network_of(from_address) else inet '0.0.0.0/0' end;
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

-- What they were counted under before.
delete from guesses where octet_length(account) <> 16;
delete from guessers where octet_length(account) <> 16;
