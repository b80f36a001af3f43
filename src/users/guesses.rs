//! Guessing at one account, over all addresses, nodes and modes: what is allowed, and from when on it is closed to
//! strangers. The counts are in Postgres (`admit_try` in the migrations); a network's own are `crate::limits`.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::clock::Clock;
use crate::limits::Limited;

use super::store;

/// Failures in a row that an account is open for (NIST SP 800-63B, section 5.2.2). After that, only addresses that its
/// owner has signed in from may try.
pub(super) const MOST_FAILURES: i32 = 100;

/// How far apart they may then.
pub(super) const PACE: Duration = Duration::from_secs(20);

/// How many of those may come at once.
pub(super) const AT_ONCE: i32 = 3;

/// When it is open to everybody again.
pub(super) const FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long it is remembered where somebody signed in from.
const KNOWN_FOR: chrono::Duration = chrono::Duration::days(365);

/// How often counts are swept, and how many at a time.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
const SWEEP_BATCH: i64 = 10_000;

/// Somebody who tries to prove who they are.
#[derive(Clone, Copy, Debug)]
pub struct Claimant {
    /// Where from.
    pub address: IpAddr,
    /// What the try is counted under when nobody has the name that they gave: the same for the same name, whatever
    /// the letter case, and not to be read.
    pub nobody: [u8; 32],
}

/// The account takes no try from there before `until`.
pub(super) fn closed(until: DateTime<Utc>, now: DateTime<Utc>) -> Limited {
    Limited {
        policy: "account",
        quota: MOST_FAILURES.unsigned_abs(),
        window: FORGOTTEN_AFTER,
        retry_after: (until - now).to_std().unwrap_or_default(),
    }
}

/// Deletes counts that nobody goes by any more.
pub(super) async fn keep_swept(pool: &PgPool, clock: &Clock) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = clock.now();
        // What is left over by one pass is for the next: it is not in anybody's way.
        let swept = store::sweep_guesses(pool, now - FORGOTTEN_AFTER, now - KNOWN_FOR, SWEEP_BATCH).await;
        if let Err(error) = swept {
            tracing::warn!(%error, "can't sweep counts of guesses; they are kept for now");
        }
    }
}
