//! Signing keys of access tokens: stored in Postgres, published before use, and rotated without refusing valid tokens.
//!
//! A key is first *next*: published, but signing nothing. Then it is *active*. Once superseded it goes on *verifying* for
//! as long as tokens that it signed may be valid; after that it is *retired*. The revocation feed notifies nodes of every
//! change ([`ReloadableCache`]), so that a node's [`ring`] is as fresh as its view of logins. A node reloads before it
//! refuses a token with an unknown `kid`. [`rotation`] changes the ring, [`store`] persists it.

mod error;
mod file;
mod key;
mod preparation;
mod ring;
mod rotation_and_retirement;
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
use crate::logins::{Logins, ReloadableCache};

use super::claims::Claims;

pub use self::error::KeysError;
use self::file::ActiveAndNextFileKeys;
use self::key::JwtKey;
pub use self::key::KeyError;
pub use self::preparation::StartupKeyChange;
pub(super) use self::ring::VerifiedToken;
use self::ring::{Ring, RingKey, TokenRejection};
pub use self::rotation_and_retirement::{JWKS_MAX_AGE, Rotated};
use self::store::KeyRow;

/// The derivation label of the key that encrypts private keys in the database.
const ENCRYPTION_LABEL: &str = "dualauth signing keys v1";

/// The state of a signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Published ahead: the next rotation makes it active.
    Next,
    /// Signs new tokens.
    Active,
    /// Superseded; its tokens are still accepted.
    Verifying,
    /// Its tokens have expired or are refused.
    Retired,
}

impl KeyState {
    /// The state's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Verifying => "verifying",
            Self::Retired => "retired",
        }
    }
}

/// A key in the operator's list.
#[derive(Clone, Debug)]
pub struct ListedKey {
    /// The key id in token headers.
    pub kid: String,
    /// The algorithm's name (RFC 7518, section 3.1).
    pub algorithm: String,
    /// The state.
    pub state: KeyState,
    /// When the key was published.
    pub created_at: DateTime<Utc>,
    /// When the key became active.
    pub activated_at: Option<DateTime<Utc>>,
    /// When another key became active.
    pub superseded_at: Option<DateTime<Utc>>,
    /// When the key is or was retired.
    pub verify_until: Option<DateTime<Utc>>,
}

/// The signing keys, as this node knows them.
#[derive(Clone)]
pub struct Keys(Arc<KeysInner>);

struct KeysInner {
    pool: ConnectionPool,
    sealer: Sealer,
    algorithm: JwtAlgorithm,
    rotation: Option<Duration>,
    file: Option<ActiveAndNextFileKeys>,
    /// How long a token of a superseded key may be valid after the rotation, in seconds.
    token_life: i32,
    clock: Clock,
    trail: Trail,
    ring: RwLock<Arc<Ring>>,
    /// `true` once [`Keys::prepare`] has succeeded.
    is_prepared: AtomicBool,
    /// Held while the ring is loaded, so that an older result never overwrites a newer one.
    reading: Mutex<()>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("algorithm", &self.0.algorithm).finish_non_exhaustive()
    }
}

