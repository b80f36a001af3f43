//! What an operator changes about the keys, and what time does as well: another key signs, one is retired, all are new.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::audit::{Actor, Entry, Kind};
use crate::config::JwtAlgorithm;

use super::key::{self, JwtKey};
use super::ring::Ring;
use super::store::{self, ActiveAndNext, KeyRow, NewKeyRow};
use super::{KeyState, Keys, KeysError};

/// For how long others may remember the keys of `jwks.json`.
pub const JWKS_MAX_AGE: Duration = Duration::from_secs(5 * 60);

/// By how many seconds longer than the last token of a superseded key lives, it verifies: for clocks that differ, and
/// longer than [`JWKS_MAX_AGE`].
pub(super) const MARGIN: f64 = 10.0 * 60.0;

/// How often a change is tried that others get in the way of.
pub(super) const ATTEMPTS: usize = 10;

/// What a rotation has done.
#[derive(Clone, Debug)]
pub struct Rotated {
    /// The kid of the key that signs from now on.
    pub active: String,
    /// The kid of the one that signs after it.
    pub next: String,
    /// The kid of the one that signed until now.
    pub superseded: String,
    /// Until when others may not have met the key that signs now; none: they have.
    pub unknown_until: Option<DateTime<Utc>>,
}

impl Keys {
    pub(super) fn new_key(&self, algorithm: JwtAlgorithm) -> Result<NewKeyRow, KeysError> {
        let secret = key::generate(algorithm).map_err(KeysError::NotMade)?;
        let key = JwtKey::private(algorithm, &secret).map_err(KeysError::NotMade)?;
        let sealed = self.0.sealer.seal(&key.kid, &secret);
        Ok(row(&key, Some(sealed.map_err(|error| KeysError::NotMade(error.into()))?)))
    }

    /// Has the next key sign from now on, and makes another next one: for `algorithm`, or for the same as that key.
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

    /// `None` when the ring as it is now does not call for it, or somebody else was quicker.
    pub(super) async fn rotate_if(
        &self,
        is_due: impl Fn(&Ring) -> bool,
        algorithm: Option<JwtAlgorithm>,
        actor: &Actor,
    ) -> Result<Option<Rotated>, KeysError> {
        let rows = self.read().await?;
        let found = active_and_next(&rows).ok_or(KeysError::None)?;
        let ring = self.ring();
        let ours = |state| ring.of_state(state).filter(|entry| entry.key.can_sign() && self.0.file.is_none());
        let (Some(active), Some(next)) = (ours(KeyState::Active), ours(KeyState::Next)) else {
            return Err(self.not_ours(&rows));
        };
        if !is_due(&ring) {
            return Ok(None);
        }
        // Nodes would sign on with the key that is to be replaced.
        if next.key.algorithm != active.key.algorithm {
            return Err(KeysError::OtherAlgorithm(next.key.algorithm.as_str(), next.key.kid.clone()));
        }
        let now = self.0.clock.now();
        let new = self.new_key(algorithm.unwrap_or(next.key.algorithm))?;
        if !store::promote(&self.0.pool, &found, Some(&new), MARGIN, now).await? {
            return Ok(None);
        }
        self.record_rotation(&next.key.kid, &found.active, actor);
        let is_unknown = next.key.public.is_some() && is_younger(next.created_at, JWKS_MAX_AGE, now);
        Ok(Some(Rotated {
            active: next.key.kid.clone(),
            next: new.kid,
            superseded: found.active,
            unknown_until: is_unknown.then(|| next.created_at + JWKS_MAX_AGE),
        }))
    }

    pub(super) fn record_rotation(&self, active: &str, superseded: &str, actor: &Actor) {
        let rotated = Entry::new(Kind::KeyRotated, actor);
        self.0.trail.record(rotated.with("active", active).with("superseded", superseded));
    }

    /// Why a key that should sign can't.
    fn not_ours(&self, rows: &[KeyRow]) -> KeysError {
        let is_sealed = rows.iter().any(|row| (row.is_active || row.is_next) && row.private_key.is_some());
        if is_sealed && self.0.file.is_none() { KeysError::OtherSecret } else { KeysError::FromFile }
    }

    /// Refuses from now on what a key has signed. A next key is replaced by another, for the active key's algorithm.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub async fn retire(&self, kid: &str, actor: &Actor) -> Result<(), KeysError> {
        self.refuse_what_was_signed_by(kid).await?;
        self.0.trail.record(Entry::new(Kind::KeyRetired, actor).with("kid", kid));
        Ok(())
    }

    async fn refuse_what_was_signed_by(&self, kid: &str) -> Result<(), KeysError> {
        for _ in 0..ATTEMPTS {
            let rows = self.read().await?;
            let found = active_and_next(&rows).ok_or(KeysError::None)?;
            let now = self.0.clock.now();
            if found.active == kid {
                return Err(KeysError::Active);
            }
            if found.next.as_deref() != Some(kid) {
                let is_retired = store::retire(&self.0.pool, kid, now).await?;
                return if is_retired { Ok(()) } else { Err(KeysError::Unknown) };
            }
            let ring = self.ring();
            let active = ring.of_state(KeyState::Active).filter(|active| active.key.can_sign());
            let active = active.filter(|_| self.0.file.is_none()).ok_or_else(|| self.not_ours(&rows))?;
            let new = self.new_key(active.key.algorithm)?;
            if store::publish(&self.0.pool, &found, Some(&new), now).await? {
                return Ok(());
            }
        }
        Err(KeysError::Busy)
    }

    /// Makes new keys, whatever became of those that there are, and refuses from now on what those have signed.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub async fn reset(&self, actor: &Actor) -> Result<(), KeysError> {
        if self.0.file.is_some() {
            return Err(KeysError::FromFile);
        }
        for _ in 0..ATTEMPTS {
            let rows = self.read().await?;
            let found = active_and_next(&rows).ok_or(KeysError::None)?;
            let active = rows.iter().find(|row| row.is_active);
            let algorithm = active.and_then(|row| JwtAlgorithm::of_name(&row.algorithm));
            let algorithm = algorithm.unwrap_or(self.0.algorithm);
            let (active, next) = (self.new_key(algorithm)?, self.new_key(algorithm)?);
            let now = self.0.clock.now();
            if store::reset(&self.0.pool, &found, &active, &next, now).await? {
                self.0.trail.record(Entry::new(Kind::KeysReset, actor));
                return Ok(());
            }
        }
        Err(KeysError::Busy)
    }
}

pub(super) fn is_younger(at: DateTime<Utc>, age: Duration, now: DateTime<Utc>) -> bool {
    (now - at).to_std().is_ok_and(|passed| passed < age)
}

pub(super) fn active_and_next(rows: &[KeyRow]) -> Option<ActiveAndNext> {
    let next = rows.iter().find(|row| row.is_next).map(|row| row.kid.clone());
    rows.iter().find(|row| row.is_active).map(|row| ActiveAndNext { active: row.kid.clone(), next })
}

pub(super) fn row(key: &JwtKey, private_key: Option<Vec<u8>>) -> NewKeyRow {
    NewKeyRow {
        kid: key.kid.clone(),
        algorithm: key.algorithm.as_str(),
        public_key: key.public.as_ref().and_then(|jwk| serde_json::to_value(jwk).ok()),
        private_key,
    }
}
