-- Who a provider says somebody is. Found by issuer and subject, never by an address.
create table identities (
    id           uuid primary key,
    issuer       text not null,
    -- OpenID Connect Core 1.0, section 2.
    subject      text not null check (length(subject) between 1 and 255),
    user_id      uuid not null references users on delete cascade,
    -- The name in the settings: of those that have the issuer, the one that was used last.
    provider     text not null,
    -- What the provider said when it was last used, if it had verified it.
    email        text,
    -- Sealed under APP_SECRET; null without store_tokens.
    tokens       bytea,
    created_at   timestamptz not null,
    last_used_at timestamptz,
    unique (issuer, subject),
    unique (user_id, issuer)
);

-- By what a provider calls a challenge back: SHA-256 of `state` (RFC 6749, section 4.1.2). Null once it has, and for all other challenges.
alter table challenges add column callback_hash bytea unique;

-- Whether the account of a challenge, if it has one, is still what it was. Where nobody has the address, the account is made up.
create function is_account_unchanged(of_user uuid, of_version integer) returns boolean
    language sql stable set search_path = dualauth, pg_temp as $$
    select not exists (select from users where id = of_user and password_version <> of_version)
$$;
