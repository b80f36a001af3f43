//! What this node knows of logins without asking: sessions that were used lately, and what was revoked while access
//! tokens of it may still be about.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use chrono::{DateTime, Utc};
use hashlink::DefaultHashBuilder;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::config::{DirectoryConfig, Lifetimes};

use super::cache::Cache;
use super::feed::{FeedRow, OwnerClaims};
use super::freshness::FeedFreshness;

/// How often what has run out is forgotten.
const FORGET_INTERVAL: chrono::Duration = chrono::Duration::seconds(10);

/// What is known of an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RevocationStatus {
    /// Nothing that speaks against it.
    No,
    /// Its login has ended.
    Ended,
    /// Its owner has, or had a moment ago, another name or other roles than it says.
    OtherOwner,
}

/// How much a node remembers.
#[derive(Clone, Copy, Debug)]
pub struct DirectoryStats {
    /// Sessions.
    pub sessions: usize,
    /// Logins that have ended lately, or of which access tokens may be about.
    pub ended_logins: usize,
    /// Users whose name or roles have changed while access tokens with others may be about.
    pub changed_owners: usize,
    /// How long ago the last complete look at the feed began; none: there was none.
    pub age: Option<Duration>,
}

/// Bounded: the sessions by a setting, the revoked logins by what can still be presented.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) sessions: Cache,
    pub(super) freshness: FeedFreshness,
    /// Wakes who tells other nodes that there is something new to read.
    pub(super) news: Notify,
    known: RwLock<RevocationIndex>,
}

/// What credentials are measured by, each until it concerns none any more. Two look-ups for each access token: with the hash of
/// hashlink, which takes a third of the standard library's time; nobody but us chooses these ids.
#[derive(Debug, Default)]
struct RevocationIndex {
    /// Logins, in every mode.
    ended: HashMap<Uuid, DateTime<Utc>, DefaultHashBuilder>,
    /// By the user's id.
    changed: HashMap<Uuid, ChangedUser, DefaultHashBuilder>,
    /// What had run out by then was forgotten.
    forgotten: DateTime<Utc>,
}

/// A user whose name or roles have changed.
#[derive(Debug)]
struct ChangedUser {
    now: OwnerClaims,
    until: DateTime<Utc>,
}

impl Directory {
    pub(super) fn new(config: &DirectoryConfig, lifetimes: Lifetimes) -> Self {
        Self {
            sessions: Cache::new(config.session_cache_size, lifetimes),
            freshness: FeedFreshness::new(config.staleness_bound),
            news: Notify::new(),
            known: RwLock::default(),
        }
    }

    /// Compared by name and roles themselves and not by when they changed: no two clocks have to agree.
    pub(super) fn revoked(
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
                RevocationStatus::OtherOwner
            }
            _ => RevocationStatus::No,
        }
    }

    /// Whether it is known that a login has ended. An end is final, whatever a database says that has lost it.
    pub(super) fn has_ended(&self, login: Uuid) -> bool {
        self.read().ended.contains_key(&login)
    }

    /// Logins that are known to have ended, and that these rows don't tell of, each with the time until which that is
    /// to be known.
    pub(super) fn ended_beside(
        &self,
        revocations: &[FeedRow],
        now: DateTime<Utc>,
    ) -> Vec<(Uuid, DateTime<Utc>)> {
        let told: HashSet<Uuid> = revocations.iter().filter_map(|revocation| revocation.login_id).collect();
        let known = self.read();
        let lasting = known.ended.iter().filter(|(login, until)| **until > now && !told.contains(login));
        lasting.map(|(login, until)| (*login, *until)).collect()
    }

    /// Users whose name or roles have changed lately.
    pub(super) fn changed_owners(&self) -> Vec<Uuid> {
        self.read().changed.keys().copied().collect()
    }

    /// Takes these users for what they are now, of those that had changed.
    pub(super) fn take_owners(&self, owners: Vec<OwnerClaims>) {
        let mut known = self.write();
        for owner in owners {
            if let Some(changed) = known.changed.get_mut(&owner.user_id) {
                changed.now = owner;
            }
        }
    }

    /// How much there is of each, and how old that is.
    pub(super) fn stats(&self) -> DirectoryStats {
        let known = self.read();
        DirectoryStats {
            sessions: self.sessions.len(),
            ended_logins: known.ended.len(),
            changed_owners: known.changed.len(),
            age: self.freshness.age(),
        }
    }

    /// Takes in what the feed says, and forgets what has run out. Gives the time by which that was.
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
            // Of two rows, the one counts that says longer.
            let known = self.ended.entry(login).or_insert(until);
            *known = until.max(*known);
        }
        if let Some(now) = &revocation.owner {
            let known = self.changed.get(&now.user_id).map_or(until, |known| known.until);
            self.changed.insert(now.user_id, ChangedUser { now: now.clone(), until: until.max(known) });
        }
    }

    /// Every so often, since it looks at each. When the clock was set back, what it forgot counts from there.
    fn forget(&mut self, out_by: DateTime<Utc>) {
        if (self.forgotten..self.forgotten + FORGET_INTERVAL).contains(&out_by) {
            return;
        }
        self.ended.retain(|_, until| *until > out_by);
        self.changed.retain(|_, changed| changed.until > out_by);
        self.forgotten = out_by;
    }
}
