//! Limits password guessing against one account, over all addresses, nodes and modes. Counts and rules are in
//! Postgres (`count_try` and `next_try_at` in the migrations). The limits per client network are in
//! `crate::network_rate_limits`.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::database::ConnectionPool;
use crate::network_rate_limits::Limited;

use super::guess_deletion;

/// Number of consecutive failures that lock an account (NIST SP 800-63B, section 5.2.2), as reported in responses.
/// `count_try` has the rules.
const MAX_FAILURES: u32 = 100;

/// Maximum time that an account stays locked without another failure.
const LONGEST_LOCK: Duration = Duration::from_secs(24 * 60 * 60);

/// When a count has expired: it is at most 255, and halves with each day without a failure.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(8 * 24 * 60 * 60);

/// How long a network is remembered from which the user has signed in.
const KNOWN_FOR: chrono::Duration = chrono::Duration::days(365);

/// Interval of the sweep, and maximum number of rows per statement.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
const SWEEP_BATCH: i64 = 10_000;

/// The source of an attempt to sign in.
#[derive(Clone, Copy, Debug)]
pub struct AddressAndNameBucket {
    /// The client's address.
    pub address: IpAddr,
    /// The key of the count if no user has the given name.
    pub unknown_name: UnknownNameBucket,
}

/// Number of buckets for unknown names, as a power of two: a million rows, most of them with one network.
const BUCKETS_LOG2: u32 = 20;

/// The bucket in which failures for an unknown name are counted. All such names share a fixed number of buckets, so
/// that invented names can't fill the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UnknownNameBucket([u8; 4]);

impl UnknownNameBucket {
    /// The bucket of this name, given as a MAC: which names share a bucket must not be predictable.
    pub fn of(name: [u8; 32]) -> Self {
        Self::among(BUCKETS_LOG2, name)
    }

    fn among(buckets_log2: u32, mac: [u8; 32]) -> Self {
        let [first, second, third, fourth, ..] = mac;
        let number = u32::from_be_bytes([first, second, third, fourth]) >> (u32::BITS - buckets_log2);
        Self(number.to_be_bytes())
    }

    /// The key in the table. Its length differs from that of a user's id.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The error for an account that accepts no attempt from this source before `until`.
pub fn account_locked(until: DateTime<Utc>, now: DateTime<Utc>) -> Limited {
    Limited {
        policy: "account",
        quota: MAX_FAILURES,
        window: LONGEST_LOCK,
        retry_after: (until - now).to_std().unwrap_or_default(),
    }
}

/// Deletes expired counts at intervals.
pub(super) async fn run_sweep(pool: &ConnectionPool, clock: &Clock) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = clock.now();
        // One batch per pass is enough: remaining rows do no harm.
        let swept =
            guess_deletion::sweep_guesses(pool, now - FORGOTTEN_AFTER, now - KNOWN_FOR, SWEEP_BATCH).await;
        if let Err(error) = swept {
            tracing::warn!(%error, "sweep of failed sign-in counts failed; will retry");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use crate::crypto::sha256;

    use super::*;

    #[test]
    fn however_many_names_there_are_they_share_the_places() {
        let places = (0..10_000).map(|name: u32| UnknownNameBucket::among(4, sha256(&name.to_be_bytes())));
        assert_eq!(places.collect::<HashSet<_>>().len(), 16);
    }

    #[test]
    fn a_name_has_one_place_which_is_no_user_s() {
        let place = |name: &[u8]| UnknownNameBucket::of(sha256(name));
        assert_eq!(place(b"nobody"), place(b"nobody"));
        assert_ne!(place(b"nobody"), place(b"somebody"));
        assert_ne!(place(b"nobody").as_bytes().len(), size_of::<uuid::Uuid>());
        assert!(u32::from_be_bytes(place(b"nobody").0) < 1 << BUCKETS_LOG2);
    }
}
