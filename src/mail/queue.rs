//! The statements on the queue of mails. The rows are written by whoever has a reason for a mail.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::database::{ConnectionPool, DatabaseError, answer};

/// A row of the queue.
#[derive(Debug)]
pub(super) struct QueuedMail {
    pub(super) id: Uuid,
    /// Sealed.
    pub(super) content: Vec<u8>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) send_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
    pub(super) tries: i16,
}

/// What a look at the queue finds.
#[derive(Debug)]
pub(super) struct QueueState {
    /// When the oldest mail in it was queued.
    pub(super) oldest: Option<DateTime<Utc>>,
    /// Whether one is to be sent now.
    pub(super) is_due: bool,
}

pub(super) async fn look(pool: &ConnectionPool, now: DateTime<Utc>) -> Result<QueueState, DatabaseError> {
    // Ids are made in the order of time (UUID version 7).
    let look = sqlx::query_as!(
        QueueState,
        r#"select (select created_at from dualauth.mails order by id limit 1) as oldest,
                  exists (select from dualauth.mails where send_at <= $1 and expires_at > $1) as "is_due!""#,
        now,
    );
    answer(look.fetch_one(pool)).await
}

/// Takes one mail that is due, and counts the try. No other node takes it until `leased_until`, unless [`put_off`] says
/// otherwise.
pub(super) async fn take(
    pool: &ConnectionPool,
    now: DateTime<Utc>,
    leased_until: DateTime<Utc>,
) -> Result<Option<QueuedMail>, DatabaseError> {
    let take = sqlx::query_as!(
        QueuedMail,
        "update dualauth.mails set send_at = $2, tries = least(tries + 1, 32767)
         where id = (select id from dualauth.mails where send_at <= $1 and expires_at > $1
                     order by send_at limit 1 for update skip locked)
         returning id, content, created_at, send_at, expires_at, tries",
        now,
        leased_until,
    );
    answer(take.fetch_optional(pool)).await
}

/// The mail is tried again at this time.
pub(super) async fn put_off(
    pool: &ConnectionPool,
    id: Uuid,
    send_at: DateTime<Utc>,
) -> Result<(), DatabaseError> {
    let put_off = sqlx::query!("update dualauth.mails set send_at = $2 where id = $1", id, send_at);
    answer(put_off.execute(pool)).await.map(drop)
}

/// The mail was sent, or is given up.
pub(super) async fn delete(pool: &ConnectionPool, id: Uuid) -> Result<(), DatabaseError> {
    answer(sqlx::query!("delete from dualauth.mails where id = $1", id).execute(pool)).await.map(drop)
}

/// Deletes mails that had expired by `cutoff`, at most `batch`.
pub(super) async fn delete_expired(
    pool: &ConnectionPool,
    cutoff: DateTime<Utc>,
    batch: i64,
) -> Result<Vec<QueuedMail>, DatabaseError> {
    let delete = sqlx::query_as!(
        QueuedMail,
        "delete from dualauth.mails where id in (
           select id from dualauth.mails where expires_at <= $1 order by expires_at limit $2 for update skip locked)
         returning id, content, created_at, send_at, expires_at, tries",
        cutoff,
        batch,
    );
    answer(delete.fetch_all(pool)).await
}

/// Forgets when mails were sent to addresses that had none since `cutoff`, at most `batch`. Returns how many.
pub(super) async fn delete_quotas(
    pool: &ConnectionPool,
    cutoff: DateTime<Utc>,
    batch: i64,
) -> Result<u64, DatabaseError> {
    let delete = sqlx::query!(
        "delete from dualauth.mail_quotas where address_mac in (
           select address_mac from dualauth.mail_quotas where sent_at[1] <= $1
           order by sent_at[1] limit $2 for update skip locked)",
        cutoff,
        batch,
    );
    answer(delete.execute(pool)).await.map(|deleted| deleted.rows_affected())
}

/// The mails that wait, oldest first, at most `most`.
pub(super) async fn list(pool: &ConnectionPool, most: i64) -> Result<Vec<QueuedMail>, DatabaseError> {
    let list = sqlx::query_as!(
        QueuedMail,
        "select id, content, created_at, send_at, expires_at, tries from dualauth.mails order by id limit $1",
        most,
    );
    answer(list.fetch_all(pool)).await
}
