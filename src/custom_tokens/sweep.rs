//! The sweep: deletes tokens some time after they expired or were used up, in small batches.

use crate::clock::Clock;
use crate::database::ConnectionPool;
use crate::upkeep;

use super::store;

/// Maximum number of rows that one statement deletes, so few that no other statement waits noticeably for its locks.
const BATCH: i64 = 1_000;

/// How long a token is kept after its end, so that a node whose clock is ahead deletes none that others still accept.
const KEEP: chrono::Duration = chrono::Duration::hours(1);

/// Sweeps for as long as it is polled.
pub(super) async fn run_sweep(pool: &ConnectionPool, clock: &Clock) {
    upkeep::sweep_at_intervals("custom tokens", || {
        let cutoff = clock.now() - KEEP;
        upkeep::delete_in_batches(BATCH, move || store::sweep(pool, cutoff, BATCH))
    })
    .await;
}
