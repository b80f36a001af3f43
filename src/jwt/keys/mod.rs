//! The keys that access tokens are signed with: kept in Postgres, known to every node before they sign, and replaced
//! without a token being refused for it.
//!
//! A key is *next* first: published, and signing nothing. Then it is *active*. When the next one takes its place it goes
//! on *verifying* for as long as a token of it may be about, and is *retired* after that. The revocation feed tells nodes of every
//! change ([`ReloadOnRevocation`]), so that the [`ring`] they hold is as fresh as what they know of logins; and a node that meets a
//! key that it does not know looks before it refuses. [`rotation`] changes the ring, [`store`] keeps it.

mod error;
mod file;
mod key;
mod preparation;
mod ring;
mod rotation;
mod store;
mod upkeep;

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use jsonwebtoken::jwk::JwkSet;
use tokio::sync::Mutex;

use crate::audit::Trail;
use crate::auth::AuthError;
use crate::clock::Clock;
use crate::config::{Config, JwtAlgorithm};
use crate::crypto::{AppSecret, Sealer};
use crate::database::{ConnectionPool, DatabaseError};
use crate::error::Problem;
use crate::logins::{Logins, ReloadOnRevocation};

use super::claims::Claims;

pub use self::error::KeysError;
use self::file::FileKeys;
use self::key::JwtKey;
pub use self::key::KeyError;
pub use self::preparation::StartupPlan;
pub(super) use self::ring::VerifiedToken;
use self::ring::{Ring, RingKey, TokenRejection};
pub use self::rotation::{JWKS_MAX_AGE, Rotated};
use self::store::KeyRow;

/// What keys are sealed for.
const SEALING: &str = "dualauth signing keys v1";

/// Whether a key signs, verifies, or does neither any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Published ahead: the next rotation has it sign.
    Next,
    /// It signs.
    Active,
    /// It signs no more; what it has signed is accepted.
    Verifying,
    /// What it has signed has run out, or is refused.
    Retired,
}

impl KeyState {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Verifying => "verifying",
            Self::Retired => "retired",
        }
    }
}

/// A key as an operator sees it in a list.
#[derive(Clone, Debug)]
pub struct ListedKey {
    /// How tokens name it.
    pub kid: String,
    /// Its algorithm's name.
    pub algorithm: String,
    /// What it does.
    pub state: KeyState,
    /// Since when it is published.
    pub created_at: DateTime<Utc>,
    /// Since when it signs, or did.
    pub activated_at: Option<DateTime<Utc>>,
    /// Since when another one signs.
    pub superseded_at: Option<DateTime<Utc>>,
    /// When it is retired, or was.
    pub verify_until: Option<DateTime<Utc>>,
}

/// The signing keys.
#[derive(Clone)]
pub struct Keys(Arc<KeysInner>);

struct KeysInner {
    pool: ConnectionPool,
    sealer: Sealer,
    algorithm: JwtAlgorithm,
    rotation: Option<Duration>,
    file: Option<FileKeys>,
    /// For how long, in seconds, a token may be accepted after another node has heard of its key's successor.
    token_life: i32,
    clock: Clock,
    trail: Trail,
    ring: RwLock<Arc<Ring>>,
    /// Whether the node's start has done with them what it has to.
    is_prepared: AtomicBool,
    /// Held while the ring is read, so that what was read earlier is not put in the place of what was read later.
    reading: Mutex<()>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("algorithm", &self.0.algorithm).finish_non_exhaustive()
    }
}

impl Keys {
    /// In this database, sealed under this secret. None is read or made yet: see [`Keys::prepare`].
    ///
    /// # Errors
    /// [`KeysError::File`].
    pub fn new(
        config: &Config,
        pool: ConnectionPool,
        secret: &AppSecret,
        clock: Clock,
        trail: Trail,
    ) -> Result<Self, KeysError> {
        let algorithm = config.jwt.algorithm;
        let file = config.jwt.key_file.as_ref().map(|file| file::read(algorithm, &file.bytes)).transpose();
        // A node that has not heard of a rotation yet may sign for as long as the bound.
        let token_life = config.lifetimes.access_token + config.directory.staleness_bound;
        Ok(Self(Arc::new(KeysInner {
            pool,
            sealer: Sealer::derive(secret, SEALING),
            algorithm,
            rotation: config.jwt.rotation,
            file: file.map_err(KeysError::File)?,
            token_life: i32::try_from(token_life.as_secs()).unwrap_or(i32::MAX),
            clock,
            trail,
            ring: RwLock::default(),
            is_prepared: AtomicBool::new(false),
            reading: Mutex::default(),
        })))
    }

    /// What a token says, if its signature is good by a key that verifies. A key that is not known here is looked for.
    ///
    /// # Errors
    /// [`AuthError::InvalidToken`]; [`AuthError::Stale`] when its key can't be looked for.
    pub(super) async fn open(&self, token: &str, logins: &Logins) -> Result<VerifiedToken, AuthError> {
        let opened = match self.ring().open(token, self.0.clock.now()) {
            Err(TokenRejection::UnknownKey) => Box::pin(self.open_after_a_look(token, logins)).await?,
            opened => opened,
        };
        opened.map_err(|_| AuthError::InvalidToken)
    }

    async fn open_after_a_look(
        &self,
        token: &str,
        logins: &Logins,
    ) -> Result<Result<VerifiedToken, TokenRejection>, AuthError> {
        if !logins.poll_for_unknown().await {
            return Err(AuthError::Stale);
        }
        Ok(self.ring().open(token, self.0.clock.now()))
    }

