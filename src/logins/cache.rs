//! The session cache of a node: the most recently used sessions, at most `SESSION_CACHE_SIZE`.
//!
//! Cache libraries evict only approximately the least recently used entry. They also have no read generations: a row
//! that was read before a revocation arrived must not be cached after it (docs/decisions/0006).

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use hashlink::LruCache;

use crate::config::Lifetimes;
use crate::shards::Shards;

use super::credential_rotation_history::{CredentialRotationHistory, GenerationStatus};
use super::login::{FoundLogin, HandleHash, HandleStatus, Login, LoginIdentity};

/// Cached sessions, by the hash of their handle.
pub(super) struct Cache {
    shards: Shards<Shard>,
    lifetimes: Lifetimes,
}

struct Shard {
    sessions: LruCache<HandleHash, Session>,
    /// Counts the entries that were dropped because they changed. A look-up that was running meanwhile may have read
    /// the old state, so its result is not cached.
    invalidations: u64,
}

/// A live login, with what is needed to answer a request that presents a handle of it.
pub(super) struct Session {
    principal: Arc<LoginIdentity>,
    generations: CredentialRotationHistory,
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
            transport: login.handle_transport.unwrap_or(login.transport),
            authentication: login.authentication,
            remember_me: login.remember_me,
            expires_at: login.expires_at,
        };
        Self { principal: Arc::new(principal), generations: login.generations, ends_at }
    }

    /// The result for a request that presents this generation of the handle. A good one extends the idle time. `None`
    /// when the generation is newer than the cached one.
    pub(super) fn present(
        &mut self,
        generation: i32,
        now: DateTime<Utc>,
        lifetimes: &Lifetimes,
    ) -> Option<FoundLogin> {
        let until = match self.generations.status_of(generation, lifetimes.refresh_grace, now) {
            GenerationStatus::Current => DateTime::<Utc>::MAX_UTC,
            GenerationStatus::InGrace { until } => until,
            GenerationStatus::Replaced | GenerationStatus::Unknown => {
                return Some(self.found_with(HandleStatus::Replaced));
            }
            GenerationStatus::Newer => return None,
        };
        let idle = lifetimes.of_login(self.principal.remember_me).idle;
        self.ends_at = self.ends_at.max(self.principal.expires_at.min(now + idle));
        let ends_at = self.ends_at.min(until);
        Some(FoundLogin { ends_at, ..self.found_with(HandleStatus::Valid) })
    }

    /// The result for a request that presents a generation newer than the one in the database. We issued it, and a
    /// failover lost the renewal; it counts as the current one.
    pub(super) fn present_newest(&mut self, now: DateTime<Utc>, lifetimes: &Lifetimes) -> Option<FoundLogin> {
        self.present(self.generations.current, now, lifetimes)
    }

    /// The result for a request whose handle has this status.
    pub(super) fn found_with(&self, validity: HandleStatus) -> FoundLogin {
        FoundLogin { principal: Arc::clone(&self.principal), validity, ends_at: self.ends_at }
    }
}

/// Taken before a look-up reads the database. [`Cache::insert`] uses it to reject results that a change has made
/// outdated.
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

    /// A cached session that has not expired, if this generation of its handle is known. An expired entry, or a newer
    /// generation, needs a look-up: another node may have seen the session used or renewed.
    pub(super) fn find(&self, hash: &HandleHash, generation: i32, now: DateTime<Utc>) -> Option<FoundLogin> {
        let mut shard = self.shards.of(hash);
        let session = shard.sessions.get_mut(hash)?;
        if now >= session.ends_at {
            return None;
        }
        session.present(generation, now, &self.lifetimes)
    }

    pub(super) fn begin_read(&self, hash: &HandleHash) -> ReadGeneration {
        ReadGeneration(self.shards.of(hash).invalidations)
    }

    /// Caches the result of a look-up, unless something changed meanwhile.
    pub(super) fn insert(&self, hash: &HandleHash, ticket: ReadGeneration, session: Session) {
        let mut shard = self.shards.of(hash);
        if shard.invalidations == ticket.0 {
            shard.sessions.insert(*hash, session);
        }
    }

    /// Number of cached sessions.
    pub(super) fn len(&self) -> usize {
        self.shards.each().map(|shard| shard.sessions.len()).sum()
    }

    /// Drops an entry, so that the next request looks it up.
    pub(super) fn forget(&self, hash: &HandleHash) {
        let mut shard = self.shards.of(hash);
        shard.invalidations += 1;
        shard.sessions.remove(hash);
    }

    /// Drops all entries.
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
            transport: Transport::Bearer,
            authentication: Default::default(),
            remember_me: false,
            expires_at: at(600),
        });
        let generations = CredentialRotationHistory { current: 2, replaced_at: vec![at(50), at(5)] };
        Session { principal, generations, ends_at: at(110) }
    }

    fn remembering() -> Cache {
        let cache = cache();
        cache.insert(&[7; 32], cache.begin_read(&[7; 32]), session());
        cache
    }

    #[test]
    fn what_was_read_before_a_change_and_comes_after_it_is_not_remembered() {
        for change in [|cache: &Cache| cache.forget(&[7; 32]), |cache: &Cache| cache.clear()] {
            let cache = cache();
            let ticket = cache.begin_read(&[7; 32]);
            change(&cache);
            cache.insert(&[7; 32], ticket, session());
            assert_eq!(cache.len(), 0);

            cache.insert(&[7; 32], cache.begin_read(&[7; 32]), session());
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
            Some((found.validity == HandleStatus::Valid, found.ends_at))
        };
        assert_eq!(found(0, 60), Some((false, at(110))), "to show what is over is no use of it");
        assert_eq!(found(1, 60), Some((true, at(80))));
        assert_eq!(found(2, 70), Some((true, at(130))));
        assert_eq!(found(1, 80), Some((false, at(130))));
        assert_eq!(found(3, 80), None);
    }
}
