//! SQL of codes by mail.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::challenges::{HashedHalves, Purpose};
use crate::database::{ConnectionPool, DatabaseError, answer};
use crate::mail::{Recipient, SealedMail};
use crate::users::{User, UserIdAndName};

/// The account that has an address.
pub(super) struct AddressOwner {
    pub(super) user_id: Uuid,
    pub(super) version: i32,
    pub(super) has_password: bool,
    /// Whether a passkey of it signs in here.
    pub(super) has_passkey: bool,
    /// Whether a provider of today's knows its owner.
    pub(super) has_provider: bool,
    pub(super) is_disabled: bool,
    pub(super) recipient: Recipient,
}

/// The account with this address. There is a row in either case, and as much to read in it: without, the time of the answer
/// would tell.
pub(super) async fn find_by_address(
    pool: &ConnectionPool,
    address: &str,
    rp_id: Option<&str>,
    providers: &[String],
) -> Result<Option<AddressOwner>, DatabaseError> {
    let query = sqlx::query!(
        r#"select u.id is not null as "is_known!", coalesce(u.id, '00000000-0000-0000-0000-000000000000') as "id!",
                  coalesce(u.email, $1) as "email!", coalesce(u.language, 'en') as "language!",
                  coalesce(u.password_version, 0) as "password_version!",
                  u.email_verified_at is not null as "is_verified!", u.disabled_at is not null as "is_disabled!",
                  coalesce(u.password_hash, $2) <> $2 as "has_password!",
                  exists (select from dualauth.passkeys p
                          where p.user_id = coalesce(u.id, '00000000-0000-0000-0000-000000000000')
                            and p.kind = 'passkey' and p.rp_id = $3) as "has_passkey!",
                  exists (select from dualauth.identities i
                          where i.user_id = coalesce(u.id, '00000000-0000-0000-0000-000000000000')
                            and i.provider = any ($4)) as "has_provider!"
           from (select) asked left join dualauth.users u
             on lower(u.email collate "C") = lower($1::text collate "C")"#,
        address,
        crate::users::NO_PASSWORD,
        rp_id,
        providers,
    );
    let row = answer(query.fetch_one(pool)).await?;
    Ok(row.is_known.then(|| AddressOwner {
        user_id: row.id,
        version: row.password_version,
        has_password: row.has_password,
        has_passkey: row.has_passkey,
        has_provider: row.has_provider,
        is_disabled: row.is_disabled,
        recipient: Recipient::new(row.email, row.is_verified, &row.language),
    }))
}

/// A challenge that can still be redeemed.
pub(super) struct LiveChallenge {
    /// When the next try is possible, if not now.
    pub(super) locked_until: Option<DateTime<Utc>>,
    /// Whose it is. `None`: nobody has the address that was asked for.
    pub(super) user: Option<(UserIdAndName, Recipient)>,
    /// Whether strangers have closed the account by guessing.
    pub(super) is_locked_account: bool,
}

/// Finds a challenge of nobody who is signed in, without counting a try.
pub(super) async fn find_challenge(
    pool: &ConnectionPool,
    token_hash: &[u8],
    purpose: Purpose,
    address: &str,
    now: DateTime<Utc>,
) -> Result<Option<LiveChallenge>, DatabaseError> {
    let query = sqlx::query!(
        r#"select u.id as "id?", u.username as "username?", u.email as "email?", u.language as "language?",
                  u.email_verified_at is not null as "is_verified!",
                  exists (select from dualauth.guesses where account = uuid_send(c.user_id) and closed_until > $4)
                      as "is_locked_account!",
                  case when c.purpose = 'reset_password' then dualauth.next_reset_try_at(c.user_id, $3, $4)
                       else dualauth.next_try_at(c.user_id, null, $3, $4) end as locked_until
           from dualauth.challenges c left join dualauth.users u on u.id = c.user_id
           where c.token_hash = $1 and c.purpose = $2 and c.login_id is null
             and c.used_at is null and c.expires_at > $4 and c.tries < dualauth.most_code_tries()"#,
        token_hash,
        purpose.as_str(),
        address,
        now,
    );
    let Some(row) = answer(query.fetch_optional(pool)).await? else { return Ok(None) };
    let user = || {
        let recipient = Recipient::new(row.email?, row.is_verified, &row.language?);
        Some((UserIdAndName { id: row.id?, username: row.username? }, recipient))
    };
    Ok(Some(LiveChallenge {
        locked_until: row.locked_until,
        is_locked_account: row.is_locked_account,
        user: user(),
    }))
}