    /// Whether what was opened before would open now.
    pub(super) fn accepts(&self, opened: &VerifiedToken) -> bool {
        self.ring().accepts(opened, self.0.clock.now())
    }

    /// The token that says this.
    ///
    /// # Errors
    /// `unavailable` when no key is known here that is sure to verify for as long as the token lives.
    pub(super) fn sign(&self, claims: &Claims) -> Result<String, Problem> {
        let ring = self.ring();
        let outlives =
            |entry: &&RingKey| entry.verify_until.is_none_or(|until| claims.exp <= until.timestamp());
        let entry = ring.signing().filter(outlives);
        entry.ok_or_else(|| Problem::unavailable("no signing key can be used"))?.key.sign(claims)
    }

    /// Whether this node has a key to sign with.
    pub fn can_sign(&self) -> bool {
        self.ring().signing().is_some()
    }

    /// What others verify tokens with.
    pub(super) fn public(&self) -> JwkSet {
        self.ring().public(self.0.clock.now())
    }

    /// The algorithms that they are for.
    pub(super) fn published_algorithms(&self) -> Vec<&'static str> {
        self.ring().published_algorithms(self.0.clock.now())
    }

    /// Every key, the oldest first.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn list(&self) -> Result<Vec<ListedKey>, KeysError> {
        let now = self.0.clock.now();
        let listed = |row: KeyRow| ListedKey {
            state: row.state(now),
            kid: row.kid,
            algorithm: row.algorithm,
            created_at: row.created_at,
            activated_at: row.activated_at,
            superseded_at: row.superseded_at,
            verify_until: row.verify_until,
        };
        Ok(store::load(&self.0.pool).await?.into_iter().map(listed).collect())
    }

    fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.0.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the ring anew.
    async fn read(&self) -> Result<Vec<KeyRow>, DatabaseError> {
        let _reading = self.0.reading.lock().await;
        let rows = store::load(&self.0.pool).await?;
        let known = self.ring();
        let now = self.0.clock.now();
        let live = rows.iter().filter(|row| row.state(now) != KeyState::Retired);
        let entries = live.filter_map(|row| {
            Some(RingKey {
                key: self.key(row, &known)?,
                state: row.state(now),
                created_at: row.created_at,
                activated_at: row.activated_at,
                verify_until: row.verify_until,
            })
        });
        let ring = Arc::new(Ring::new(entries.collect(), self.signing_kid(&rows)));
        tell_of_another(&known, &ring);
        *self.0.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
        Ok(rows)
    }

    /// The key that this node signs with: that of its file, if it has one; else the active key or, when that is for
    /// another algorithm than its own, the newest of its own. When that one has been retired there is none: an
    /// older one was replaced for a reason.
    fn signing_kid(&self, rows: &[KeyRow]) -> Option<String> {
        if let Some(file) = &self.0.file {
            return Some(file.active.key.kid.clone());
        }
        let own = rows.iter().filter(|row| row.algorithm == self.0.algorithm.as_str());
        let signed = own.filter(|row| row.activated_at.is_some());
        signed.max_by_key(|row| (row.is_active, row.activated_at)).map(|row| row.kid.clone())
    }

    /// The key of a row. One that is known stays the same key: what it has opened is remembered by it, and it may
    /// be sealed under a secret by now that this node has not been given yet.
    fn key(&self, row: &KeyRow, known: &Ring) -> Option<Arc<JwtKey>> {
        if let Some(entry) = known.of_kid(&row.kid) {
            return Some(Arc::clone(&entry.key));
        }
        if let Some(file) = self.0.file.as_ref().and_then(|file| file.of_kid(&row.kid)) {
            return Some(Arc::clone(&file.key));
        }
        let key = self.unsealed(row).or_else(|| public(row));
        if key.is_none() {
            tracing::warn!(
                kid = row.kid,
                "signing key can't be unsealed: is APP_SECRET the same on every node?"
            );
        }
        key.map(Arc::new)
    }

    fn unsealed(&self, row: &KeyRow) -> Option<JwtKey> {
        let algorithm = JwtAlgorithm::of_name(&row.algorithm)?;
        let unsealed = self.0.sealer.unseal(&row.kid, row.private_key.as_deref()?)?;
        let key = JwtKey::private(algorithm, &unsealed.secret).ok()?;
        (key.kid == row.kid).then_some(key)
    }
}

/// Tells an operator who reads the log that this node signs with another key from now on.
fn tell_of_another(known: &Ring, ring: &Ring) {
    let (Some(old), Some(new)) = (known.signing(), ring.signing()) else { return };
    if old.key.kid != new.key.kid {
        let algorithm = new.key.algorithm.as_str();
        tracing::info!(
            kid = new.key.kid,
            algorithm,
            "signing key changed: access tokens are signed with it from now on"
        );
    }
}

fn public(row: &KeyRow) -> Option<JwtKey> {
    let jwk = serde_json::from_value(row.public_key.clone()?).ok()?;
    let key = JwtKey::public(JwtAlgorithm::of_name(&row.algorithm)?, jwk).ok()?;
    (key.kid == row.kid).then_some(key)
}

impl ReloadOnRevocation for Keys {
    fn reload(&self) -> BoxFuture<'_, Result<(), DatabaseError>> {
        Box::pin(async move { self.read().await.map(drop) })
    }
}
