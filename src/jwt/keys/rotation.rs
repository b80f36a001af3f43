//! What changes the keys: the start of a node, an operator, time.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::audit::{Entry, Kind, Origin, Trail};
use crate::config::JwtAlgorithm;
use crate::database::DatabaseError;

use super::file::{FileKey, FileKeys};
use super::key::{self, Key};
use super::ring::Ring;
use super::store::{self, Found, NewRow, Row};
use super::{KeyState, Keys, KeysError};

/// For how long others may remember the keys of `jwks.json`.
pub const JWKS_MAX_AGE: Duration = Duration::from_secs(5 * 60);

/// By how many seconds longer than the last token of a superseded key lives, it verifies: for clocks that differ, and
/// longer than [`JWKS_MAX_AGE`].
const MARGIN: f64 = 10.0 * 60.0;

/// For how long a key that a starting node has to make is published before it signs: long enough for other nodes to
/// hear of it.
const PUBLISHED_AHEAD: Duration = Duration::from_secs(1);

/// How often a change is tried that others get in the way of.
const ATTEMPTS: usize = 10;

/// How often a node looks whether it is time to do something about the keys.
const TICK: Duration = Duration::from_secs(1);

/// And how often it tidies up.
const TIDY: Duration = Duration::from_secs(10 * 60);

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

impl Rotated {
    /// What the audit trail is told of it.
    pub fn entry(&self, origin: Origin) -> Entry {
        of_rotation(&self.active, &self.superseded, origin)
    }
}

fn of_rotation(active: &str, superseded: &str, origin: Origin) -> Entry {
    Entry::new(Kind::KeyRotated, origin).with("active", active).with("superseded", superseded)
}

/// What a start of this node would do about the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// Make the first ones: there are none.
    MakeFirst,
    /// Have another key sign, or publish another one as the next.
    Change,
    /// Nothing: they are as they should be.
    Nothing,
}

