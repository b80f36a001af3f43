//! Look-ups of logins for requests: by a handle, or whether an access token is revoked. Answered from memory while
//! that is fresh.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::config::{JwtRevocation, SessionLookup, StaleTokenPolicy};
use crate::database::DatabaseError;

use super::cache::Session;
use super::login::{FoundLogin, HandleHash, HandleStatus, Login, LoginState};
use super::session_cache_and_revocations::RevocationStatus;
use super::{Logins, store};

/// Why an access token is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevocationCheckError {
    /// Its login has ended.
    #[error("the token's login has ended")]
    Ended,
    /// Its owner's name or roles have changed.
    #[error("the token's owner has another name or other roles now")]
    OwnerChanged,
    /// The revocation feed is stale, so it is unknown whether the token was revoked.
    #[error("the revocation feed can't be read")]
    Stale,
}

impl Logins {
    /// Finds the login for this generation of a handle of this mode, live or not, and records its use if the handle is good. Needs
    /// no SQL while the cached session is fresh.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn find_by_handle(
        &self,
        hash: &HandleHash,
        generation: i32,
        mode: &'static str,
    ) -> Result<Option<FoundLogin>, DatabaseError> {
        let now = self.clock.now();
        if self.remembers_sessions()
            && self.memory.freshness.is_fresh(now).await
            && let Some(found) = self.memory.sessions.find(hash, generation, now)
        {
            self.note_use(&found, now);
            return Ok(Some(found));
        }
        // Boxed: a request that hits the cache must not carry the future of the query.
        Box::pin(self.look_up(hash, generation, mode, now)).await
    }

    fn remembers_sessions(&self) -> bool {
        self.config.session_lookup == SessionLookup::Cached
    }

    fn note_use(&self, presented: &FoundLogin, now: DateTime<Utc>) {
        if presented.validity == HandleStatus::Valid {
            self.activity.record(presented.principal.login_id, presented.principal.remember_me, now);
        }
    }

    async fn look_up(
        &self,
        hash: &HandleHash,
        generation: i32,
        mode: &'static str,
        now: DateTime<Utc>,
    ) -> Result<Option<FoundLogin>, DatabaseError> {
        let sessions = &self.memory.sessions;
        let generation_read = sessions.begin_read(hash);
        let Some(login) = store::find_by_handle(self.requests(), hash, mode).await? else { return Ok(None) };
        let login = self.activity.overlay(login, &self.lifetimes);
        let is_live = self.state(&login, now) == LoginState::Live;
        let mut session = Session::of(login);
        if !is_live {
            return Ok(Some(session.found_with(HandleStatus::Ended)));
        }
        let presented = session
            .present(generation, now, &self.lifetimes)
            .or_else(|| session.present_newest(now, &self.lifetimes));
        presented.iter().for_each(|presented| self.note_use(presented, now));
        if self.remembers_sessions() {
            sessions.insert(hash, generation_read, session);
        }
        Ok(presented)
    }

    /// The state of a login that was read from the database, which may have lost its end in a failover.
    pub(super) fn state(&self, login: &Login, now: DateTime<Utc>) -> LoginState {
        if self.memory.has_ended(login.id) { LoginState::Ended } else { login.state(now) }
    }

    /// Checks that an access token of this login, for this user with this name and these roles, is not revoked.
    /// Answered from memory, without SQL.
    ///
    /// # Errors
    /// See [`RevocationCheckError`].
    pub async fn check_token(
        &self,
        login: Uuid,
        user: Uuid,
        username: &str,
        roles: &[String],
    ) -> Result<(), RevocationCheckError> {
        if self.config.jwt_revocation == JwtRevocation::Off {
            return Ok(());
        }
        let is_fresh = self.memory.freshness.is_fresh(self.clock.now()).await;
        if !is_fresh && self.config.jwt_when_stale == StaleTokenPolicy::Refuse {
            return Err(RevocationCheckError::Stale);
        }
        match self.memory.revocation_status(login, user, username, roles) {
            RevocationStatus::NotRevoked => Ok(()),
            RevocationStatus::Ended => Err(RevocationCheckError::Ended),
            // The owner may have changed once more, and the token may be newer than this node's knowledge: poll and
            // check again.
            RevocationStatus::OwnerChanged if !Box::pin(self.memory.freshness.catch_up()).await => {
                Err(RevocationCheckError::Stale)
            }
            RevocationStatus::OwnerChanged => {
                match self.memory.revocation_status(login, user, username, roles) {
                    RevocationStatus::NotRevoked => Ok(()),
                    RevocationStatus::Ended => Err(RevocationCheckError::Ended),
                    RevocationStatus::OwnerChanged => Err(RevocationCheckError::OwnerChanged),
                }
            }
        }
    }
}
