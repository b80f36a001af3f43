//! Classification of database errors: temporarily unavailable, or rejected.

use std::time::Duration;

use crate::error::Problem;

use super::connect_on_main_runtime::on_main_runtime;

/// Time limit for a statement on the client's side. A little more than Postgres' own limit, so that it acts only when
/// the connection is dead without an error.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);

/// Why a statement failed.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Postgres is unavailable, full, restarting, too slow or read-only. A retry may succeed.
    #[error("the database is unavailable: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// Postgres rejected the statement: a bug of this program.
    #[error("the database rejected the statement: {0}")]
    Refused(#[source] sqlx::Error),
}

impl DatabaseError {
    /// Whether the database can be read but not written.
    pub fn is_read_only(&self) -> bool {
        let Self::Unavailable(sqlx::Error::Database(error)) = self else { return false };
        error.code().is_some_and(|code| code == READ_ONLY)
    }

    /// Whether the values of the statement were rejected, so that other values may be accepted. By SQLSTATE: data
    /// exceptions, constraint violations, program limits, and errors raised in triggers.
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

/// Runs a statement with [`ANSWER_TIMEOUT`].
///
/// # Errors
/// The database's error, or a timeout.
pub async fn answer<T>(statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, DatabaseError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, on_main_runtime(statement)).await {
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

/// `read_only_sql_transaction`: a standby, or a server that is read-only for now.
const READ_ONLY: &str = "25006";

/// By SQLSTATE (Postgres documentation, appendix A).
fn is_unavailable_state(code: &str) -> bool {
    let class = code.get(..2).unwrap_or_default();
    // Connection exceptions, transaction rollbacks (including deadlocks), insufficient resources, operator
    // intervention (including statement timeouts), system errors; then lock timeouts and read-only servers.
    let is_busy = matches!(class, "08" | "40" | "53" | "57" | "58") || matches!(code, "55P03" | READ_ONLY);
    // Connections are rejected: wrong password, no such database, or one that accepts no connections for now.
    is_busy || class == "28" || matches!(code, "3D000" | "55000")
}
