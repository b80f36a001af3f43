//! SQL of resets of a forgotten password: by a code that came by mail, and by the second factor after it.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::challenges::HashedHalves;
use crate::database::{ConnectionPool, DatabaseError, answer};
use crate::factors::second_factor::ReadCode;
use crate::mail::SealedMail;

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
           )
           select redeemed.is_right as "is_right!", redeemed.user_id, redeemed.pending_id, redeemed.pending_until,
                  case when redeemed.is_right and redeemed.pending_id is null
                       then dualauth.reset_password(redeemed.user_id, redeemed.version, $5, $6, $7, $8, $4) end as is_reset
           from redeemed"#,
        halves.token_hash,
        &halves.code_macs,
        reset.address,
        now,
        reset.hash,
        reset.notice.map(|mail| mail.id),
        reset.notice.map(|mail| mail.content.as_slice()),
        reset.notice.map(|mail| mail.expires_at),
    );
    let row = answer(redeem.fetch_optional(pool)).await?;
    Ok(row.map(|row| match (row.is_right, row.user_id, row.pending_id, row.pending_until) {
        (false, ..) => TriedReset::WrongCode,
        (true, Some(user_id), Some(id), Some(expires_at)) => {
            TriedReset::Pending(PendingReset { user_id, id, expires_at })
        }
        (true, ..) if row.is_reset == Some(true) => TriedReset::Reset,
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
           ), noticed as (
             insert into dualauth.mails (id, content, created_at, send_at, expires_at)
             select $10::uuid, $11::bytea, $5, $5, $12::timestamptz from redeemed where method = 'rc' and $10 is not null
           )
           select method,
                  case when method is not null then dualauth.reset_password(user_id, version, $6, $7, $8, $9, $5) end as is_reset
           from redeemed"#,
        token_hash.as_slice(),
        code.totp_step,
        code.recovery_hash.as_ref().map(<[u8; 32]>::as_slice),
        reset.address,
        now,
        reset.hash,
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
            (Some(_), Some(true)) => TriedReset::Reset,
            (Some(_), _) => TriedReset::Changed,
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
    let change = sqlx::query_scalar!(
        r#"select dualauth.reset_password($1, $2, $3, $4, $5, $6, $7) as "is_reset!""#,
        user_id,
        version,
        reset.hash,
        reset.notice.map(|mail| mail.id),
        reset.notice.map(|mail| mail.content.as_slice()),
        reset.notice.map(|mail| mail.expires_at),
        now,
    );
    answer(change.fetch_one(pool)).await
}
