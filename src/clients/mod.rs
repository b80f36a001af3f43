//! Registered clients: services that may introspect and revoke tokens; registration and authentication.
//!
//! Each request of a client has to be authenticated, so every node keeps all clients in memory, and the revocation
//! feed says when to reload them. There are as many as a company has services, not users.

mod store;

use std::collections::HashMap;
use std::fmt;
use std::sync::{PoisonError, RwLock};

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::audit::{Actor, Kind, NewEvent, Trail};
use crate::clock::Clock;
use crate::crypto::equal;
use crate::database::{DatabaseError, RequestAndBackgroundPools};
use crate::error::{Code, Problem};
use crate::logins::{Logins, ReloadableCache};
use crate::tokens::OpaqueToken;

/// Prefix that distinguishes client secrets from others.
const PREFIX: &str = "duc_";

/// Maximum length of a name in code points.
const MAX_NAME: usize = 64;

/// A service that may introspect and revoke tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredClient {
    /// Its client id.
    pub id: Uuid,
    /// Its name, for operators.
    pub name: String,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
}

/// Why a client was not authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticateError {
    /// No such client, or a wrong secret. The response does not tell which; the audit event does, by the id of the
    /// client if it exists.
    #[error("the client's id or its secret is wrong")]
    InvalidCredentials(Option<Uuid>),
    /// The client is unknown, and this node's knowledge can't be refreshed.
    #[error("the client is unknown, and reading the revocation feed failed")]
    Unavailable,
}

impl From<AuthenticateError> for Problem {
    fn from(error: AuthenticateError) -> Self {
        match error {
            AuthenticateError::InvalidCredentials(_) => {
                Self::new(Code::InvalidCredentials, "The client's id or its secret is wrong.")
            }
            AuthenticateError::Unavailable => Self::unavailable(error),
        }
    }
}

/// Why an operation on a client failed.
#[derive(Debug, thiserror::Error)]
pub enum ManageClientError {
    /// The name is invalid.
    #[error("a name has 1 to {MAX_NAME} printable characters, and no space before or after them")]
    InvalidName,
    /// There is no client with this id.
    #[error("there is no client {0}")]
    Unknown(Uuid),
    /// Its secret could not be delivered, so it was not registered.
    #[error("nothing was registered: {0}")]
    Undelivered(Undelivered),
    /// Its secret could not be delivered, and its registration could not be undone.
    #[error("{why}; {id} was registered and is to be deleted: {error}")]
    Stranded {
        /// Its id.
        id: Uuid,
        /// Why its secret could not be delivered.
        why: Undelivered,
        /// Why it could not be deleted.
        error: DatabaseError,
    },
    /// The database did not respond.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a client's secret could not be delivered to the operator.
pub type Undelivered = Box<dyn std::error::Error>;

/// SHA-256 of a secret.
type ClientSecretHash = [u8; 32];

/// The registered clients.
pub struct Clients {
    pools: RequestAndBackgroundPools,
    logins: Logins,
    clock: Clock,
    trail: Trail,
    known: RwLock<HashMap<Uuid, ClientSecretHash>>,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

impl Clients {
    /// Clients in this database. To be passed to the feed of these logins, which keeps them up to date.
    pub fn new(pools: RequestAndBackgroundPools, logins: Logins, clock: Clock, trail: Trail) -> Self {
        Self { pools, logins, clock, trail, known: RwLock::default() }
    }

    /// Registers a client. Its secret is passed to `deliver` and is not available later. If the delivery fails, the
    /// registration is undone.
    ///
    /// # Errors
    /// See [`ManageClientError`].
    pub async fn create(
        &self,
        name: &str,
        actor: &Actor,
        deliver: impl FnOnce(&RegisteredClient, &OpaqueToken) -> Result<(), Undelivered>,
    ) -> Result<RegisteredClient, ManageClientError> {
        if !is_name(name) {
            return Err(ManageClientError::InvalidName);
        }
        let client =
            RegisteredClient { id: Uuid::now_v7(), name: name.to_owned(), created_at: self.clock.now() };
        let secret = OpaqueToken::generate(PREFIX);
        store::insert(&self.pools.requests, &client, &secret.hash()).await?;
        let created = NewEvent::new(Kind::ClientCreated, actor).of_client(client.id).with("name", name);
        let Err(why) = deliver(&client, &secret) else {
            self.trail.record(created);
            return Ok(client);
        };
        match store::delete(&self.pools.requests, client.id).await {
            Ok(_) => Err(ManageClientError::Undelivered(why)),
            // The client exists, so the trail has to tell of it.
            Err(error) => {
                self.trail.record(created);
                Err(ManageClientError::Stranded { id: client.id, why, error })
            }
        }
    }

