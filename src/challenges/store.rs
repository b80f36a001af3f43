//! SQL of challenges. They are redeemed by `redeem_challenge`, in the statements of what they are good for.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::database::{ConnectionPool, DatabaseError, answer};
use crate::mail::SealedMail;

use super::{ChallengeMethod, ChallengedAccount, Purpose};

/// A row of the table.
pub(super) struct ChallengeRow<'a> {
    pub(super) id: Uuid,
    pub(super) token_hash: &'a [u8; 32],
    pub(super) purpose: Purpose,
    pub(super) account: Option<ChallengedAccount>,
    pub(super) login_id: Option<Uuid>,
    pub(super) state: Option<Vec<u8>>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
}

/// Inserts the challenge and queues its mail. If the address has had too many mails, there is none, and no code is right:
/// otherwise one more challenge would be five more guesses.
pub(super) async fn insert_with_mail(
    pool: &ConnectionPool,
    row: ChallengeRow<'_>,
    code_mac: &[u8; 32],
    mail: &SealedMail,
    address_mac: &[u8],
) -> Result<(), DatabaseError> {
    let insert = sqlx::query!(
        r#"with quota as materialized (
             select dualauth.mail_allowed($14, $9) as is_allowed
           ), mailed as (
             insert into dualauth.mails (id, content, created_at, send_at, expires_at)
             select $11, $12, $9, $9, $13 from quota where is_allowed
           )
           insert into dualauth.challenges (id, token_hash, code_mac, purpose, method, user_id, version, login_id,
               created_at, expires_at, state)
           select $1, $2, case when is_allowed then $3::bytea end, $4, $5, $6, $7, $8, $9, $10, $15 from quota"#,
        row.id,
        row.token_hash.as_slice(),
        code_mac.as_slice(),
        row.purpose.as_str(),
        ChallengeMethod::Email.as_str(),
        row.account.map(|account| account.user_id),
        row.account.map(|account| account.version),
        row.login_id,
        row.created_at,
        row.expires_at,
        mail.id,
        mail.content,
        mail.expires_at,
        address_mac,
        row.state,
    );
    answer(insert.execute(pool)).await.map(drop)
}

/// Inserts a challenge that has no code of its own.
pub(super) async fn insert_without_code(
    pool: &ConnectionPool,
    row: ChallengeRow<'_>,
    method: ChallengeMethod,
) -> Result<(), DatabaseError> {
    let insert = sqlx::query!(
        "insert into dualauth.challenges (id, token_hash, purpose, method, user_id, version, login_id, created_at,
             expires_at, state)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        row.id,
        row.token_hash.as_slice(),
        row.purpose.as_str(),
        method.as_str(),
        row.account.map(|account| account.user_id),
        row.account.map(|account| account.version),
        row.login_id,
        row.created_at,
        row.expires_at,
        row.state,
    );
    answer(insert.execute(pool)).await.map(drop)
}

/// The id of a challenge that can still be redeemed, and what is kept with it.
pub(super) async fn find_state(
    pool: &ConnectionPool,
    token_hash: &[u8; 32],
    purpose: Purpose,
    login: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<Option<(Uuid, Vec<u8>)>, DatabaseError> {
    let query = sqlx::query!(
        r#"select id, state as "state!" from dualauth.challenges
           where token_hash = $1 and purpose = $2 and login_id is not distinct from $3 and state is not null
             and used_at is null and expires_at > $4 and tries < dualauth.most_code_tries()"#,
        token_hash.as_slice(),
        purpose.as_str(),
        login,
        now,
    );
    Ok(answer(query.fetch_optional(pool)).await?.map(|row| (row.id, row.state)))
}

/// Deletes expired challenges, at most `batch`.
pub(super) async fn sweep(
    pool: &ConnectionPool,
    now: DateTime<Utc>,
    batch: i64,
) -> Result<(), DatabaseError> {
    let sweep = sqlx::query!(
        "delete from dualauth.challenges where ctid = any (array(
           select ctid from dualauth.challenges where expires_at <= $1
           order by expires_at limit $2 for update skip locked))",
        now,
        batch,
    );
    answer(sweep.execute(pool)).await.map(drop)
}
