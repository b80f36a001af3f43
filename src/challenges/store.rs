//! SQL of challenges. They are redeemed by `redeem_challenge`, in the statements of what they are good for.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::database::{ConnectionPool, DatabaseError, answer};
use crate::mail::SealedMail;

use super::{ChallengeMethod, ChallengedAccount, HashedHalves, Purpose, TriedCode};

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
    callback_hash: Option<&[u8; 32]>,
) -> Result<(), DatabaseError> {
    let insert = sqlx::query!(
        "insert into dualauth.challenges (id, token_hash, purpose, method, user_id, version, login_id, created_at,
             expires_at, state, callback_hash)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
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
        callback_hash.map(<[u8; 32]>::as_slice),
    );
    answer(insert.execute(pool)).await.map(drop)
}

/// A challenge that was called back.
pub(super) struct CalledBackRow {
    pub(super) id: Uuid,
    pub(super) token_hash: Vec<u8>,
    pub(super) purpose: String,
    pub(super) state: Vec<u8>,
}

/// Takes the call back to a challenge that can still be redeemed.
pub(super) async fn take_callback(
    pool: &ConnectionPool,
    callback_hash: &[u8; 32],
    now: DateTime<Utc>,
) -> Result<Option<CalledBackRow>, DatabaseError> {
    let query = sqlx::query_as!(
        CalledBackRow,
        r#"update dualauth.challenges set callback_hash = null
           where callback_hash = $1 and state is not null and used_at is null and expires_at > $2
             and tries < dualauth.most_code_tries()
           returning id, token_hash, purpose, state as "state!""#,
        callback_hash.as_slice(),
        now,
    );
    answer(query.fetch_optional(pool)).await
}

/// Stores the code of a challenge that was called back, and what is kept from then on. `false`: it is over.
pub(super) async fn answer_callback(
    pool: &ConnectionPool,
    id: Uuid,
    code_mac: &[u8; 32],
    state: &[u8],
    now: DateTime<Utc>,
) -> Result<bool, DatabaseError> {
    let query = sqlx::query!(
        "update dualauth.challenges set code_mac = $2, state = $3
         where id = $1 and code_mac is null and used_at is null and expires_at > $4",
        id,
        code_mac.as_slice(),
        state,
        now,
    );
    Ok(answer(query.execute(pool)).await?.rows_affected() > 0)
}

/// Tries a code that is worth something by itself, whatever the account has become since.
pub(super) async fn try_code(
    pool: &ConnectionPool,
    halves: &HashedHalves,
    purpose: Purpose,
    login: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<Option<TriedCode>, DatabaseError> {
    let query = sqlx::query_as!(
        TriedCode,
        r#"select coalesce(is_right, false) as "is_right!", user_id, version
           from dualauth.redeem_challenge($1, $2, $3, $4, null, $5)"#,
        halves.token_hash,
        &halves.code_macs,
        purpose.as_str(),
        login,
        now,
    );
    answer(query.fetch_optional(pool)).await
}

/// Counts a try at a challenge of nobody who is signed in. `false`: it is over.
pub(super) async fn begin_try(
    pool: &ConnectionPool,
    token_hash: &[u8; 32],
    purpose: Purpose,
    now: DateTime<Utc>,
) -> Result<bool, DatabaseError> {
    let query = sqlx::query!(
        "update dualauth.challenges set tries = tries + 1
         where token_hash = $1 and purpose = $2 and login_id is null and used_at is null and expires_at > $3
           and tries < dualauth.most_code_tries() and dualauth.is_account_unchanged(user_id, version)",
        token_hash.as_slice(),
        purpose.as_str(),
        now,
    );
    Ok(answer(query.execute(pool)).await?.rows_affected() > 0)
}

/// Uses up a challenge of nobody who is signed in, however often it was tried: the caller has begun a try, or read it as one that can
/// still be redeemed. `false`: it is over.
pub(super) async fn use_up(
    pool: &ConnectionPool,
    token_hash: &[u8; 32],
    purpose: Purpose,
    now: DateTime<Utc>,
) -> Result<bool, DatabaseError> {
    let query = sqlx::query!(
        "update dualauth.challenges set used_at = $3
         where token_hash = $1 and purpose = $2 and login_id is null and used_at is null and expires_at > $3
           and dualauth.is_account_unchanged(user_id, version)",
        token_hash.as_slice(),
        purpose.as_str(),
        now,
    );
    Ok(answer(query.execute(pool)).await?.rows_affected() > 0)
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

/// Deletes expired challenges, at most `batch`, and returns how many.
pub(super) async fn sweep(
    pool: &ConnectionPool,
    now: DateTime<Utc>,
    batch: i64,
) -> Result<u64, DatabaseError> {
    let sweep = sqlx::query!(
        "delete from dualauth.challenges where ctid = any (array(
           select ctid from dualauth.challenges where expires_at <= $1
           order by expires_at limit $2 for update skip locked))",
        now,
        batch,
    );
    Ok(answer(sweep.execute(pool)).await?.rows_affected())
}