    /// All clients, in the order of their registration.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn list(&self) -> Result<Vec<RegisteredClient>, DatabaseError> {
        store::list(&self.pools.requests).await
    }

    /// Deletes a client. Its secret is no longer accepted.
    ///
    /// # Errors
    /// See [`ManageClientError`].
    pub async fn delete(&self, id: Uuid, actor: &Actor) -> Result<(), ManageClientError> {
        if !store::delete(&self.pools.requests, id).await? {
            return Err(ManageClientError::Unknown(id));
        }
        self.trail.record(NewEvent::new(Kind::ClientDeleted, actor).of_client(id));
        Ok(())
    }

    /// Authenticates a client, and returns its id. Answered from memory, without SQL. An unknown client may have been
    /// registered just now, so the feed is polled once; the same is done for a wrong secret, so that the time does
    /// not reveal which of the two it was.
    ///
    /// A failure is recorded in the audit trail. `actor` is called only then.
    ///
    /// # Errors
    /// See [`AuthenticateError`].
    pub async fn authenticate(
        &self,
        id: &str,
        secret: &str,
        actor: impl FnOnce() -> Actor,
    ) -> Result<Uuid, AuthenticateError> {
        let outcome = self.find_by_credentials(id, secret).await;
        if let Err(AuthenticateError::InvalidCredentials(known)) = &outcome {
            let refused = NewEvent::new(Kind::ClientRefused, &actor());
            self.trail.record(known.iter().fold(refused, |entry, id| entry.of_client(*id)));
        }
        outcome
    }

    async fn find_by_credentials(&self, id: &str, secret: &str) -> Result<Uuid, AuthenticateError> {
        // Malformed id or secret: rejected without a poll, since the format is public.
        let (Ok(id), Some(secret)) = (id.parse(), OpaqueToken::parse(PREFIX, secret)) else {
            return Err(AuthenticateError::InvalidCredentials(None));
        };
        let hash = secret.hash();
        // After the machine slept, this waits for a poll. If that fails, memory is used: the endpoint decides whether
        // it can respond.
        self.logins.is_fresh().await;
        if self.has(id, &hash) {
            return Ok(id);
        }
        // Boxed, since it is rarely needed: it must not enlarge the future of every request.
        if !Box::pin(self.logins.poll_for_unknown()).await {
            return Err(AuthenticateError::Unavailable);
        }
        if self.has(id, &hash) { Ok(id) } else { Err(AuthenticateError::InvalidCredentials(self.known(id))) }
    }

    /// Whether this node knows a client with this id.
    pub fn is_registered(&self, id: Uuid) -> bool {
        self.known(id).is_some()
    }

    fn known(&self, id: Uuid) -> Option<Uuid> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.contains_key(&id).then_some(id)
    }

    fn has(&self, id: Uuid, hash: &ClientSecretHash) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&id).is_some_and(|of_client| equal(of_client, hash))
    }
}

impl ReloadableCache for Clients {
    fn reload(&self) -> BoxFuture<'_, Result<(), DatabaseError>> {
        Box::pin(async {
            let read = store::secret_hashes(&self.pools.upkeep).await?;
            *self.known.write().unwrap_or_else(PoisonError::into_inner) = read;
            Ok(())
        })
    }
}

/// Whether it fits in a list with one name per line.
fn is_name(name: &str) -> bool {
    let length = name.chars().count();
    (1..=MAX_NAME).contains(&length) && name.trim() == name && name.chars().all(is_printable)
}

/// Whether it is neither a control character nor an invisible one that changes how others are displayed.
fn is_printable(letter: char) -> bool {
    let is_unseen = matches!(letter,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !letter.is_control() && !is_unseen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_64_printable_characters() {
        for good in ["x", "API gateway", "Rechnungen (Prüfung) №1", &"\u{1f4e6}".repeat(64)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", " ", " x", "x ", "a\nb", "a\tb", "a\0b", "a\u{202e}b", "a\u{2028}b", &"x".repeat(65)]
        {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}
