//! The sessions that a node remembers: the most recently used ones, as many as `SESSION_CACHE_SIZE` says.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use hashlink::LruCache;

use crate::config::Lifetimes;
use crate::shards::Shards;

use super::login::{HandleHash, Login, Presented, Principal, State};

/// Remembered sessions, by the hash of their handle.
pub(super) struct Cache {
    shards: Shards<Shard>,
    lifetimes: Lifetimes,
}

struct Shard {
    sessions: LruCache<HandleHash, Session>,
    /// Counts what was forgotten because it had changed. A look-up that was under way meanwhile may have read what
    /// was true before, and is not remembered.
    invalidations: u64,
}

struct Session {
    principal: Arc<Principal>,
    ends_at: DateTime<Utc>,
}

/// What a look-up must hold before it reads, so that what it read can be remembered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(u64);

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

impl Cache {
    pub(super) fn new(size: usize, lifetimes: Lifetimes) -> Self {
        let shard = |size| Shard { sessions: LruCache::new(size), invalidations: 0 };
        Self { shards: Shards::new(size, shard), lifetimes }
    }

    /// A remembered session that has not run out, which counts as used. One that has run out here may have been
    /// used on another node: that is for a look-up to say.
    pub(super) fn find(&self, hash: &HandleHash, now: DateTime<Utc>) -> Option<Presented> {
        let mut shard = self.shards.of(hash);
        let session = shard.sessions.get_mut(hash)?;
        if now >= session.ends_at {
            return None;
        }
        let used = self.used(&session.principal, now);
        session.ends_at = session.ends_at.max(used);
        let principal = Arc::clone(&session.principal);
        Some(Presented { principal, state: State::Live, ends_at: session.ends_at })
    }

    /// When a login that is used now ends if it is not used again.
    fn used(&self, principal: &Principal, now: DateTime<Utc>) -> DateTime<Utc> {
        principal.expires_at.min(now + self.lifetimes.span(principal.remember_me).idle)
    }

    pub(super) fn ticket(&self, hash: &HandleHash) -> Ticket {
        Ticket(self.shards.of(hash).invalidations)
    }

    /// What a request is told of a login that was looked up; a live one counts as used.
    pub(super) fn presented(&self, login: Login, state: State, now: DateTime<Utc>) -> Presented {
        let stored = login.ends_at();
        let principal = Principal {
            login_id: login.id,
            user_id: login.user.id,
            username: login.user.username,
            roles: login.user.roles,
            mode: login.mode,
            transport: login.transport,
            remember_me: login.remember_me,
            expires_at: login.expires_at,
        };
        let ends_at = if state == State::Live { stored.max(self.used(&principal, now)) } else { stored };
        Presented { principal: Arc::new(principal), state, ends_at }
    }

    /// Remembers what was looked up, unless something changed meanwhile.
    pub(super) fn admit(&self, hash: &HandleHash, ticket: Ticket, found: &Presented) {
        let mut shard = self.shards.of(hash);
        if shard.invalidations == ticket.0 {
            let principal = Arc::clone(&found.principal);
            shard.sessions.insert(*hash, Session { principal, ends_at: found.ends_at });
        }
    }

    /// How many sessions are remembered.
    pub(super) fn len(&self) -> usize {
        self.shards.each().map(|shard| shard.sessions.len()).sum()
    }

    /// Has it looked up anew.
    pub(super) fn forget(&self, hash: &HandleHash) {
        let mut shard = self.shards.of(hash);
        shard.invalidations += 1;
        shard.sessions.remove(hash);
    }

    /// Has everything looked up anew.
    pub(super) fn clear(&self) {
        for mut shard in self.shards.each() {
            shard.invalidations += 1;
            shard.sessions.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::config::Span;
    use crate::logins::Transport;

    fn cache() -> Cache {
        let span = Span { idle: Duration::from_secs(60), absolute: Duration::from_secs(600) };
        let none = Duration::ZERO;
        let lifetimes = Lifetimes {
            session: span,
            remember: span,
            access_token: none,
            refresh_grace: none,
            last_seen: None,
        };
        Cache::new(10, lifetimes)
    }

    fn presented() -> Presented {
        let ends_at = DateTime::<Utc>::UNIX_EPOCH + Duration::from_secs(60);
        let principal = Arc::new(Principal {
            login_id: Uuid::nil(),
            user_id: Uuid::nil(),
            username: "ada".to_owned(),
            roles: Vec::new(),
            mode: "session".to_owned(),
            transport: Transport::Bearer,
            remember_me: false,
            expires_at: ends_at,
        });
        Presented { principal, state: State::Live, ends_at }
    }

    fn is_remembered(cache: &Cache) -> bool {
        cache.find(&[7; 32], DateTime::<Utc>::UNIX_EPOCH).is_some()
    }

    #[test]
    fn what_was_read_before_a_change_and_comes_after_it_is_not_remembered() {
        for change in [|cache: &Cache| cache.forget(&[7; 32]), |cache: &Cache| cache.clear()] {
            let cache = cache();
            let ticket = cache.ticket(&[7; 32]);
            change(&cache);
            cache.admit(&[7; 32], ticket, &presented());
            assert!(!is_remembered(&cache));

            cache.admit(&[7; 32], cache.ticket(&[7; 32]), &presented());
            assert!(is_remembered(&cache));
            change(&cache);
            assert!(!is_remembered(&cache));
        }
    }

    #[test]
    fn what_has_run_out_here_is_looked_up() {
        let cache = cache();
        cache.admit(&[7; 32], cache.ticket(&[7; 32]), &presented());
        assert!(cache.find(&[7; 32], presented().ends_at).is_none());
    }
}
