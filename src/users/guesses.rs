//! Guessing at one account, over all addresses, nodes and modes. Counts and rules are in Postgres (`count_try` and
//! `next_try_at` in the migrations); how often an address may fail at whatever account is `crate::rate_limits`.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::database::ConnectionPool;
use crate::rate_limits::Limited;

use super::guess_store;

/// Failures in a row that close an account (NIST SP 800-63B, section 5.2.2), as an answer tells it; `count_try` has the rules.
const MOST_FAILURES: u32 = 100;

/// The longest that it is closed without another failure.
const LONGEST_CLOSING: Duration = Duration::from_secs(24 * 60 * 60);

/// When nothing is left of any count: it halves with each day without a failure, and is 255 at most.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(8 * 24 * 60 * 60);

/// How long it is remembered where somebody signed in from.
const KNOWN_FOR: chrono::Duration = chrono::Duration::days(365);

/// How often counts are swept, and how many at a time.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
const SWEEP_BATCH: i64 = 10_000;

/// Somebody who tries to prove who they are.
#[derive(Clone, Copy, Debug)]
pub struct AttemptSource {
    /// Where from.
    pub address: IpAddr,
    /// What the try is counted under when nobody has the name that they gave.
    pub nobody: UnknownNameBucket,
}

/// How many places there are for names that nobody has, as a power of two: a million rows, most of which have one network.
const PLACES_LOG2: u32 = 20;

/// Where a name that nobody has is counted: in places of a fixed number that all such names share. Whoever invents names fills
/// no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UnknownNameBucket([u8; 4]);

impl UnknownNameBucket {
    /// By a MAC of the name: which of them are in one place is not to be known.
    pub fn of(name: [u8; 32]) -> Self {
        Self::among(PLACES_LOG2, name)
    }

    fn among(places_log2: u32, mac: [u8; 32]) -> Self {
        let [first, second, third, fourth, ..] = mac;
        let number = u32::from_be_bytes([first, second, third, fourth]) >> (u32::BITS - places_log2);
        Self(number.to_be_bytes())
    }

    /// As it is counted under; a user's id is longer.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The account takes no try from there before `until`.
pub fn closed(until: DateTime<Utc>, now: DateTime<Utc>) -> Limited {
    Limited {
        policy: "account",
        quota: MOST_FAILURES,
        window: LONGEST_CLOSING,
        retry_after: (until - now).to_std().unwrap_or_default(),
    }
}

/// Deletes counts that nobody goes by any more.
pub(super) async fn run_sweep(pool: &ConnectionPool, clock: &Clock) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = clock.now();
        // What is left over by one pass is for the next: it is not in anybody's way.
        let swept =
            guess_store::sweep_guesses(pool, now - FORGOTTEN_AFTER, now - KNOWN_FOR, SWEEP_BATCH).await;
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
        assert!(u32::from_be_bytes(place(b"nobody").0) < 1 << PLACES_LOG2);
    }
}