/// What a starting node does next about the keys that it found.
enum Step<'a> {
    Found,
    Publish(Found, Wanted<'a>),
    Promote(Found, Wanted<'a>),
    Nothing,
}

/// What the next key is to be.
enum Wanted<'a> {
    New,
    OfFile(&'a FileKey),
    None,
}

impl Keys {
    /// Sees to it that there are keys for this node to sign with, and reads them all.
    ///
    /// A key of another algorithm than before is published first, and signs after a second. The trail is told of that.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub async fn prepare(&self, trail: &Trail) -> Result<(), KeysError> {
        for _ in 0..ATTEMPTS {
            let rows = self.read().await?;
            match self.step(&rows)? {
                Step::Found => self.found().await?,
                Step::Publish(found, wanted) => self.publish(&found, wanted).await?,
                Step::Promote(found, wanted) => self.promote_after_a_while(&found, wanted, trail).await?,
                Step::Nothing => {
                    store::note_token_life(&self.0.pool, self.0.token_life).await?;
                    store::tidy(&self.0.pool, self.0.clock.now()).await?;
                    self.seal_anew(&rows).await?;
                    self.0.is_prepared.store(true, Ordering::Relaxed);
                    return Ok(());
                }
            }
        }
        Err(KeysError::Busy)
    }

    /// What [`Keys::prepare`] would do. Changes nothing.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub async fn outlook(&self) -> Result<Outlook, KeysError> {
        let rows = self.read().await?;
        Ok(match self.step(&rows)? {
            Step::Found => Outlook::MakeFirst,
            Step::Publish(..) | Step::Promote(..) => Outlook::Change,
            Step::Nothing => Outlook::Nothing,
        })
    }

    fn step(&self, rows: &[Row]) -> Result<Step<'_>, KeysError> {
        let Some(found) = of(rows) else { return Ok(Step::Found) };
        match &self.0.file {
            Some(file) => Ok(step_of_file(file, found)),
            None => self.step_of_database(rows, found),
        }
    }

    fn step_of_database(&self, rows: &[Row], found: Found) -> Result<Step<'_>, KeysError> {
        let ring = self.ring();
        let can_sign = |state| ring.of_state(state).filter(|entry| entry.key.can_sign());
        let is_sealed = rows.iter().any(|row| row.is_active && row.private_key.is_some());
        if is_sealed && can_sign(KeyState::Active).is_none() {
            return Err(KeysError::OtherSecret);
        }
        let fits = |state| can_sign(state).is_some_and(|entry| entry.key.algorithm == self.0.algorithm);
        Ok(match (fits(KeyState::Active), fits(KeyState::Next)) {
            (true, _) if found.next.is_some() => Step::Nothing,
            (false, true) => Step::Promote(found, Wanted::New),
            _ => Step::Publish(found, Wanted::New),
        })
    }

    async fn found(&self) -> Result<(), KeysError> {
        let (active, next) = match &self.0.file {
            Some(file) => {
                let next = file.next.as_ref().map(|next| self.row_of_file(next)).transpose()?;
                (self.row_of_file(&file.active)?, next)
            }
            None => (self.new_key(self.0.algorithm)?, Some(self.new_key(self.0.algorithm)?)),
        };
        let now = self.0.clock.now();
        Ok(store::found(&self.0.pool, &active, next.as_ref(), self.0.token_life, now).await?)
    }

    async fn publish(&self, found: &Found, wanted: Wanted<'_>) -> Result<(), KeysError> {
        let next = self.wanted(wanted)?;
        // Or it is another node's turn: the ring is read again in any case.
        store::publish(&self.0.pool, found, next.as_ref(), self.0.clock.now()).await?;
        Ok(())
    }

    async fn promote_after_a_while(
        &self,
        found: &Found,
        wanted: Wanted<'_>,
        trail: &Trail,
    ) -> Result<(), KeysError> {
        let ring = self.ring();
        let now = self.0.clock.now();
        if let Some(next) = ring.of_state(KeyState::Next) {
            if next.key.public.is_some() && is_younger(next.created_at, JWKS_MAX_AGE, now) {
                tracing::warn!(
                    kid = next.key.kid,
                    "tokens are signed with a key that was published a moment ago: who remembers jwks.json may not \
                     know it yet"
                );
            }
            if is_younger(next.created_at, PUBLISHED_AHEAD, now) {
                tokio::time::sleep(PUBLISHED_AHEAD).await;
            }
        }
        let next = self.wanted(wanted)?;
        let is_done = store::promote(&self.0.pool, found, next.as_ref(), MARGIN, self.0.clock.now()).await?;
        if let (true, Some(active)) = (is_done, &found.next) {
            trail.record(of_rotation(active, &found.active, Origin::Node));
        }
        Ok(())
    }

    fn wanted(&self, wanted: Wanted<'_>) -> Result<Option<NewRow>, KeysError> {
        match wanted {
            Wanted::New => self.new_key(self.0.algorithm).map(Some),
            Wanted::OfFile(key) => self.row_of_file(key).map(Some),
            Wanted::None => Ok(None),
        }
    }

    fn new_key(&self, algorithm: JwtAlgorithm) -> Result<NewRow, KeysError> {
        let secret = key::generate(algorithm).map_err(KeysError::NotMade)?;
        let key = Key::private(algorithm, &secret).map_err(KeysError::NotMade)?;
        let sealed = self.0.sealer.seal(&key.kid, &secret);
        Ok(row(&key, Some(sealed.map_err(|error| KeysError::NotMade(error.into()))?)))
    }

    fn row_of_file(&self, file: &FileKey) -> Result<NewRow, KeysError> {
        let seal = |secret| self.0.sealer.seal(&file.key.kid, secret);
        let sealed = file.shared.as_ref().map(seal).transpose();
        Ok(row(&file.key, sealed.map_err(|error| KeysError::NotMade(error.into()))?))
    }

    /// Seals under the secret of now what was sealed under the one before.
    async fn seal_anew(&self, rows: &[Row]) -> Result<(), DatabaseError> {
        for row in rows {
            let Some(sealed) = &row.private_key else { continue };
            let dated = self.0.sealer.unseal(&row.kid, sealed).filter(|unsealed| unsealed.is_dated);
            if let Some(Ok(anew)) = dated.map(|dated| self.0.sealer.seal(&row.kid, &dated.secret)) {
                store::reseal(&self.0.pool, &row.kid, sealed, &anew).await?;
            }
        }
        Ok(())
    }

    /// Has the next key sign from now on, and makes another next one: for `algorithm`, or for the same as that key.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub async fn rotate(&self, algorithm: Option<JwtAlgorithm>) -> Result<Rotated, KeysError> {
        for _ in 0..ATTEMPTS {
            if let Some(rotated) = self.rotate_if(|_| true, algorithm).await? {
                return Ok(rotated);
            }
        }
        Err(KeysError::Busy)
    }

    /// `None` when the ring as it is now does not call for it, or somebody else was quicker.
    async fn rotate_if(
        &self,
        is_due: impl Fn(&Ring) -> bool,
        algorithm: Option<JwtAlgorithm>,
    ) -> Result<Option<Rotated>, KeysError> {
        let rows = self.read().await?;
        let found = of(&rows).ok_or(KeysError::None)?;
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
        let is_done = store::promote(&self.0.pool, &found, Some(&new), MARGIN, now).await?;
        let is_unknown = next.key.public.is_some() && is_younger(next.created_at, JWKS_MAX_AGE, now);
        Ok(is_done.then(|| Rotated {
            active: next.key.kid.clone(),
            next: new.kid,
            superseded: found.active,
            unknown_until: is_unknown.then(|| next.created_at + JWKS_MAX_AGE),
        }))
    }

    /// Why a key that should sign can't.
    fn not_ours(&self, rows: &[Row]) -> KeysError {
        let is_sealed = rows.iter().any(|row| (row.is_active || row.is_next) && row.private_key.is_some());
        if is_sealed && self.0.file.is_none() { KeysError::OtherSecret } else { KeysError::FromFile }
    }

    /// Refuses from now on what a key has signed. A next key is replaced by another, for the active key's algorithm.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub async fn retire(&self, kid: &str) -> Result<(), KeysError> {
        for _ in 0..ATTEMPTS {
            let rows = self.read().await?;
            let found = of(&rows).ok_or(KeysError::None)?;
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
    pub async fn reset(&self) -> Result<(), KeysError> {
        if self.0.file.is_some() {
            return Err(KeysError::FromFile);
        }
        for _ in 0..ATTEMPTS {
            let rows = self.read().await?;
            let found = of(&rows).ok_or(KeysError::None)?;
            let active = rows.iter().find(|row| row.is_active);
            let algorithm = active.and_then(|row| JwtAlgorithm::of_name(&row.algorithm));
            let algorithm = algorithm.unwrap_or(self.0.algorithm);
            let (active, next) = (self.new_key(algorithm)?, self.new_key(algorithm)?);
            let now = self.0.clock.now();
            if store::reset(&self.0.pool, &found, &active, &next, now).await? {
                return Ok(());
            }
        }
        Err(KeysError::Busy)
    }

    /// Does, for as long as it is polled, what time demands.
    pub async fn keep(self, trail: Trail) {
        let mut tidied = tokio::time::Instant::now();
        let mut could_sign = true;
        loop {
            tokio::time::sleep(TICK).await;
            let mut outcome = self.keep_now(&trail).await;
            if tidied.elapsed() >= TIDY {
                tidied = tokio::time::Instant::now();
                let tidy = store::tidy(&self.0.pool, self.0.clock.now()).await;
                outcome = outcome.and(tidy.map_err(KeysError::from));
            }
            match outcome {
                Err(error) if could_sign && !self.can_sign() => {
                    tracing::error!(%error, "this node has no key any more to sign access tokens with");
                }
                // It is tried again in a second.
                Err(error) => tracing::debug!(%error, "the signing keys are not looked after"),
                Ok(()) => {}
            }
            could_sign = self.can_sign();
        }
    }

    async fn keep_now(&self, trail: &Trail) -> Result<(), KeysError> {
        if !self.0.is_prepared.load(Ordering::Relaxed) {
            // The node started on a database that took no writes.
            return self.prepare(trail).await;
        }
        let (ring, now) = (self.ring(), self.0.clock.now());
        let is_due = |ring: &Ring| self.is_rotation_due(ring, now);
        if is_due(&ring)
            && let Some(rotated) = self.rotate_if(is_due, None).await?
        {
            trail.record(rotated.entry(Origin::Node));
            tracing::info!("the signing keys were rotated: it has been long enough");
        }
        let Some(signing) = self.ring().signing().map(|entry| (entry.key.kid.clone(), entry.verify_until))
        else {
            // It slept, perhaps, while others were done with its key.
            return self.prepare(trail).await;
        };
        // This node signs with a key that others are done with: it was set up otherwise, or holds another file.
        if let (kid, Some(until)) = signing
            && until < now + self.token_life() + chrono::Duration::seconds(MARGIN as i64 / 2)
        {
            store::extend(&self.0.pool, &kid, MARGIN, now).await?;
            self.read().await?;
        }
        Ok(())
    }

    fn token_life(&self) -> chrono::Duration {
        chrono::Duration::seconds(self.0.token_life.into())
    }

    fn is_rotation_due(&self, ring: &Ring, now: DateTime<Utc>) -> bool {
        let is_older = |at: DateTime<Utc>, age| !is_younger(at, age, now);
        let due = self.0.rotation.zip(ring.of_state(KeyState::Active)).is_some_and(|(rotation, active)| {
            active.key.algorithm == self.0.algorithm
                && active.activated_at.is_some_and(|activated| is_older(activated, rotation))
        });
        due && ring.of_state(KeyState::Next).is_some_and(|next| {
            next.key.algorithm == self.0.algorithm && is_older(next.created_at, JWKS_MAX_AGE)
        })
    }
}

