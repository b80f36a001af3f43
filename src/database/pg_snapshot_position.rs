//! A read position in an append-only table, such as the revocation feed or the audit trail.

use uuid::Uuid;

/// A snapshot in one history of a server.
///
/// A snapshot rather than a number, since of two transactions the one with the lower number may commit after the
/// other was read. A history, since numbers are used again after a crash or a failover. A row is new if its
/// transaction began after the snapshot or was still running at that time.
#[derive(Clone, Debug)]
pub struct PgSnapshotPosition {
    /// The id of the history: see `current_history` in the migrations.
    pub history: Uuid,
    /// A `pg_snapshot` as text.
    pub snapshot: String,
}
