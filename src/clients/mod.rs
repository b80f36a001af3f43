//! WHICH SERVICES MAY ASK: a client, what proves it, and how one is registered and forgotten.
//!
//! Each request of a client proves it anew, so every node has all of them in memory; the revocation feed says when to
//! read them again. There are as many as a company has services, not as it has users.

mod store;

use std::collections::HashMap;
use std::fmt;
use std::sync::{PoisonError, RwLock};

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::audit::{Actor, Entry, Kind, Trail};
use crate::clock::Clock;
use crate::crypto::equal;
use crate::database::{DatabaseError, Pools};
use crate::error::{Code, Problem};
use crate::logins::{Logins, ReloadOnRevocation};
use crate::tokens::OpaqueToken;

/// Tells a client's secret from every other one.
const PREFIX: &str = "duc_";

/// The longest name, in code points.
const MAX_NAME: usize = 64;

/// A service that may ask about tokens, and end what is behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredClient {
    /// What it is known by.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
}

/// Why a client is not who it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticateError {
    /// No such client, or another secret: which of them is nobody's business but the audit trail's, which is told the
    /// client whose secret it was not.
    #[error("the client's id or its secret is wrong")]
    InvalidCredentials(Option<Uuid>),
    /// It is not known here, and whether it is elsewhere can't be found out.
    #[error("whether there is such a client can't be found out")]
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

/// Why nothing was done with a client.
#[derive(Debug, thiserror::Error)]
pub enum ManageClientError {
    /// Nothing can be called so.
    #[error("a name has 1 to {MAX_NAME} printable characters, and no space before or after them")]
    InvalidName,
    /// There is none with this id.
    #[error("there is no client {0}")]
    Unknown(Uuid),
    /// Nobody got its secret, so it was not registered.
    #[error("nothing was registered: {0}")]
    Undelivered(Undelivered),
    /// Nobody got its secret, and it is registered all the same.
    #[error("{why}; {id} was registered and is to be deleted: {error}")]
    Stranded {
        /// Which client.
        id: Uuid,
        /// Why nobody got its secret.
        why: Undelivered,
        /// Why it could not be deleted.
        error: DatabaseError,
    },
    /// The database gave no answer.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a client's secret could not be given to whoever registers it.
pub type Undelivered = Box<dyn std::error::Error>;

/// SHA-256 of a secret.
type ClientSecretHash = [u8; 32];

/// The registered clients.
pub struct Clients {
    pools: Pools,
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
    /// Clients in this database. Those who follow the feed of these logins keep them up to date.
    pub fn new(pools: Pools, logins: Logins, clock: Clock, trail: Trail) -> Self {
        Self { pools, logins, clock, trail, known: RwLock::default() }
    }

    /// Registers one. Its secret goes to `deliver`, and to nobody later. What can't be delivered is of no use: then no client is
    /// registered.
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
        if let Err(why) = deliver(&client, &secret) {
            return Err(match store::delete(&self.pools.requests, client.id).await {
                Ok(_) => ManageClientError::Undelivered(why),
                Err(error) => ManageClientError::Stranded { id: client.id, why, error },
            });
        }
        let created = Entry::new(Kind::ClientCreated, actor).of_client(client.id);
        self.trail.record(created.with("name", name));
        Ok(client)
    }

    /// All of them, in the order in which they were registered.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn list(&self) -> Result<Vec<RegisteredClient>, DatabaseError> {
        store::list(&self.pools.requests).await
    }

    /// Forgets one: its secret is good for nothing any more.
    ///
    /// # Errors
    /// See [`ManageClientError`].
    pub async fn delete(&self, id: Uuid, actor: &Actor) -> Result<(), ManageClientError> {
        if !store::delete(&self.pools.requests, id).await? {
            return Err(ManageClientError::Unknown(id));
        }
        self.trail.record(Entry::new(Kind::ClientDeleted, actor).of_client(id));
        Ok(())
    }

    /// Whether there is a client of this id with this secret. From memory: no SQL. What memory does not know may have
    /// been registered a moment ago, and is looked for once; so is a wrong secret, and the time it takes does not tell
    /// which of the two it was. Gives its id.
    ///
    /// The trail is told of one that is refused. Only then it is asked who tried.
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
            let refused = Entry::new(Kind::ClientRefused, &actor());
            self.trail.record(known.iter().fold(refused, |entry, id| entry.of_client(*id)));
        }
        outcome
    }

    async fn find_by_credentials(&self, id: &str, secret: &str) -> Result<Uuid, AuthenticateError> {
        // What can't be one of ours, anybody can tell.
        let (Ok(id), Some(secret)) = (id.parse(), OpaqueToken::parse(PREFIX, secret)) else {
            return Err(AuthenticateError::InvalidCredentials(None));
        };
        let hash = secret.hash();
        // A node that lay asleep looks first. One that can't look believes its memory, and leaves it to what is asked
        // of it whether it may answer.
        self.logins.is_fresh().await;
        if self.has(id, &hash) {
            return Ok(id);
        }
        // In a box of its own: it happens seldom, and shall not make every request's future larger.
        if !Box::pin(self.logins.look_for_unknown()).await {
            return Err(AuthenticateError::Unavailable);
        }
        if self.has(id, &hash) { Ok(id) } else { Err(AuthenticateError::InvalidCredentials(self.known(id))) }
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

impl ReloadOnRevocation for Clients {
    fn reload(&self) -> BoxFuture<'_, Result<(), DatabaseError>> {
        Box::pin(async {
            let read = store::secret_hashes(&self.pools.upkeep).await?;
            *self.known.write().unwrap_or_else(PoisonError::into_inner) = read;
            Ok(())
        })
    }
}

/// It stands in a list, on a line of its own.
fn is_name(name: &str) -> bool {
    let length = name.chars().count();
    (1..=MAX_NAME).contains(&length) && name.trim() == name && name.chars().all(is_printable)
}

/// Neither a control character nor one that is not seen itself but changes how its neighbours are.
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
