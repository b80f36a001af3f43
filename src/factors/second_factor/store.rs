//! SQL of second factors: what a code is compared with, its use, and what an account has.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::challenges::Purpose;
use crate::database::{ConnectionPool, DatabaseError, answer};
use crate::factors::RemovalRules;
use crate::mail::{Recipient, SealedMail};
use crate::users::User;

use super::{ReadCode, SealedTotp};

/// The account of a challenge that waits for a second factor.
pub(super) struct PendingAccount {
    pub(super) user: User,
    /// The account's credential version, which is the challenge's.
    pub(super) version: i32,
    pub(super) recipient: Recipient,
    pub(super) totp: Option<SealedTotp>,
    pub(super) recovery_codes_left: i64,
    /// When the next try is possible, if not now.
    pub(super) locked_until: Option<DateTime<Utc>>,
}

/// Finds the account of a challenge that can still be redeemed, without counting a try.
pub(super) async fn find_pending(
    pool: &ConnectionPool,
    token_hash: &[u8; 32],
    purpose: Purpose,
    address: &str,
    now: DateTime<Utc>,
) -> Result<Option<PendingAccount>, DatabaseError> {
    let query = sqlx::query!(
        r#"select u.id, u.username, u.email, u.email_verified_at is not null as "email_verified!", u.roles,
                  u.created_at, u.language, u.password_version, t.id as "totp_id?", t.secret as "secret?",
                  (select count(*) from dualauth.recovery_codes r where r.user_id = u.id and r.used_at is null)
                      as "recovery_codes_left!",
                  case when c.purpose = 'reset_password' then dualauth.next_reset_try_at(u.id, $3, $4)
                       else dualauth.next_try_at(u.id, null, $3, $4) end as locked_until
           from dualauth.challenges c
           join dualauth.users u on u.id = c.user_id and u.password_version = c.version and u.disabled_at is null
           left join dualauth.totp t on t.user_id = u.id
           where c.token_hash = $1 and c.purpose = $2 and c.method = 'second_factor'
             and c.used_at is null and c.expires_at > $4 and c.tries < dualauth.most_code_tries()"#,
        token_hash.as_slice(),
        purpose.as_str(),
        address,
        now,
    );
    let row = answer(query.fetch_optional(pool)).await?;
    Ok(row.map(|row| PendingAccount {
        version: row.password_version,
        recipient: Recipient::new(row.email.clone(), row.email_verified, &row.language),
        user: User {
            id: row.id,
            username: row.username,
            email: row.email,
            email_verified: row.email_verified,
            roles: row.roles,
            created_at: row.created_at,
        },
        totp: row.totp_id.zip(row.secret).map(|(id, secret)| SealedTotp { id, secret }),
        recovery_codes_left: row.recovery_codes_left,
        locked_until: row.locked_until,
    }))
}

/// Whether there is such a challenge.
pub(super) async fn is_pending(
    pool: &ConnectionPool,
    token_hash: &[u8; 32],
    purpose: Purpose,
    now: DateTime<Utc>,
) -> Result<bool, DatabaseError> {
    let query = sqlx::query_scalar!(
        r#"select exists (select from dualauth.challenges
                          where token_hash = $1 and purpose = $2 and method = 'second_factor'
                            and used_at is null and expires_at > $3) as "is_pending!""#,
        token_hash.as_slice(),
        purpose.as_str(),
        now,
    );
    answer(query.fetch_one(pool)).await
}

/// Counts a wrong code at such a challenge, as `redeem_second_factor` in the migrations does. `false`: the challenge is over.
pub(super) async fn count_wrong(
    pool: &ConnectionPool,
    token_hash: &[u8; 32],
    purpose: Purpose,
    address: &str,
    now: DateTime<Utc>,
) -> Result<bool, DatabaseError> {
    let count = sqlx::query_scalar!(
        r#"select count(*) > 0 as "is_counted!" from dualauth.redeem_second_factor($1, $2, null, null, $3, $4)"#,
        token_hash.as_slice(),
        purpose.as_str(),
        address,
        now,
    );
    answer(count.fetch_one(pool)).await
}

/// The authenticator of a signed-in user; counts the attempt as a failure. `Err`: when the next attempt is possible.
pub(super) async fn own_totp_and_count_attempt(
    pool: &ConnectionPool,
    user: Uuid,
    now: DateTime<Utc>,
) -> Result<Result<Option<SealedTotp>, DateTime<Utc>>, DatabaseError> {
    let query = sqlx::query!(
        r#"select t.id as "id?", t.secret as "secret?", dualauth.count_own_try(u.id, $2) as closed_until
           from dualauth.users u left join dualauth.totp t on t.user_id = u.id where u.id = $1"#,
        user,
        now,
    );
    let Some(row) = answer(query.fetch_optional(pool)).await? else { return Ok(Ok(None)) };
    let totp = row.id.zip(row.secret).map(|(id, secret)| SealedTotp { id, secret });
    Ok(row.closed_until.map_or(Ok(totp), Err))
}

/// The method that a code of a user proves, as `amr` names it. `None`: it is wrong, or was used.
pub(super) async fn method_of(
    pool: &ConnectionPool,
    user: Uuid,
    code: &ReadCode,
) -> Result<Option<String>, DatabaseError> {
    let query = sqlx::query_scalar!(
        "select dualauth.second_factor_of($1, $2, $3)",
        user,
        code.totp_step,
        code.recovery_hash.as_ref().map(<[u8; 32]>::as_slice),
    );
    answer(query.fetch_one(pool)).await
}

