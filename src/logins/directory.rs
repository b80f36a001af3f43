//! What this node knows of logins without asking: sessions that were used lately, and what was revoked while access
//! tokens of it may still be about.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::config::{DirectoryConfig, Lifetimes};

use super::cache::Cache;
use super::freshness::Freshness;
use super::store::Revocation;

/// How often what has run out is forgotten.
const FORGET_INTERVAL: chrono::Duration = chrono::Duration::seconds(10);

/// What is known of an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Revoked {
    /// Nothing that speaks against it.
    No,
    /// Its login has ended.
    Ended,
    /// Its owner has, or had a moment ago, other roles than it says.
    OtherRoles,
}

/// How much a node remembers.
#[derive(Clone, Copy, Debug)]
pub struct Census {
    /// Sessions.
    pub sessions: usize,
    /// Logins that have ended while access tokens of theirs may be about.
    pub ended_logins: usize,
    /// Users whose roles have changed while access tokens with others may be about.
    pub changed_roles: usize,
    /// How long ago the last complete look at the feed began; none: there was none.
    pub age: Option<Duration>,
}

/// Bounded: the sessions by a setting, the revoked logins by what can still be presented.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) sessions: Cache,
    pub(super) freshness: Freshness,
    tokens: RwLock<Tokens>,
}

/// What access tokens are measured by, each until the last token that it concerns has run out.
#[derive(Debug, Default)]
struct Tokens {
    ended: HashMap<Uuid, DateTime<Utc>>,
    roles: HashMap<Uuid, Roles>,
    /// What had run out by then was forgotten.
    forgotten: DateTime<Utc>,
}

#[derive(Debug)]
struct Roles {
    now: Vec<String>,
    until: DateTime<Utc>,
}

impl Directory {
    pub(super) fn new(config: &DirectoryConfig, lifetimes: Lifetimes) -> Self {
        Self {
            sessions: Cache::new(config.session_cache_size, lifetimes),
            freshness: Freshness::new(config.staleness_bound),
            tokens: RwLock::default(),
        }
    }

    /// Compared by the roles themselves and not by when they changed: no two clocks have to agree.
    pub(super) fn revoked(&self, login: Uuid, user: Uuid, roles: &[String]) -> Revoked {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        if tokens.ended.contains_key(&login) {
            return Revoked::Ended;
        }
        match tokens.roles.get(&user) {
            Some(changed) if changed.now != roles => Revoked::OtherRoles,
            _ => Revoked::No,
        }
    }

    /// How much there is of each, and how old that is.
    pub(super) fn census(&self) -> Census {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        Census {
            sessions: self.sessions.len(),
            ended_logins: tokens.ended.len(),
            changed_roles: tokens.roles.len(),
            age: self.freshness.age(),
        }
    }

    /// Takes in what the feed says, and forgets what has run out. Gives the time by which that was.
    pub(super) fn apply(&self, revocations: &[Revocation], out_by: DateTime<Utc>) -> DateTime<Utc> {
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        for revocation in revocations {
            tokens.add(revocation);
            if let Some(hash) = revocation.handle_hash() {
                self.sessions.forget(&hash);
            }
        }
        tokens.forget(out_by);
        tokens.forgotten
    }
}

impl Tokens {
    fn add(&mut self, revocation: &Revocation) {
        let until = revocation.until;
        if let Some(login) = revocation.login_id {
            self.ended.insert(login, until);
        }
        if let Some((user, now)) = revocation.user_id.zip(revocation.roles.clone()) {
            let known = self.roles.get(&user).map_or(until, |known| known.until);
            self.roles.insert(user, Roles { now, until: until.max(known) });
        }
    }

    /// Every so often, since it looks at each. When the clock was set back, what it forgot counts from there.
    fn forget(&mut self, out_by: DateTime<Utc>) {
        if (self.forgotten..self.forgotten + FORGET_INTERVAL).contains(&out_by) {
            return;
        }
        self.ended.retain(|_, until| *until > out_by);
        self.roles.retain(|_, roles| roles.until > out_by);
        self.forgotten = out_by;
    }
}
