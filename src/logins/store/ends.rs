//! Statements that end logins.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::database::{ConnectionPool, DatabaseError, answer};

use crate::logins::login::EndedLogin;

/// Ends a login. `None` when it had ended before.
pub(in crate::logins) async fn end(
    pool: &ConnectionPool,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<EndedLogin>, DatabaseError> {
    let end = sqlx::query_as!(
        EndedLogin,
        "update dualauth.logins l set ended_at = $2 from dualauth.users u
         where l.id = $1 and u.id = l.user_id and l.ended_at is null
         returning l.id, l.user_id, u.username, l.mode, l.transport",
        id,
        now,
    );
    answer(end.fetch_optional(pool)).await
}

/// Ends a live login of this user. `None` when there is none.
pub(in crate::logins) async fn end_own(
    pool: &ConnectionPool,
    user: Uuid,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<EndedLogin>, DatabaseError> {
    let end = sqlx::query_as!(
        EndedLogin,
        "update dualauth.logins l set ended_at = $3 from dualauth.users u
         where l.id = $1 and l.user_id = $2 and u.id = l.user_id and l.ended_at is null
           and l.idle_expires_at > $3 and l.expires_at > $3
         returning l.id, l.user_id, u.username, l.mode, l.transport",
        id,
        user,
        now,
    );
    answer(end.fetch_optional(pool)).await
}
