//! A node's in-memory knowledge about logins: recently used sessions, and revocations that concern access tokens
//! still in circulation.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use chrono::{DateTime, Utc};
use hashlink::DefaultHashBuilder;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::config::{Lifetimes, SessionCacheAndRevocationConfig};

use super::cache::Cache;
use super::feed::{FeedRow, OwnerClaims};
use super::freshness::FeedFreshness;

/// How often expired revocations are removed.
const FORGET_INTERVAL: chrono::Duration = chrono::Duration::seconds(10);

/// The status of an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RevocationStatus {
    /// Not revoked.
    NotRevoked,
    /// Its login has ended.
    Ended,
    /// Its owner's name or roles differ from the ones in the token.
    OwnerChanged,
}

/// Size and age of a node's in-memory knowledge, for metrics and the health check.
#[derive(Clone, Copy, Debug)]
pub struct SessionCacheAndRevocationStats {
    /// Number of cached sessions.
    pub sessions: usize,
    /// Number of remembered logins that have ended and may still have valid access tokens.
    pub ended_logins: usize,
    /// Number of remembered users whose name or roles have changed and who may still have access tokens with the old
    /// ones.
    pub changed_owners: usize,
    /// Time since the last successful poll of the feed began; `None` before the first.
    pub age: Option<Duration>,
}

/// Bounded: the sessions by `SESSION_CACHE_SIZE`, the revocations by the lifetime of access tokens.
#[derive(Debug)]
pub(super) struct SessionCacheAndRevocations {
    pub(super) sessions: Cache,
    pub(super) freshness: FeedFreshness,
    /// Wakes the task that notifies other nodes of new rows in the feed.
    pub(super) news: Notify,
    known: RwLock<RevocationIndex>,
}

/// Revocations, each kept for as long as it may concern a valid credential. Every access token needs two look-ups
/// here, so it uses hashlink's hash, which takes a third of the standard library's time. It need not resist chosen
/// keys: only the server chooses these ids.
#[derive(Debug, Default)]
struct RevocationIndex {
    /// Ended logins of every mode, with the time until which they are kept.
    ended: HashMap<Uuid, DateTime<Utc>, DefaultHashBuilder>,
    /// Changed users, by their id.
    changed: HashMap<Uuid, ChangedUser, DefaultHashBuilder>,
    /// The time of the last clean-up: revocations that had expired by then are removed.
    forgotten: DateTime<Utc>,
}

/// A user whose name or roles have changed.
#[derive(Debug)]
struct ChangedUser {
    now: OwnerClaims,
    until: DateTime<Utc>,
}

impl SessionCacheAndRevocations {
    pub(super) fn new(config: &SessionCacheAndRevocationConfig, lifetimes: Lifetimes) -> Self {
        Self {
            sessions: Cache::new(config.session_cache_size, lifetimes),
            freshness: FeedFreshness::new(config.staleness_bound),
            news: Notify::new(),
            known: RwLock::default(),
        }
    }

    /// The status of an access token. Compares the name and the roles themselves rather than the time of their
    /// change, so that no clocks have to agree.
    pub(super) fn revocation_status(
        &self,
        login: Uuid,
        user: Uuid,
        username: &str,
        roles: &[String],
    ) -> RevocationStatus {
        let known = self.read();
        if known.ended.contains_key(&login) {
            return RevocationStatus::Ended;
        }
        match known.changed.get(&user) {
            Some(ChangedUser { now, .. }) if now.roles != roles || now.username != username => {
                RevocationStatus::OwnerChanged
            }
            _ => RevocationStatus::NotRevoked,
        }
    }

    /// Whether the login is known to have ended. An end is final, even if a failover has lost it in the database.
    pub(super) fn has_ended(&self, login: Uuid) -> bool {
        self.read().ended.contains_key(&login)
    }

    /// Logins that are known to have ended and are missing from these rows, each with the time until which its end
    /// must be remembered.
    pub(super) fn ended_missing_from(
        &self,
        revocations: &[FeedRow],
        now: DateTime<Utc>,
    ) -> Vec<(Uuid, DateTime<Utc>)> {
        let told: HashSet<Uuid> = revocations.iter().filter_map(|revocation| revocation.login_id).collect();
        let known = self.read();
        let lasting = known.ended.iter().filter(|(login, until)| **until > now && !told.contains(login));
        lasting.map(|(login, until)| (*login, *until)).collect()
    }

    /// Users whose name or roles have changed recently.
    pub(super) fn changed_owners(&self) -> Vec<Uuid> {
        self.read().changed.keys().copied().collect()
    }

    /// Updates the name and roles of users that are remembered as changed.
    pub(super) fn update_owners(&self, owners: Vec<OwnerClaims>) {
        let mut known = self.write();
        for owner in owners {
            if let Some(changed) = known.changed.get_mut(&owner.user_id) {
                changed.now = owner;
            }
        }
    }

    /// The current sizes and age.
    pub(super) fn stats(&self) -> SessionCacheAndRevocationStats {
        let known = self.read();
        SessionCacheAndRevocationStats {
            sessions: self.sessions.len(),
            ended_logins: known.ended.len(),
            changed_owners: known.changed.len(),
            age: self.freshness.age(),
        }
    }

    /// Applies rows of the feed, and removes what had expired by `out_by`. Returns the time of the last clean-up.
    pub(super) fn apply(&self, revocations: &[FeedRow], out_by: DateTime<Utc>) -> DateTime<Utc> {
        let mut known = self.write();
        for revocation in revocations {
            known.add(revocation);
            if let Some(hash) = &revocation.handle_hash {
                self.sessions.forget(hash);
            }
        }
        known.forget(out_by);
        known.forgotten
    }

    fn read(&self) -> RwLockReadGuard<'_, RevocationIndex> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, RevocationIndex> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RevocationIndex {
    fn add(&mut self, revocation: &FeedRow) {
        let until = revocation.until;
        if let Some(login) = revocation.login_id {
            // If there are two rows for one login, the later time counts.
            let known = self.ended.entry(login).or_insert(until);
            *known = until.max(*known);
        }
        if let Some(now) = &revocation.owner {
            let known = self.changed.get(&now.user_id).map_or(until, |known| known.until);
            self.changed.insert(now.user_id, ChangedUser { now: now.clone(), until: until.max(known) });
        }
    }

    /// Removes expired entries. Runs at most once per [`FORGET_INTERVAL`], since it visits every entry, and also when
    /// the clock was set back.
    fn forget(&mut self, out_by: DateTime<Utc>) {
        if (self.forgotten..self.forgotten + FORGET_INTERVAL).contains(&out_by) {
            return;
        }
        self.ended.retain(|_, until| *until > out_by);
        self.changed.retain(|_, changed| changed.until > out_by);
        self.forgotten = out_by;
    }
}
