//! A read position in an append-only table, such as the revocation feed or the audit trail.

use uuid::Uuid;

use super::PgSnapshot;

/// A snapshot in one history of a server.
///
/// A snapshot rather than a number, since of two transactions the one with the lower number may commit after the
/// other was read. A history, since numbers are used again after a crash or a failover. A row is new if its
/// transaction began after the snapshot or was still running at that time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgSnapshotPosition {
    /// The id of the history: see `current_history` in the migrations.
    pub history: Uuid,
    /// The transactions that had ended.
    pub snapshot: PgSnapshot,
}

impl PgSnapshotPosition {
    /// Reads a `pg_snapshot` that was selected as text.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(history: Uuid, snapshot: &str) -> Result<Self, sqlx::Error> {
        let unreadable = || sqlx::Error::Decode(format!("no snapshot: {snapshot}").into());
        Ok(Self { history, snapshot: PgSnapshot::parse(snapshot).ok_or_else(unreadable)? })
    }
}
