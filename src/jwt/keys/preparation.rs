//! Preparation of the signing keys at startup: generates the first ones, and publishes and activates keys of a file or of
//! another algorithm.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::audit::Actor;
use crate::database::DatabaseError;

use super::file::{ActiveAndNextFileKeys, FileKey};
use super::rotation_and_retirement::{ATTEMPTS, JWKS_MAX_AGE, MARGIN, active_and_next, is_younger, row};
use super::store::{self, ExpectedKids, KeyRow, NewKeyRow};
use super::{KeyState, Keys, KeysError};

/// How long a starting node publishes a new key before it signs with it, so that the other nodes learn of the key.
const PUBLISHED_AHEAD: Duration = Duration::from_secs(1);

/// What a start of this node would change about the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartupKeyChange {
    /// There are no keys: generate the first ones.
    MakeFirst,
    /// Activate another key, or publish another next one.
    Change,
    /// No change.
    Nothing,
}

/// The next step of the preparation, with the ring that it was planned for.
enum PreparationStep<'a> {
    MakeFirst,
    Publish(ExpectedKids, NextKeySource<'a>),
    Promote(ExpectedKids, NextKeySource<'a>),
    Nothing,
}

/// Where the next key comes from.
enum NextKeySource<'a> {
    New,
    OfFile(&'a FileKey),
    None,
}

impl Keys {
    /// Ensures that this node has keys to sign with, and loads them all.
    ///
    /// A key of another algorithm is published first, and activated after a second; that rotation is recorded in the audit
    /// trail.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub async fn prepare(&self) -> Result<(), KeysError> {
        for _ in 0..ATTEMPTS {
            let rows = self.read().await?;
            match self.step(&rows)? {
                PreparationStep::MakeFirst => self.make_first().await?,
                PreparationStep::Publish(current, source) => self.publish(&current, source).await?,
                PreparationStep::Promote(current, source) => {
                    self.promote_after_publish_delay(&current, source).await?
                }
                PreparationStep::Nothing => {
                    store::record_token_lifetime(&self.0.pool, self.0.token_life).await?;
                    store::purge_retired(&self.0.pool, self.0.clock.now()).await?;
                    self.reseal_all(&rows).await?;
                    self.0.is_prepared.store(true, Ordering::Relaxed);
                    return Ok(());
                }
            }
        }
        Err(KeysError::Busy)
    }

    /// What [`Keys::prepare`] would do, without doing it.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub async fn startup_key_change(&self) -> Result<StartupKeyChange, KeysError> {
        let rows = self.read().await?;
        Ok(match self.step(&rows)? {
            PreparationStep::MakeFirst => StartupKeyChange::MakeFirst,
            PreparationStep::Publish(..) | PreparationStep::Promote(..) => StartupKeyChange::Change,
            PreparationStep::Nothing => StartupKeyChange::Nothing,
        })
    }

    fn step(&self, rows: &[KeyRow]) -> Result<PreparationStep<'_>, KeysError> {
        let Some(current) = active_and_next(rows) else { return Ok(PreparationStep::MakeFirst) };
        match &self.0.file {
            Some(file) => Ok(step_with_file(file, current)),
            None => self.step_without_file(rows, current),
        }
    }

    fn step_without_file(
        &self,
        rows: &[KeyRow],
        current: ExpectedKids,
    ) -> Result<PreparationStep<'_>, KeysError> {
        let ring = self.ring();
        let can_sign = |state| ring.of_state(state).filter(|entry| entry.key.can_sign());
        let is_sealed = rows.iter().any(|row| row.is_active && row.private_key.is_some());
        if is_sealed && can_sign(KeyState::Active).is_none() {
            return Err(KeysError::OtherSecret);
        }
        let fits = |state| can_sign(state).is_some_and(|entry| entry.key.algorithm == self.0.algorithm);
        Ok(match (fits(KeyState::Active), fits(KeyState::Next)) {
            (true, _) if current.next.is_some() => PreparationStep::Nothing,
            (false, true) => PreparationStep::Promote(current, NextKeySource::New),
            _ => PreparationStep::Publish(current, NextKeySource::New),
        })
    }

    async fn make_first(&self) -> Result<(), KeysError> {
        let (active, next) = match &self.0.file {
            Some(file) => {
                let next = file.next.as_ref().map(|next| self.row_of_file(next)).transpose()?;
                (self.row_of_file(&file.active)?, next)
            }
            None => (self.new_key(self.0.algorithm)?, Some(self.new_key(self.0.algorithm)?)),
        };
        let now = self.0.clock.now();
        Ok(store::insert_initial_keys(&self.0.pool, &active, next.as_ref(), self.0.token_life, now).await?)
    }

    async fn publish(&self, current: &ExpectedKids, source: NextKeySource<'_>) -> Result<(), KeysError> {
        let next = self.next_key_row(source)?;
        // `false` means that another node was faster; the caller reloads the ring in either case.
        store::publish(&self.0.pool, current, next.as_ref(), self.0.clock.now()).await?;
        Ok(())
    }

    async fn promote_after_publish_delay(
        &self,
        current: &ExpectedKids,
        source: NextKeySource<'_>,
    ) -> Result<(), KeysError> {
        let ring = self.ring();
        let now = self.0.clock.now();
        if let Some(next) = ring.of_state(KeyState::Next) {
            if next.key.public.is_some() && is_younger(next.created_at, JWKS_MAX_AGE, now) {
                tracing::warn!(
                    kid = next.key.kid,
                    "signing with a newly published key: verifiers with a cached jwks.json may reject tokens for up to \
                     5 minutes"
                );
            }
            if is_younger(next.created_at, PUBLISHED_AHEAD, now) {
                tokio::time::sleep(PUBLISHED_AHEAD).await;
            }
        }
        let next = self.next_key_row(source)?;
        let is_done =
            store::promote(&self.0.pool, current, next.as_ref(), MARGIN, self.0.clock.now()).await?;
        if let (true, Some(active)) = (is_done, &current.next) {
            self.record_rotation(active, &current.active, &Actor::NODE);
        }
        Ok(())
    }

    fn next_key_row(&self, source: NextKeySource<'_>) -> Result<Option<NewKeyRow>, KeysError> {
        match source {
            NextKeySource::New => self.new_key(self.0.algorithm).map(Some),
            NextKeySource::OfFile(key) => self.row_of_file(key).map(Some),
            NextKeySource::None => Ok(None),
        }
    }

    fn row_of_file(&self, file: &FileKey) -> Result<NewKeyRow, KeysError> {
        let seal = |secret| self.0.sealer.seal(&file.key.kid, secret);
        let sealed = file.shared.as_ref().map(seal).transpose();
        Ok(row(&file.key, sealed.map_err(|error| KeysError::NotMade(error.into()))?))
    }

    /// Encrypts keys again that are still encrypted under `APP_SECRET_PREVIOUS`.
    async fn reseal_all(&self, rows: &[KeyRow]) -> Result<(), DatabaseError> {
        for row in rows {
            let Some(sealed) = &row.private_key else { continue };
            let dated =
                self.0.sealer.unseal(&row.kid, sealed).filter(|unsealed| unsealed.is_sealed_under_previous);
            if let Some(Ok(anew)) = dated.map(|dated| self.0.sealer.seal(&row.kid, &dated.secret)) {
                store::reseal(&self.0.pool, &row.kid, sealed, &anew).await?;
            }
        }
        Ok(())
    }
}

fn step_with_file(file: &ActiveAndNextFileKeys, current: ExpectedKids) -> PreparationStep<'_> {
    let next = file.next.as_ref().map_or(NextKeySource::None, NextKeySource::OfFile);
    let kid_of_next = file.next.as_ref().map(|next| &next.key.kid);
    let own = Some(&file.active.key.kid);
    match (Some(&current.active) == own, current.next.as_ref()) {
        (true, published) if published == kid_of_next => PreparationStep::Nothing,
        (true, _) => PreparationStep::Publish(current, next),
        (false, published) if published == own => PreparationStep::Promote(current, next),
        (false, _) => PreparationStep::Publish(current, NextKeySource::OfFile(&file.active)),
    }
}
