//! The sweep: deletes logins, revocations and hand-off codes some time after their end, in small batches.

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::database::{ConnectionPool, DatabaseError};
use crate::upkeep;

use super::store::{self, Table};

/// Maximum number of rows that one statement deletes, so few that no other statement waits noticeably for its locks.
const BATCH: i64 = 1_000;

/// How long a login is kept after its end. Meanwhile, clients that still have a credential of it learn how it ended.
const KEEP_LOGINS: chrono::Duration = chrono::Duration::days(1);

/// How long a revocation is kept after it has expired. A node that was away for longer reloads everything.
const KEEP_REVOCATIONS: chrono::Duration = chrono::Duration::hours(1);

/// How long a hand-off code is kept, so that a node whose clock is ahead deletes none that others still accept.
const KEEP_HANDOFFS: chrono::Duration = chrono::Duration::hours(1);

/// Sweeps for as long as it is polled.
pub(super) async fn run_sweep(pool: &ConnectionPool, clock: &Clock) {
    upkeep::sweep_at_intervals("expired logins", || sweep(pool, clock.now())).await;
}

async fn sweep(pool: &ConnectionPool, now: DateTime<Utc>) -> Result<(), DatabaseError> {
    for (table, keep) in [
        (Table::Logins, KEEP_LOGINS),
        (Table::Revocations, KEEP_REVOCATIONS),
        (Table::Handoffs, KEEP_HANDOFFS),
    ] {
        upkeep::delete_in_batches(BATCH, || store::sweep(pool, table, now - keep, BATCH)).await?;
    }
    Ok(())
}
