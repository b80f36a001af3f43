//! Limits password guessing against one account, over all addresses, nodes and modes. Counts and rules are in
//! Postgres (`count_try` and `next_try_at` in the migrations). The limits per client network are in
//! `crate::network_rate_limits`.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::clock::Clock;
use crate::crypto::{AppSecret, MacKey};
use crate::database::ConnectionPool;
use crate::network_rate_limits::Limited;
use crate::upkeep;

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

/// Maximum number of rows that one statement of the sweep deletes.
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

/// The bucket in which failures for an unknown name are counted, whatever was guessed: a password or a code. All such names
/// share a fixed number of buckets, so that invented names can't fill the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UnknownNameBucket(Uuid);

impl UnknownNameBucket {
    /// The id of a made-up account: no user has it, since theirs are of another version (RFC 9562, section 5.8).
    pub fn account(&self) -> Uuid {
        self.0
    }

    /// The key in the table.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Maps names that nobody has to buckets.
pub struct UnknownNames {
    /// Which names share a bucket must not be predictable.
    key: MacKey,
}

impl UnknownNames {
    /// The same for every factor: whoever guesses at one name by several of them is counted once, as for a user.
    pub fn new(secret: &AppSecret) -> Self {
        Self { key: MacKey::derive(secret, "names that nobody has") }
    }

    /// The bucket of this username or email, whatever the letter case.
    pub fn bucket(&self, name: &str) -> UnknownNameBucket {
        self.bucket_among(BUCKETS_LOG2, name)
    }

    fn bucket_among(&self, buckets_log2: u32, name: &str) -> UnknownNameBucket {
        let [first, second, third, fourth, ..] = self.key.sign(name.to_ascii_lowercase().as_bytes());
        let number = u32::from_be_bytes([first, second, third, fourth]) >> (u32::BITS - buckets_log2);
        let id = self.key.sign_short(&number.to_be_bytes());
        UnknownNameBucket(uuid::Builder::from_custom_bytes(id).into_uuid())
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
    // One batch per pass is enough: remaining rows do no harm.
    upkeep::sweep_at_intervals("failed sign-in counts", || {
        let now = clock.now();
        guess_deletion::sweep_guesses(pool, now - FORGOTTEN_AFTER, now - KNOWN_FOR, SWEEP_BATCH)
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn however_many_names_there_are_they_share_the_places() {
        let names = UnknownNames::new(&AppSecret::generate());
        let places = (0..10_000).map(|name: u32| names.bucket_among(4, &name.to_string()));
        assert_eq!(places.collect::<HashSet<_>>().len(), 16);
    }

    #[test]
    fn a_name_has_one_place_which_is_no_user_s() {
        let names = UnknownNames::new(&AppSecret::generate());
        let place = |name: &str| names.bucket(name);
        assert_eq!(place("nobody"), place("NoBody"));
        assert_ne!(place("nobody"), place("somebody"));
        assert_ne!(place("nobody").account().get_version(), Uuid::now_v7().get_version());
        assert_ne!(place("nobody"), UnknownNames::new(&AppSecret::generate()).bucket("nobody"));
    }
}