fn step_of_file(file: &FileKeys, found: Found) -> Step<'_> {
    let next = file.next.as_ref().map_or(Wanted::None, Wanted::OfFile);
    let kid_of_next = file.next.as_ref().map(|next| &next.key.kid);
    let own = Some(&file.active.key.kid);
    match (Some(&found.active) == own, found.next.as_ref()) {
        (true, published) if published == kid_of_next => Step::Nothing,
        (true, _) => Step::Publish(found, next),
        (false, published) if published == own => Step::Promote(found, next),
        (false, _) => Step::Publish(found, Wanted::OfFile(&file.active)),
    }
}

fn is_younger(at: DateTime<Utc>, age: Duration, now: DateTime<Utc>) -> bool {
    (now - at).to_std().is_ok_and(|passed| passed < age)
}

fn of(rows: &[Row]) -> Option<Found> {
    let next = rows.iter().find(|row| row.is_next).map(|row| row.kid.clone());
    rows.iter().find(|row| row.is_active).map(|row| Found { active: row.kid.clone(), next })
}

fn row(key: &Key, private_key: Option<Vec<u8>>) -> NewRow {
    NewRow {
        kid: key.kid.clone(),
        algorithm: key.algorithm.as_str(),
        public_key: key.public.as_ref().and_then(|jwk| serde_json::to_value(jwk).ok()),
        private_key,
    }
}
