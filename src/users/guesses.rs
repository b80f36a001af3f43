//! Guessing at one account, over all addresses, nodes and modes: what is allowed, and from when on it is closed to
//! strangers. The counts are in Postgres (`admit_try` in the migrations); a network's own are `crate::limits`.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::database::Connections;
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
    /// What the try is counted under when nobody has the name that they gave.
    pub nobody: Nobody,
}

/// How many places there are for names that nobody has, as a power of two: a million, in about a hundred megabytes.
const PLACES_LOG2: u32 = 20;

/// The place of a name that nobody has, of a fixed number that all such names share: whoever invents names fills no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nobody([u8; 4]);

impl Nobody {
    /// By a MAC of the name: which names are in one place is not to be known.
    pub fn of(mac: [u8; 32]) -> Self {
        Self::among(PLACES_LOG2, mac)
    }

    fn among(places_log2: u32, mac: [u8; 32]) -> Self {
        let [first, second, third, fourth, ..] = mac;
        let number = u32::from_be_bytes([first, second, third, fourth]) >> (u32::BITS - places_log2);
        Self(number.to_be_bytes())
    }

    /// As an account is counted under; a user's id is longer.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
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
pub(super) async fn keep_swept(pool: &Connections, clock: &Clock) {
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use crate::tokens::sha256;

    use super::*;

    #[test]
    fn however_many_names_there_are_they_share_the_places() {
        let places = (0..10_000).map(|name: u32| Nobody::among(4, sha256(&name.to_be_bytes())));
        assert_eq!(places.collect::<HashSet<_>>().len(), 16);
    }

    #[test]
    fn a_name_has_one_place_which_is_no_user_s() {
        let place = Nobody::of(sha256(b"nobody"));
        assert_eq!(place, Nobody::of(sha256(b"nobody")));
        assert_ne!(place, Nobody::of(sha256(b"somebody")));
        assert_ne!(place.as_bytes().len(), size_of::<uuid::Uuid>());
        assert!(u32::from_be_bytes(place.0) < 1 << PLACES_LOG2);
    }
}
