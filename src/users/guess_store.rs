//! Counts of guesses in Postgres, as an operator and the sweep look after them. Who tries counts one in the same statement that reads what
//! the try is about.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::database::{ConnectionPool, DatabaseError, answer};

/// Opens an account to everybody again.
pub(super) async fn forget_guesses(pool: &ConnectionPool, user: Uuid) -> Result<(), DatabaseError> {
    let forget = sqlx::query!("delete from dualauth.guesses where account = uuid_send($1)", user);
    answer(forget.execute(pool)).await.map(drop)
}

/// Deletes counts that nobody goes by any more, at most `batch` of each kind. Gives how many there were.
pub(super) async fn sweep_guesses(
    pool: &ConnectionPool,
    forgotten: DateTime<Utc>,
    unknown: DateTime<Utc>,
    batch: i64,
) -> Result<i64, DatabaseError> {
    let sweep = sqlx::query_scalar!(
        r#"with old as (
             delete from dualauth.guesses where ctid in (
               select ctid from dualauth.guesses where failed_at < $1 order by failed_at limit $3 for update skip locked)
             returning 1
           ), strangers as (
             delete from dualauth.guessers where ctid in (
               select ctid from dualauth.guessers where signed_in_at < $2
               order by signed_in_at limit $3 for update skip locked)
             returning 1
           )
           select (select count(*) from old) + (select count(*) from strangers) as "count!""#,
        forgotten,
        unknown,
        batch,
    );
    answer(sweep.fetch_one(pool)).await
}
