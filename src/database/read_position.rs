//! The place up to which a table was read that is only written to, such as the revocation feed or the audit trail.

use uuid::Uuid;

/// A snapshot, in one history of one server.
///
/// A snapshot and not a number: of two transactions the one with the smaller number may commit after the other was
/// read. And a history, since after a crash or a failover numbers are given out once more. A row is new whose
/// transaction began after the snapshot was taken, or was running then.
#[derive(Clone, Debug)]
pub struct ReadPosition {
    /// See `current_history` in the migrations.
    pub history: Uuid,
    /// A `pg_snapshot`, as text.
    pub snapshot: String,
}
