//! What an error of Postgres means: it is away, or it refused.

use std::time::Duration;

use crate::error::Problem;

use super::io_runtime::on_io_runtime;

/// How long a statement may take, as seen from here: a little more than Postgres allows it, so that this limit
/// acts only when the connection is dead and nobody tells.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);

/// Why the database gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It is away, full, restarting, too slow or read-only: the same request may succeed later.
    #[error("the database is unavailable: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// It refused what it was asked: a fault of ours.
    #[error("the database refused: {0}")]
    Refused(#[source] sqlx::Error),
}

impl DatabaseError {
    /// Whether it can be read, and not written.
    pub fn is_read_only(&self) -> bool {
        let Self::Unavailable(sqlx::Error::Database(error)) = self else { return false };
        error.code().is_some_and(|code| code == READ_ONLY)
    }

    /// Whether the values were refused that the statement was given: with others it may do. By SQLSTATE: data exceptions,
    /// constraints that don't hold, limits, and what a trigger says.
    pub fn is_about_values(&self) -> bool {
        let Self::Refused(sqlx::Error::Database(error)) = self else { return false };
        let class = error.code().and_then(|code| code.get(..2).map(str::to_owned)).unwrap_or_default();
        matches!(&*class, "22" | "23" | "54" | "P0")
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        if is_unavailable(&error) { Self::Unavailable(error) } else { Self::Refused(error) }
    }
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Unavailable(_) => Self::unavailable(error),
            DatabaseError::Refused(_) => Self::internal(error),
        }
    }
}

/// Waits for a statement, but not for ever.
///
/// # Errors
/// What the database said, or that it said nothing.
pub async fn answer<T>(statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, DatabaseError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, on_io_runtime(statement)).await {
        Ok(answer) => answer.map_err(DatabaseError::from),
        Err(_) => Err(DatabaseError::Unavailable(sqlx::Error::PoolTimedOut)),
    }
}

fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_unavailable_state(&code)),
        _ => false,
    }
}

/// `read_only_sql_transaction`: a standby, or a server that takes no writes for now.
const READ_ONLY: &str = "25006";

/// By SQLSTATE (Postgres, appendix A).
fn is_unavailable_state(code: &str) -> bool {
    let class = code.get(..2).unwrap_or_default();
    // Connection exceptions, transactions rolled back (also a deadlock), insufficient resources, operator intervention
    // (also a statement timeout), system errors; then a lock timeout, and a server that takes no writes.
    let is_busy = matches!(class, "08" | "40" | "53" | "57" | "58") || matches!(code, "55P03" | READ_ONLY);
    // It lets nobody in: no such password, no such database, or one that takes no connections for now.
    is_busy || class == "28" || matches!(code, "3D000" | "55000")
}
