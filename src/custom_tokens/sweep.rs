//! The sweep: deletes tokens some time after they expired or were used up, in small batches.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::database::{ConnectionPool, DatabaseError};

use super::store;

/// Time between two sweeps.
const INTERVAL: Duration = Duration::from_secs(60);

/// Maximum number of rows that one statement deletes, so few that no other statement waits noticeably for its locks.
const BATCH: i64 = 1_000;

/// How long a token is kept after its end, so that a node whose clock is ahead deletes none that others still accept.
const KEEP: chrono::Duration = chrono::Duration::hours(1);

/// Sweeps for as long as it is polled.
pub(super) async fn run_sweep(pool: &ConnectionPool, clock: &Clock) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = sweep(pool, clock.now() - KEEP).await {
            tracing::warn!(%error, "sweep of custom tokens failed; will retry");
        }
    }
}

/// Deletes until nothing is left, and pauses so that it is busy for at most half of the time.
async fn sweep(pool: &ConnectionPool, cutoff: DateTime<Utc>) -> Result<(), DatabaseError> {
    loop {
        let began = tokio::time::Instant::now();
        if store::sweep(pool, cutoff, BATCH).await? < BATCH.unsigned_abs() {
            return Ok(());
        }
        tokio::time::sleep(began.elapsed()).await;
    }
}
