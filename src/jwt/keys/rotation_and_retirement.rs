//! Rotation, retirement and reset of the signing keys.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::audit::{Actor, Kind, NewEvent};
use crate::config::JwtAlgorithm;

use super::key::{self, JwtKey};
use super::ring::Ring;
use super::store::{self, ExpectedKids, KeyRow, NewKeyRow};
use super::{KeyState, Keys, KeysError};

/// How long other services may cache `jwks.json`.
pub const JWKS_MAX_AGE: Duration = Duration::from_secs(5 * 60);

/// How many seconds a superseded key goes on verifying after its last token has expired. A margin for clock skew, longer
/// than [`JWKS_MAX_AGE`].
pub(super) const MARGIN: f64 = 10.0 * 60.0;

/// How often a change is attempted when concurrent changes interfere.
pub(super) const ATTEMPTS: usize = 10;

/// The result of a rotation.
#[derive(Clone, Debug)]
pub struct Rotated {
    /// The `kid` of the new active key.
    pub active: String,
    /// The `kid` of the new next key.
    pub next: String,
    /// The `kid` of the key that was active before.
    pub superseded: String,
    /// Until when services with a cached `jwks.json` may not know the new active key. `None`: all know it.
    pub unknown_until: Option<DateTime<Utc>>,
}

/// How far apart the clocks of nodes may be. A key is retired by a time that has come on each of them: one whose clock is
/// behind would publish it for a moment more, to services that look only once.
const CLOCK_DIFFERENCE: chrono::Duration = chrono::Duration::seconds(5);

impl Keys {
    pub(super) fn new_key(&self, algorithm: JwtAlgorithm) -> Result<NewKeyRow, KeysError> {
        let secret = key::generate(algorithm).map_err(KeysError::NotMade)?;
        let key = JwtKey::private(algorithm, &secret).map_err(KeysError::NotMade)?;
        let sealed = self.0.sealer.seal(&key.kid, &secret);
        Ok(row(&key, Some(sealed.map_err(|error| KeysError::NotMade(error.into()))?)))
    }

