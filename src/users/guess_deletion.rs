//! Deletes counts of failed sign-ins from Postgres. They are counted in the statement that reads the account for a
//! sign-in.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::database::{ConnectionPool, DatabaseError, answer};

/// Deletes all counts of an account, so that sign-ins are accepted again.
pub(super) async fn forget_guesses(pool: &ConnectionPool, user: Uuid) -> Result<(), DatabaseError> {
    let forget = sqlx::query!("delete from dualauth.guesses where account = uuid_send($1)", user);
    answer(forget.execute(pool)).await.map(drop)
}

/// Deletes expired counts, at most `batch` of each kind.
pub(super) async fn sweep_guesses(
    pool: &ConnectionPool,
    forgotten: DateTime<Utc>,
    unknown: DateTime<Utc>,
    batch: i64,
) -> Result<(), DatabaseError> {
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
    answer(sweep.fetch_one(pool)).await.map(drop)
}