/// Whether each login of the user takes two factors.
pub(super) async fn has_two_step(pool: &ConnectionPool, user: Uuid) -> Result<bool, DatabaseError> {
    let query = sqlx::query_scalar!("select two_step from dualauth.users where id = $1", user);
    Ok(answer(query.fetch_optional(pool)).await?.unwrap_or_default())
}

/// Whether the user has an authenticator, and how many recovery codes are left.
pub(super) async fn methods(pool: &ConnectionPool, user: Uuid) -> Result<(bool, i64), DatabaseError> {
    let query = sqlx::query!(
        r#"select exists (select from dualauth.totp where user_id = $1) as "has_totp!",
                  (select count(*) from dualauth.recovery_codes where user_id = $1 and used_at is null) as "left!""#,
        user,
    );
    let row = answer(query.fetch_one(pool)).await?;
    Ok((row.has_totp, row.left))
}

/// The factors of an account.
pub(super) struct FactorRow {
    pub(super) has_password: bool,
    pub(super) email_verified: bool,
    pub(super) two_step: bool,
    pub(super) totp: Option<TotpRow>,
    pub(super) recovery_codes_left: i64,
}

/// An authenticator without its secret.
pub(super) struct TotpRow {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) created_at: DateTime<Utc>,
    pub(super) last_used_at: Option<DateTime<Utc>>,
}

/// The factors of a user. `None`: the user is gone.
pub(super) async fn list(pool: &ConnectionPool, user: Uuid) -> Result<Option<FactorRow>, DatabaseError> {
    let query = sqlx::query!(
        r#"select coalesce(u.password_hash, $2) <> $2 as "has_password!",
                  u.email_verified_at is not null as "email_verified!", u.two_step,
                  t.id as "id?", t.name as "name?", t.created_at as "created_at?", t.last_used_at,
                  (select count(*) from dualauth.recovery_codes r where r.user_id = u.id and r.used_at is null)
                      as "recovery_codes_left!"
           from dualauth.users u left join dualauth.totp t on t.user_id = u.id where u.id = $1"#,
        user,
        crate::users::NO_PASSWORD,
    );
    let row = answer(query.fetch_optional(pool)).await?;
    Ok(row.map(|row| FactorRow {
        has_password: row.has_password,
        email_verified: row.email_verified,
        two_step: row.two_step,
        totp: row.id.zip(row.name).zip(row.created_at).map(|((id, name), created_at)| TotpRow {
            id,
            name,
            created_at,
            last_used_at: row.last_used_at,
        }),
        recovery_codes_left: row.recovery_codes_left,
    }))
}

/// The outcome of a removal.
pub(super) enum FactorRemoval {
    /// The factor is gone: `totp`, `passkey`, `security_key` or `provider`.
    Removed(String),
    /// It has to stay.
    IsLast,
    /// The user has no such factor.
    Unknown,
}

/// Removes a factor, as the function `remove_factor` in the migrations does.
pub(super) async fn remove(
    pool: &ConnectionPool,
    user: Uuid,
    factor: Uuid,
    kept: Uuid,
    rules: &RemovalRules,
    notice: Option<&SealedMail>,
    now: DateTime<Utc>,
) -> Result<FactorRemoval, DatabaseError> {
    let remove = sqlx::query!(
        r#"with removed as materialized (
             select * from dualauth.remove_factor($1, $2, $3, $8, $9, $11, $10, $4)
           ), noticed as (
             insert into dualauth.mails (id, content, created_at, send_at, expires_at)
             select $5::uuid, $6::bytea, $4, $4, $7::timestamptz from removed where is_removed and $5 is not null
           )
           select factor, is_removed as "is_removed!" from removed"#,
        user,
        factor,
        kept,
        now,
        notice.map(|mail| mail.id),
        notice.map(|mail| mail.content.as_slice()),
        notice.map(|mail| mail.expires_at),
        rules.rp_id,
        rules.codes_sign_in,
        rules.second_factor_required,
        &rules.providers,
    );
    let row = answer(remove.fetch_one(pool)).await?;
    Ok(match row.factor {
        None => FactorRemoval::Unknown,
        Some(factor) if row.is_removed => FactorRemoval::Removed(factor),
        Some(_) => FactorRemoval::IsLast,
    })
}

/// Replaces the recovery codes, and ends every other login and every challenge of the user. Returns `false` if two-step
/// sign-in is off.
pub(super) async fn renew_recovery_codes(
    pool: &ConnectionPool,
    user: Uuid,
    hashes: &[Vec<u8>],
    kept: Uuid,
    notice: Option<&SealedMail>,
    now: DateTime<Utc>,
) -> Result<bool, DatabaseError> {
    let renew = sqlx::query_scalar!(
        r#"with changed as (
             update dualauth.users set password_version = password_version + 1
             where id = $1 and two_step and disabled_at is null and dualauth.may_change_factors($1, $3) returning id
           ), removed as (
             delete from dualauth.recovery_codes r using changed where r.user_id = changed.id
           ), added as (
             insert into dualauth.recovery_codes (user_id, hash) select id, hash from changed, unnest($2::bytea[]) as hash
           ), ended as (
             select count(*) from changed, dualauth.end_logins(changed.id, $3, $4)
           ), noticed as (
             insert into dualauth.mails (id, content, created_at, send_at, expires_at)
             select $5::uuid, $6::bytea, $4, $4, $7::timestamptz from changed where $5 is not null
           )
           select exists (select from changed) as "changed!" from ended"#,
        user,
        hashes,
        kept,
        now,
        notice.map(|mail| mail.id),
        notice.map(|mail| mail.content.as_slice()),
        notice.map(|mail| mail.expires_at),
    );
    answer(renew.fetch_one(pool)).await
}