    /// Makes the next key the active one, and generates a new next key for `algorithm`, or for the same algorithm.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub async fn rotate(&self, algorithm: Option<JwtAlgorithm>, actor: &Actor) -> Result<Rotated, KeysError> {
        for _ in 0..ATTEMPTS {
            if let Some(rotated) = self.rotate_if(|_| true, algorithm, actor).await? {
                return Ok(rotated);
            }
        }
        Err(KeysError::Busy)
    }

    /// Rotates if `is_due` for the current ring. `None` if it is not, or if a concurrent change was faster.
    pub(super) async fn rotate_if(
        &self,
        is_due: impl Fn(&Ring) -> bool,
        algorithm: Option<JwtAlgorithm>,
        actor: &Actor,
    ) -> Result<Option<Rotated>, KeysError> {
        let rows = self.read().await?;
        let current = active_and_next(&rows).ok_or(KeysError::None)?;
        let ring = self.ring();
        let usable =
            |state| ring.of_state(state).filter(|entry| entry.key.can_sign() && self.0.file.is_none());
        let (Some(active), Some(next)) = (usable(KeyState::Active), usable(KeyState::Next)) else {
            return Err(self.cannot_sign_error(&rows));
        };
        if !is_due(&ring) {
            return Ok(None);
        }
        // Nodes with the old JWT_ALGORITHM would go on signing with the key that is to be replaced.
        if next.key.algorithm != active.key.algorithm {
            return Err(KeysError::OtherAlgorithm(next.key.algorithm.as_str(), next.key.kid.clone()));
        }
        let now = self.0.clock.now();
        let new = self.new_key(algorithm.unwrap_or(next.key.algorithm))?;
        if !store::promote(&self.0.pool, &current, Some(&new), MARGIN, now).await? {
            return Ok(None);
        }
        self.record_rotation(&next.key.kid, &current.active, actor);
        let is_unknown = next.key.public.is_some() && is_younger(next.created_at, JWKS_MAX_AGE, now);
        Ok(Some(Rotated {
            active: next.key.kid.clone(),
            next: new.kid,
            superseded: current.active,
            unknown_until: is_unknown.then(|| next.created_at + JWKS_MAX_AGE),
        }))
    }

    pub(super) fn record_rotation(&self, active: &str, superseded: &str, actor: &Actor) {
        let rotated = NewEvent::new(Kind::KeyRotated, actor);
        self.0.trail.record(rotated.with("active", active).with("superseded", superseded));
    }

    /// The reason why the active or next key can't be used here.
    fn cannot_sign_error(&self, rows: &[KeyRow]) -> KeysError {
        let is_sealed = rows.iter().any(|row| (row.is_active || row.is_next) && row.private_key.is_some());
        if is_sealed && self.0.file.is_none() { KeysError::OtherSecret } else { KeysError::FromFile }
    }

    /// Retires a key at once: its tokens are refused from now on. A next key is replaced by a new one for the active key's
    /// algorithm.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub async fn retire(&self, kid: &str, actor: &Actor) -> Result<(), KeysError> {
        self.refuse_what_was_signed_by(kid).await?;
        self.0.trail.record(NewEvent::new(Kind::KeyRetired, actor).with("kid", kid));
        Ok(())
    }

    async fn refuse_what_was_signed_by(&self, kid: &str) -> Result<(), KeysError> {
        for _ in 0..ATTEMPTS {
            let rows = self.read().await?;
            let current = active_and_next(&rows).ok_or(KeysError::None)?;
            let now = self.0.clock.now();
            if current.active == kid {
                return Err(KeysError::Active);
            }
            if current.next.as_deref() != Some(kid) {
                let is_retired = store::retire(&self.0.pool, kid, now - CLOCK_DIFFERENCE).await?;
                return if is_retired { Ok(()) } else { Err(KeysError::Unknown) };
            }
            let ring = self.ring();
            let active = ring.of_state(KeyState::Active).filter(|active| active.key.can_sign());
            let active =
                active.filter(|_| self.0.file.is_none()).ok_or_else(|| self.cannot_sign_error(&rows))?;
            let new = self.new_key(active.key.algorithm)?;
            if store::publish(&self.0.pool, &current, Some(&new), now).await? {
                return Ok(());
            }
        }
        Err(KeysError::Busy)
    }

    /// Replaces all keys by new ones, and refuses every token signed so far. Works even if the old keys can't be decrypted.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub async fn reset(&self, actor: &Actor) -> Result<(), KeysError> {
        if self.0.file.is_some() {
            return Err(KeysError::FromFile);
        }
        for _ in 0..ATTEMPTS {
            let rows = self.read().await?;
            let current = active_and_next(&rows).ok_or(KeysError::None)?;
            let active = rows.iter().find(|row| row.is_active);
            let algorithm = active.and_then(|row| JwtAlgorithm::of_name(&row.algorithm));
            let algorithm = algorithm.unwrap_or(self.0.algorithm);
            let (active, next) = (self.new_key(algorithm)?, self.new_key(algorithm)?);
            let now = self.0.clock.now();
            if store::reset(&self.0.pool, &current, &active, &next, now).await? {
                self.0.trail.record(NewEvent::new(Kind::KeysReset, actor));
                return Ok(());
            }
        }
        Err(KeysError::Busy)
    }
}

pub(super) fn is_younger(at: DateTime<Utc>, age: Duration, now: DateTime<Utc>) -> bool {
    (now - at).to_std().is_ok_and(|passed| passed < age)
}

pub(super) fn active_and_next(rows: &[KeyRow]) -> Option<ExpectedKids> {
    let next = rows.iter().find(|row| row.is_next).map(|row| row.kid.clone());
    rows.iter().find(|row| row.is_active).map(|row| ExpectedKids { active: row.kid.clone(), next })
}

pub(super) fn row(key: &JwtKey, private_key: Option<Vec<u8>>) -> NewKeyRow {
    NewKeyRow {
        kid: key.kid.clone(),
        algorithm: key.algorithm.as_str(),
        public_key: key.public.as_ref().and_then(|jwk| serde_json::to_value(jwk).ok()),
        private_key,
    }
}
