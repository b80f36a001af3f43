//! Statements that delete logins, revocations and hand-off codes some time after their end.

use chrono::{DateTime, Utc};

use crate::database::{ConnectionPool, DatabaseError, answer};

use super::handoffs::sweep_codes;

/// The table to sweep.
#[derive(Clone, Copy, Debug)]
pub(in crate::logins) enum Table {
    Logins,
    Revocations,
    /// Hand-off codes.
    Handoffs,
}

/// Deletes rows that had ended by `cutoff`, at most `batch`. Returns how many there were.
pub(in crate::logins) async fn sweep(
    pool: &ConnectionPool,
    table: Table,
    cutoff: DateTime<Utc>,
    batch: i64,
) -> Result<u64, DatabaseError> {
    match table {
        Table::Logins => sweep_logins(pool, cutoff, batch).await,
        Table::Revocations => sweep_revocations(pool, cutoff, batch).await,
        Table::Handoffs => sweep_codes(pool, cutoff, batch).await,
    }
}

/// Deletes logins that had ended by `cutoff`, at most `batch`. Only one node at a time: another one finds nothing to
/// do meanwhile.
async fn sweep_logins(
    pool: &ConnectionPool,
    cutoff: DateTime<Utc>,
    batch: i64,
) -> Result<u64, DatabaseError> {
    let sweep = sqlx::query_scalar!(
        r#"with due as materialized (
             select id, least(ended_at, idle_expires_at, expires_at) as over_at from dualauth.logins
             where sweep_at <= $1 and (select pg_try_advisory_xact_lock($3))
             order by sweep_at limit $2 for update skip locked
           ), deleted as (
             delete from dualauth.logins using due where logins.id = due.id and due.over_at <= $1 returning 1
           ), later as (
             -- It was used since it was last looked at.
             update dualauth.logins set sweep_at = due.over_at from due where logins.id = due.id and due.over_at > $1
           )
           select count(*) as "found!" from due"#,
        cutoff,
        batch,
        SWEEP_LOCK,
    );
    answer(sweep.fetch_one(pool)).await.map(i64::unsigned_abs)
}

/// Deletes revocations that had expired by `cutoff`, at most `batch`.
async fn sweep_revocations(
    pool: &ConnectionPool,
    cutoff: DateTime<Utc>,
    batch: i64,
) -> Result<u64, DatabaseError> {
    let sweep = sqlx::query_scalar!(
        r#"with due as materialized (
             select ctid from dualauth.revocations
             where until <= $1 and (select pg_try_advisory_xact_lock($3))
               -- These are dated by Postgres' clock. By one that is ahead of it they were over before anybody saw them.
               and (not reload or until <= now())
             order by until limit $2 for update skip locked
           ), deleted as (
             delete from dualauth.revocations where ctid = any (array(select ctid from due)) returning 1
           )
           select count(*) as "found!" from due"#,
        cutoff,
        batch,
        SWEEP_LOCK,
    );
    answer(sweep.fetch_one(pool)).await.map(i64::unsigned_abs)
}

/// Key of the advisory lock that a sweep holds: "dualauth" as a number.
const SWEEP_LOCK: i64 = i64::from_be_bytes(*b"dualauth");