impl Keys {
    /// The keys in a database, encrypted under `secret`. Loads and generates none yet: see [`Keys::prepare`].
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
        // Another node may sign with the old key until it learns of the rotation, within the staleness bound.
        let token_life = config.lifetimes.access_token + config.login_memory.staleness_bound;
        Ok(Self(Arc::new(KeysInner {
            pool,
            sealer: Sealer::derive(secret, ENCRYPTION_LABEL),
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

    /// Verifies a token's signature. Reloads the keys if the token names an unknown one.
    ///
    /// # Errors
    /// [`AuthError::InvalidToken`]; [`AuthError::Stale`] if the keys can't be reloaded.
    pub(super) async fn verify(&self, token: &str, logins: &Logins) -> Result<VerifiedToken, AuthError> {
        let verified = match self.ring().verify(token, self.0.clock.now()) {
            Err(TokenRejection::UnknownKey) => Box::pin(self.verify_after_reload(token, logins)).await?,
            verified => verified,
        };
        verified.map_err(|_| AuthError::InvalidToken)
    }

    async fn verify_after_reload(
        &self,
        token: &str,
        logins: &Logins,
    ) -> Result<Result<VerifiedToken, TokenRejection>, AuthError> {
        if !logins.poll_for_unknown().await {
            return Err(AuthError::Stale);
        }
        Ok(self.ring().verify(token, self.0.clock.now()))
    }

    /// Returns `true` if the key of a token that was verified earlier is still valid.
    pub(super) fn still_accepts(&self, verified: &VerifiedToken) -> bool {
        self.ring().still_accepts(verified, self.0.clock.now())
    }

    /// Signs claims: a JWT in compact serialisation.
    ///
    /// # Errors
    /// `unavailable` if this node has no key that is certain to verify until the token expires.
    pub(super) fn sign(&self, claims: &Claims) -> Result<String, Problem> {
        let ring = self.ring();
        let outlives =
            |entry: &&RingKey| entry.verify_until.is_none_or(|until| claims.exp <= until.timestamp());
        let entry = ring.signing().filter(outlives);
        entry.ok_or_else(|| Problem::unavailable("no signing key can be used"))?.key.sign(claims)
    }

    /// Returns `true` if this node has a signing key.
    pub fn can_sign(&self) -> bool {
        self.ring().signing().is_some()
    }

    /// The public keys, for other services.
    pub(super) fn public(&self) -> JwkSet {
        self.ring().public(self.0.clock.now())
    }

    /// The algorithms of the public keys.
    pub(super) fn published_algorithms(&self) -> Vec<&'static str> {
        self.ring().published_algorithms(self.0.clock.now())
    }

    /// Lists every key, oldest first.
    ///
    /// # Errors
    /// If the query fails.
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

    /// Reloads the ring from the database.
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
        log_key_change(&known, &ring);
        *self.0.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
        Ok(rows)
    }

    /// The key that this node signs with: the one of its file, if there is one; else the active key or, if that is for an
    /// algorithm other than this node's, the latest key that was active for this node's. If that one is retired the node
    /// can't sign: falling back to an older key would undo its replacement.
    fn signing_kid(&self, rows: &[KeyRow]) -> Option<String> {
        if let Some(file) = &self.0.file {
            return Some(file.active.key.kid.clone());
        }
        let own = rows.iter().filter(|row| row.algorithm == self.0.algorithm.as_str());
        let signed = own.filter(|row| row.activated_at.is_some());
        signed.max_by_key(|row| (row.is_active, row.activated_at)).map(|row| row.kid.clone())
    }

    /// The key of a row. A known key keeps its identity: the cache of verified tokens refers to it, and the row may already be
    /// encrypted under a new secret that this node does not have yet.
    fn key(&self, row: &KeyRow, known: &Ring) -> Option<Arc<JwtKey>> {
        if let Some(entry) = known.of_kid(&row.kid) {
            return Some(Arc::clone(&entry.key));
        }
        if let Some(file) = self.0.file.as_ref().and_then(|file| file.of_kid(&row.kid)) {
            return Some(Arc::clone(&file.key));
        }
        let key = self.decrypt_private_key(row).or_else(|| public(row));
        if key.is_none() {
            tracing::warn!(
                kid = row.kid,
                "cannot decrypt signing key: APP_SECRET differs from the one it was encrypted with"
            );
        }
        key.map(Arc::new)
    }

    fn decrypt_private_key(&self, row: &KeyRow) -> Option<JwtKey> {
        let algorithm = JwtAlgorithm::of_name(&row.algorithm)?;
        let decrypted = self.0.sealer.unseal(&row.kid, row.private_key.as_deref()?)?;
        let key = JwtKey::private(algorithm, &decrypted.secret).ok()?;
        (key.kid == row.kid).then_some(key)
    }
}

/// Logs a change of the key that this node signs with.
fn log_key_change(known: &Ring, ring: &Ring) {
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

impl ReloadableCache for Keys {
    fn reload(&self) -> BoxFuture<'_, Result<(), DatabaseError>> {
        Box::pin(async move { self.read().await.map(drop) })
    }
}
