//! The sessions that a node remembers: the most recently used ones, as many as `SESSION_CACHE_SIZE` says.
//!
//! Caches of libraries evict nearly the least recently used, and know no generations: a row that was read before a revocation arrived
//! must not be put back after it (docs/decisions/0006).

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use hashlink::LruCache;

use crate::config::Lifetimes;
use crate::shards::Shards;

use super::credential_generations::{CredentialGenerations, CredentialStatus};
use super::login::{FoundLogin, HandleHash, HandleStatus, Login, LoginIdentity};

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

/// A live login as a request meets it that shows a handle of its.
pub(super) struct Session {
    principal: Arc<LoginIdentity>,
    generations: CredentialGenerations,
    ends_at: DateTime<Utc>,
}

impl Session {
    pub(super) fn of(login: Login) -> Self {
        let ends_at = login.ends_at();
        let principal = LoginIdentity {
            login_id: login.id,
            user_id: login.user.id,
            username: login.user.username,
            roles: login.user.roles,
            mode: login.mode,
            transport: login.transport,
            authentication: login.authentication,
            remember_me: login.remember_me,
            expires_at: login.expires_at,
        };
        Self { principal: Arc::new(principal), generations: login.generations, ends_at }
    }

    /// What a request is told that shows this generation of the handle. If that is good, the session counts as used.
    /// `None`: it is newer than what is known here.
    pub(super) fn present(
        &mut self,
        generation: i32,
        now: DateTime<Utc>,
        lifetimes: &Lifetimes,
    ) -> Option<FoundLogin> {
        let until = match self.generations.standing(generation, lifetimes.refresh_grace, now) {
            CredentialStatus::Current => DateTime::<Utc>::MAX_UTC,
            CredentialStatus::InGrace { until } => until,
            CredentialStatus::Over | CredentialStatus::Forgotten => {
                return Some(self.found_with(HandleStatus::Replaced));
            }
            CredentialStatus::Newer => return None,
        };
        let idle = lifetimes.span(self.principal.remember_me).idle;
        self.ends_at = self.ends_at.max(self.principal.expires_at.min(now + idle));
        let ends_at = self.ends_at.min(until);
        Some(FoundLogin { ends_at, ..self.found_with(HandleStatus::Good) })
    }

    /// What a request is told that shows a generation which the database does not know of either. It was given out by us,
    /// and a failover has lost that.
    pub(super) fn present_newest(&mut self, now: DateTime<Utc>, lifetimes: &Lifetimes) -> Option<FoundLogin> {
        self.present(self.generations.current, now, lifetimes)
    }

    /// What a request is told whose handle is this good.
    pub(super) fn found_with(&self, validity: HandleStatus) -> FoundLogin {
        FoundLogin { principal: Arc::clone(&self.principal), validity, ends_at: self.ends_at }
    }
}

/// What a look-up must hold before it reads, so that what it read can be remembered.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadGeneration(u64);

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

    /// A remembered session that has not run out, if this generation of its handle is known. One that has run out
    /// here may have been used on another node, and renewed there if the generation is newer: that is for a look-up
    /// to say.
    pub(super) fn find(&self, hash: &HandleHash, generation: i32, now: DateTime<Utc>) -> Option<FoundLogin> {
        let mut shard = self.shards.of(hash);
        let session = shard.sessions.get_mut(hash)?;
        if now >= session.ends_at {
            return None;
        }
        session.present(generation, now, &self.lifetimes)
    }

    pub(super) fn ticket(&self, hash: &HandleHash) -> ReadGeneration {
        ReadGeneration(self.shards.of(hash).invalidations)
    }

    /// Remembers what was looked up, unless something changed meanwhile.
    pub(super) fn insert(&self, hash: &HandleHash, ticket: ReadGeneration, session: Session) {
        let mut shard = self.shards.of(hash);
        if shard.invalidations == ticket.0 {
            shard.sessions.insert(*hash, session);
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
    use crate::config::IdleAndAbsolute;
    use crate::logins::Transport;

    fn cache() -> Cache {
        let span = IdleAndAbsolute { idle: Duration::from_secs(60), absolute: Duration::from_secs(600) };
        let none = Duration::ZERO;
        let lifetimes = Lifetimes {
            session: span,
            remember: span,
            access_token: none,
            refresh_grace: Duration::from_secs(30),
            last_seen: None,
        };
        Cache::new(10, lifetimes)
    }

    fn at(second: u64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    /// At its second generation for 50 s.
    fn session() -> Session {
        let principal = Arc::new(LoginIdentity {
            login_id: Uuid::nil(),
            user_id: Uuid::nil(),
            username: "ada".to_owned(),
            roles: Vec::new(),
            mode: "session".to_owned(),
            transport: Transport::Bearer,
            authentication: Default::default(),
            remember_me: false,
            expires_at: at(600),
        });
        let generations = CredentialGenerations { current: 2, replaced_at: vec![at(50), at(5)] };
        Session { principal, generations, ends_at: at(110) }
    }

    fn remembering() -> Cache {
        let cache = cache();
        cache.insert(&[7; 32], cache.ticket(&[7; 32]), session());
        cache
    }

    #[test]
    fn what_was_read_before_a_change_and_comes_after_it_is_not_remembered() {
        for change in [|cache: &Cache| cache.forget(&[7; 32]), |cache: &Cache| cache.clear()] {
            let cache = cache();
            let ticket = cache.ticket(&[7; 32]);
            change(&cache);
            cache.insert(&[7; 32], ticket, session());
            assert_eq!(cache.len(), 0);

            cache.insert(&[7; 32], cache.ticket(&[7; 32]), session());
            assert!(cache.find(&[7; 32], 2, at(51)).is_some());
            change(&cache);
            assert_eq!(cache.len(), 0);
        }
    }

    #[test]
    fn what_has_run_out_here_is_looked_up() {
        assert!(remembering().find(&[7; 32], 2, at(110)).is_none());
    }

    #[test]
    fn a_generation_is_judged_from_memory_and_a_newer_one_is_looked_up() {
        let cache = remembering();
        let found = |generation, second| {
            let found = cache.find(&[7; 32], generation, at(second))?;
            Some((found.validity == HandleStatus::Good, found.ends_at))
        };
        assert_eq!(found(0, 60), Some((false, at(110))), "to show what is over is no use of it");
        assert_eq!(found(1, 60), Some((true, at(80))));
        assert_eq!(found(2, 70), Some((true, at(130))));
        assert_eq!(found(1, 80), Some((false, at(130))));
        assert_eq!(found(3, 80), None);
    }
}