/// The outcome of a right code for a sign-in.
pub(super) struct ProvedAddress {
    pub(super) user: User,
    /// The account's credential version afterwards.
    pub(super) version: i32,
    pub(super) has_two_step: bool,
    /// Whether the address was proved for the first time, which removed the password and ended every login.
    pub(super) is_first_proof: bool,
}

/// Redeems a challenge for a sign-in. If nobody has proved the address before, whoever opened the account may not be its
/// owner: the password is removed, every login ends, and `notice` is queued. The inner result is `None` for a wrong code, and
/// for an account that has changed since.
pub(super) async fn redeem_for_login(
    pool: &ConnectionPool,
    halves: &HashedHalves,
    address: &str,
    notice: Option<&SealedMail>,
    now: DateTime<Utc>,
) -> Result<Option<(bool, Option<ProvedAddress>)>, DatabaseError> {
    let redeem = sqlx::query!(
        r#"with redeemed as materialized (
             select * from dualauth.redeem_challenge($1, $2, 'login', null, $3, $4)
           ), account as materialized (
             select u.* from dualauth.users u join redeemed on redeemed.is_right and u.id = redeemed.user_id
             where u.password_version = redeemed.version and u.disabled_at is null for update of u
           ), proved as (
             update dualauth.users u
             set email_verified_at = $4, password_hash = null, password_version = u.password_version + 1
             from account where u.id = account.id and account.email_verified_at is null
             returning u.id, u.password_version
           ), ended as (
             select count(*) from proved, dualauth.end_logins(proved.id, null, $4)
           ), noticed as (
             insert into dualauth.mails (id, content, created_at, send_at, expires_at)
             select $5::uuid, $6::bytea, $4, $4, $7::timestamptz from proved where $5 is not null
           )
           select redeemed.is_right as "is_right!", account.id as "id?", account.username as "username?",
                  account.email as "email?", account.roles as "roles?", account.created_at as "created_at?",
                  coalesce(proved.password_version, account.password_version) as version,
                  proved.id is not null as "is_first_proof!",
                  coalesce(account.two_step, false) as "has_two_step!", ended.count as "ended!"
           from redeemed left join account on true left join proved on true, ended"#,
        halves.token_hash,
        &halves.code_macs,
        address,
        now,
        notice.map(|mail| mail.id),
        notice.map(|mail| mail.content.as_slice()),
        notice.map(|mail| mail.expires_at),
    );
    let Some(row) = answer(redeem.fetch_optional(pool)).await? else { return Ok(None) };
    let proved = || {
        Some(ProvedAddress {
            user: User {
                id: row.id?,
                username: row.username?,
                email: row.email?,
                email_verified: true,
                roles: row.roles?,
                created_at: row.created_at?,
            },
            version: row.version?,
            has_two_step: row.has_two_step,
            is_first_proof: row.is_first_proof,
        })
    };
    Ok(Some((row.is_right, proved())))
}

/// A change of a user's address, by a signed-in user.
pub(super) struct AddressChange<'a> {
    pub(super) halves: &'a HashedHalves,
    pub(super) user_id: Uuid,
    pub(super) login_id: Uuid,
    /// The proved address.
    pub(super) address: &'a str,
    /// Whether it takes the place of another one: then every other login and challenge ends.
    pub(super) is_another: bool,
    /// To the address of before.
    pub(super) notice: Option<&'a SealedMail>,
}

