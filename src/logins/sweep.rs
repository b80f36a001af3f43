//! The sweep: deletes logins and revocations some time after their end, in small batches.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::database::{ConnectionPool, DatabaseError};

use super::store::{self, Table};

/// Time between two sweeps.
const INTERVAL: Duration = Duration::from_secs(60);

/// Maximum number of rows that one statement deletes, so few that no other statement waits noticeably for its locks.
const BATCH: i64 = 1_000;

/// How long a login is kept after its end. Meanwhile, clients that still have a credential of it learn how it ended.
const KEEP_LOGINS: chrono::Duration = chrono::Duration::days(1);

/// How long a revocation is kept after it has expired. A node that was away for longer reloads everything.
const KEEP_REVOCATIONS: chrono::Duration = chrono::Duration::hours(1);

/// Sweeps for as long as it is polled.
pub(super) async fn run_sweep(pool: &ConnectionPool, clock: &Clock) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match sweep(pool, clock.now()).await {
            Ok(0) => {}
            Ok(deleted) => tracing::debug!(deleted, "expired logins and revocations deleted"),
            Err(error) => tracing::warn!(%error, "sweep of expired logins failed; will retry"),
        }
    }
}

async fn sweep(pool: &ConnectionPool, now: DateTime<Utc>) -> Result<i64, DatabaseError> {
    let mut deleted = 0;
    for (table, keep) in [(Table::Logins, KEEP_LOGINS), (Table::Revocations, KEEP_REVOCATIONS)] {
        deleted += sweep_table(pool, table, now - keep).await?;
    }
    Ok(deleted)
}

/// Deletes until nothing is left, and pauses so that it is busy for at most half of the time.
async fn sweep_table(
    pool: &ConnectionPool,
    table: Table,
    cutoff: DateTime<Utc>,
) -> Result<i64, DatabaseError> {
    let mut deleted = 0;
    loop {
        let began = tokio::time::Instant::now();
        let swept = store::sweep(pool, table, cutoff, BATCH).await?;
        deleted += swept.deleted;
        if swept.looked_at < BATCH {
            return Ok(deleted);
        }
        tokio::time::sleep(began.elapsed()).await;
    }
}
