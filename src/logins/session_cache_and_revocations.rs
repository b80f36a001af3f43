//! A node's in-memory knowledge about logins: recently used sessions, and revocations that concern access tokens
//! still in circulation.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::config::{Lifetimes, SessionCacheAndRevocationConfig};
use crate::database::PgSnapshotPosition;

use super::cache::Cache;
use super::feed::{FeedRow, OwnerClaims};
use super::followers::{FeedChanges, FeedCursor, Followers};
use super::freshness::FeedFreshness;
use super::revocation_index::RevocationIndex;

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
    /// Number of requests of other services that wait for revocations.
    pub followers: usize,
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
    /// The services that ask for revocations.
    pub(super) followers: Followers,
    known: RwLock<RevocationIndex>,
}

impl SessionCacheAndRevocations {
    pub(super) fn new(config: &SessionCacheAndRevocationConfig, lifetimes: Lifetimes) -> Self {
        Self {
            sessions: Cache::new(config.session_cache_size, lifetimes),
            freshness: FeedFreshness::new(config.staleness_bound),
            news: Notify::new(),
            followers: Followers::default(),
            known: RwLock::default(),
        }
    }

    /// The status of an access token.
    pub(super) fn revocation_status(
        &self,
        login: Uuid,
        user: Uuid,
        username: &str,
        roles: &[String],
    ) -> RevocationStatus {
        self.read().status(login, user, username, roles)
    }

    /// Whether the login is known to have ended. An end is final, even if a failover has lost it in the database.
    pub(super) fn has_ended(&self, login: Uuid) -> bool {
        self.read().has_ended(login)
    }

    /// Logins that are known to have ended and are missing from these rows, each with the time until which its end
    /// must be remembered.
    pub(super) fn ended_missing_from(
        &self,
        revocations: &[FeedRow],
        now: DateTime<Utc>,
    ) -> Vec<(Uuid, DateTime<Utc>)> {
        self.read().ended_missing_from(revocations, now)
    }

    /// Users whose name or roles have changed recently.
    pub(super) fn changed_owners(&self) -> Vec<Uuid> {
        self.read().changed_owners()
    }

    /// Updates the name and roles of users that are remembered as changed.
    pub(super) fn update_owners(&self, owners: Vec<OwnerClaims>) {
        self.write().update_owners(owners);
    }

    /// The current sizes and age.
    pub(super) fn stats(&self) -> SessionCacheAndRevocationStats {
        let known = self.read();
        SessionCacheAndRevocationStats {
            sessions: self.sessions.len(),
            ended_logins: known.ended_count(),
            changed_owners: known.changed_count(),
            followers: self.followers.waiting(),
            age: self.freshness.age(),
        }
    }

    /// Applies rows of the feed, which are all of it or the new ones up to this position, and removes what had expired by
    /// `out_by`. Returns the time of the last clean-up.
    pub(super) fn apply(
        &self,
        revocations: &[FeedRow],
        position: PgSnapshotPosition,
        is_all: bool,
        out_by: DateTime<Utc>,
    ) -> DateTime<Utc> {
        let mut known = self.write();
        if is_all {
            known.begin_anew(&position);
        }
        known.add(revocations, position);
        for hash in revocations.iter().filter_map(|revocation| revocation.handle_hash.as_ref()) {
            self.sessions.forget(hash);
        }
        let forgotten = known.forget(out_by);
        drop(known);
        if is_all || revocations.iter().any(FeedRow::concerns_followers) {
            self.followers.wake();
        }
        forgotten
    }

    /// What a follower with this cursor does not know yet: see [`RevocationIndex::changes_since`].
    pub(super) fn changes_since(&self, cursor: Option<&FeedCursor>, max_bytes: usize) -> Option<FeedChanges> {
        self.read().changes_since(cursor, max_bytes)
    }

    fn read(&self) -> RwLockReadGuard<'_, RevocationIndex> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, RevocationIndex> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}