/// Redeems a challenge that proves an address. The inner result is `None` for a wrong code, and for an account that has
/// changed since.
pub(super) async fn redeem_for_address(
    pool: &ConnectionPool,
    change: AddressChange<'_>,
    now: DateTime<Utc>,
) -> Result<Option<(bool, Option<User>)>, DatabaseError> {
    let redeem = sqlx::query!(
        r#"with redeemed as materialized (
             select * from dualauth.redeem_challenge($1, $2, 'email', $3, null, $4)
           ), changed as (
             update dualauth.users u
             set email = case when $6 then $5 else u.email end, email_verified_at = $4,
                 password_version = u.password_version + $6::boolean::integer
             from redeemed
             where redeemed.is_right and u.id = redeemed.user_id and u.id = $7
               and u.password_version = redeemed.version and u.disabled_at is null
             returning u.*
           ), ended as (
             select count(*) from changed, dualauth.end_logins(changed.id, $3, $4) where $6
           ), noticed as (
             insert into dualauth.mails (id, content, created_at, send_at, expires_at)
             select $8::uuid, $9::bytea, $4, $4, $10::timestamptz from changed where $8 is not null
           )
           select redeemed.is_right as "is_right!", changed.id as "id?", changed.username as "username?",
                  changed.email as "email?", changed.roles as "roles?", changed.created_at as "created_at?",
                  ended.count as "ended!"
           from redeemed left join changed on true, ended"#,
        change.halves.token_hash,
        &change.halves.code_macs,
        change.login_id,
        now,
        change.address,
        change.is_another,
        change.user_id,
        change.notice.map(|mail| mail.id),
        change.notice.map(|mail| mail.content.as_slice()),
        change.notice.map(|mail| mail.expires_at),
    );
    let Some(row) = answer(redeem.fetch_optional(pool)).await? else { return Ok(None) };
    let user = || {
        Some(User {
            id: row.id?,
            username: row.username?,
            email: row.email?,
            email_verified: true,
            roles: row.roles?,
            created_at: row.created_at?,
        })
    };
    Ok(Some((row.is_right, user())))
}

/// Whether a code by mail is all by which a user can authenticate again.
pub(super) async fn has_only_mail(
    pool: &ConnectionPool,
    user: Uuid,
    rp_id: Option<&str>,
    providers: &[String],
) -> Result<bool, DatabaseError> {
    let query = sqlx::query_scalar!(
        r#"select dualauth.has_only_mail($1, $2, $3) as "has!""#,
        user,
        rp_id,
        providers,
    );
    answer(query.fetch_one(pool)).await
}

/// A step-up by a code.
pub(super) struct CodeOfLogin<'a> {
    pub(super) halves: &'a HashedHalves,
    pub(super) user_id: Uuid,
    pub(super) login_id: Uuid,
    pub(super) rp_id: Option<&'a str>,
    pub(super) providers: &'a [String],
}

/// The outcome of a code at a challenge that could still be redeemed.
pub(super) enum TriedCode {
    Wrong,
    /// Contains the account's credential version.
    Right(i32),
    /// The account has changed since: it has something else to authenticate by.
    Changed,
    /// Too many tries. Contains when the next one is possible.
    TooMany(DateTime<Utc>),
}

/// Redeems a challenge that authenticates a signed-in user again, and counts the try at the account. `None`: the challenge is
/// over.
pub(super) async fn redeem_for_step_up(
    pool: &ConnectionPool,
    code: CodeOfLogin<'_>,
    now: DateTime<Utc>,
) -> Result<Option<TriedCode>, DatabaseError> {
    let redeem = sqlx::query!(
        r#"with counted as materialized (
             select dualauth.count_own_try($3, $5) as closed_until
           ), redeemed as materialized (
             -- With no token, nothing is tried.
             select tried.*
             from counted, dualauth.redeem_challenge(
                 case when counted.closed_until is null
                       and exists (select from dualauth.challenges where token_hash = $1 and method = 'email') then $1::bytea end,
                 $2, 'step_up', $4, null, $5) tried
           )
           select counted.closed_until, redeemed.is_right,
                  (select u.password_version from dualauth.users u
                   where u.id = $3 and u.id = redeemed.user_id and u.password_version = redeemed.version
                     and u.disabled_at is null and dualauth.has_only_mail(u.id, $6, $7)) as version
           from counted left join redeemed on true"#,
        code.halves.token_hash,
        &code.halves.code_macs,
        code.user_id,
        code.login_id,
        now,
        code.rp_id,
        code.providers,
    );
    let row = answer(redeem.fetch_one(pool)).await?;
    Ok(match (row.closed_until, row.is_right, row.version) {
        (Some(until), ..) => Some(TriedCode::TooMany(until)),
        (None, None, _) => None,
        (None, Some(false), _) => Some(TriedCode::Wrong),
        (None, Some(true), Some(version)) => Some(TriedCode::Right(version)),
        (None, Some(true), None) => Some(TriedCode::Changed),
    })
}
