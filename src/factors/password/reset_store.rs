//! SQL of resets of a forgotten password: by a code that came by mail, and by the second factor after it.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::challenges::HashedHalves;
use crate::database::{ConnectionPool, DatabaseError, answer};
use crate::factors::second_factor::ReadCode;
use crate::mail::SealedMail;
use crate::users::NO_PASSWORD;

/// A reset of a forgotten password.
pub(super) struct Reset<'a> {
    /// The client's network address.
    pub(super) address: &'a str,
    /// The hash of the new password.
    pub(super) hash: &'a str,
    pub(super) notice: Option<&'a SealedMail>,
}

/// The outcome of a try at a challenge that can still be redeemed.
pub(super) enum TriedReset {
    WrongCode,
    /// The account has changed since the challenge was asked for.
    Changed,
    Reset,
    /// The challenge lives on, and waits for the second factor.
    Pending(PendingReset),
}

/// A reset that has had its first factor.
pub(super) struct PendingReset {
    pub(super) user_id: Uuid,
    /// The challenge's id.
    pub(super) id: Uuid,
    pub(super) expires_at: DateTime<Utc>,
}

/// Tries a code by mail. A right one replaces the password, and ends every login of the user; with two-step sign-in it
/// changes nothing yet. `None`: the challenge is over.
pub(super) async fn by_mail(
    pool: &ConnectionPool,
    halves: &HashedHalves,
    reset: Reset<'_>,
    now: DateTime<Utc>,
) -> Result<Option<TriedReset>, DatabaseError> {
    let redeem = sqlx::query!(
        r#"with redeemed as materialized (
             select * from dualauth.redeem_reset($1, $2, $3, $4)
           ), changed as (
             update dualauth.users u
             set password_hash = $5, password_version = u.password_version + 1,
                 email_verified_at = coalesce(u.email_verified_at, $4)
             from redeemed
             where redeemed.is_right and redeemed.pending_id is null and u.id = redeemed.user_id
               and u.password_version = redeemed.version and coalesce(u.password_hash, $9) <> $9 and u.disabled_at is null
             returning u.id
           ), ended as (
             select count(*) from changed, dualauth.end_logins(changed.id, null, $4)
           ), noticed as (
             insert into dualauth.mails (id, content, created_at, send_at, expires_at)
             select $6::uuid, $7::bytea, $4, $4, $8::timestamptz from changed where $6 is not null
           )
           select redeemed.is_right as "is_right!", exists (select from changed) as "is_reset!", ended.count as "ended!",
                  redeemed.user_id, redeemed.pending_id, redeemed.pending_until
           from redeemed, ended"#,
        halves.token_hash,
        &halves.code_macs,
        reset.address,
        now,
        reset.hash,
        reset.notice.map(|mail| mail.id),
        reset.notice.map(|mail| mail.content.as_slice()),
        reset.notice.map(|mail| mail.expires_at),
        NO_PASSWORD,
    );
    let row = answer(redeem.fetch_optional(pool)).await?;
    Ok(row.map(|row| match (row.is_right, row.user_id, row.pending_id, row.pending_until) {
        (false, ..) => TriedReset::WrongCode,
        (true, Some(user_id), Some(id), Some(expires_at)) => {
            TriedReset::Pending(PendingReset { user_id, id, expires_at })
        }
        (true, ..) if row.is_reset => TriedReset::Reset,
        (true, ..) => TriedReset::Changed,
    }))
}

/// Tries a code of the second factor at a challenge whose mail was proved to be read. `None`: the challenge is over. Returns
/// the method that was proved with the outcome.
pub(super) async fn by_second_factor(
    pool: &ConnectionPool,
    token_hash: &[u8; 32],
    code: &ReadCode,
    recovery_notice: Option<&SealedMail>,
    reset: Reset<'_>,
    now: DateTime<Utc>,
) -> Result<Option<(Option<String>, TriedReset)>, DatabaseError> {
    let redeem = sqlx::query!(
        r#"with redeemed as materialized (
             select * from dualauth.redeem_second_factor($1, 'reset_password', $2, $3, $4, $5)
           ), changed as (
             update dualauth.users u
             set password_hash = $6, password_version = u.password_version + 1,
                 email_verified_at = coalesce(u.email_verified_at, $5)
             from redeemed
             where redeemed.method is not null and u.id = redeemed.user_id
               and u.password_version = redeemed.version and coalesce(u.password_hash, $7) <> $7 and u.disabled_at is null
             returning u.id
           ), ended as (
             select count(*) from changed, dualauth.end_logins(changed.id, null, $5)
           ), noticed as (
             insert into dualauth.mails (id, content, created_at, send_at, expires_at)
             select $8::uuid, $9::bytea, $5, $5, $10::timestamptz from changed where $8 is not null
             union all
             select $11::uuid, $12::bytea, $5, $5, $13::timestamptz from redeemed where method = 'rc' and $11 is not null
           )
           select redeemed.method, exists (select from changed) as "is_reset!", ended.count as "ended!" from redeemed, ended"#,
        token_hash.as_slice(),
        code.totp_step,
        code.recovery_hash.as_ref().map(<[u8; 32]>::as_slice),
        reset.address,
        now,
        reset.hash,
        NO_PASSWORD,
        reset.notice.map(|mail| mail.id),
        reset.notice.map(|mail| mail.content.as_slice()),
        reset.notice.map(|mail| mail.expires_at),
        recovery_notice.map(|mail| mail.id),
        recovery_notice.map(|mail| mail.content.as_slice()),
        recovery_notice.map(|mail| mail.expires_at),
    );
    let row = answer(redeem.fetch_optional(pool)).await?;
    Ok(row.map(|row| {
        let tried = match (&row.method, row.is_reset) {
            (None, _) => TriedReset::WrongCode,
            (Some(_), true) => TriedReset::Reset,
            (Some(_), false) => TriedReset::Changed,
        };
        (row.method, tried)
    }))
}

/// Sets the password of an account whose second factor was proved at this credential version, and ends every login of it.
/// `false`: the account has changed since.
pub(super) async fn after_proof(
    pool: &ConnectionPool,
    user_id: Uuid,
    version: i32,
    reset: Reset<'_>,
    now: DateTime<Utc>,
) -> Result<bool, DatabaseError> {
    let change = sqlx::query!(
        r#"with changed as (
             update dualauth.users u
             set password_hash = $3, password_version = u.password_version + 1,
                 email_verified_at = coalesce(u.email_verified_at, $4)
             where u.id = $1 and u.password_version = $2 and coalesce(u.password_hash, $5) <> $5 and u.disabled_at is null
             returning u.id
           ), ended as (
             select count(*) from changed, dualauth.end_logins(changed.id, null, $4)
           ), noticed as (
             insert into dualauth.mails (id, content, created_at, send_at, expires_at)
             select $6::uuid, $7::bytea, $4, $4, $8::timestamptz from changed where $6 is not null
           )
           select exists (select from changed) as "is_reset!", ended.count as "ended!" from ended"#,
        user_id,
        version,
        reset.hash,
        now,
        NO_PASSWORD,
        reset.notice.map(|mail| mail.id),
        reset.notice.map(|mail| mail.content.as_slice()),
        reset.notice.map(|mail| mail.expires_at),
    );
    Ok(answer(change.fetch_one(pool)).await?.is_reset)
}
