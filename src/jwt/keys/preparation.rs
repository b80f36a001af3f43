//! What a starting node does about the keys: it makes the first ones, publishes those of its file or of another algorithm,
//! and has them sign.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::audit::Actor;
use crate::database::DatabaseError;

use super::file::{FileKey, FileKeys};
use super::rotation::{ATTEMPTS, JWKS_MAX_AGE, MARGIN, active_and_next, is_younger, row};
use super::store::{self, ActiveAndNext, KeyRow, NewKeyRow};
use super::{KeyState, Keys, KeysError};

/// For how long a key that a starting node has to make is published before it signs: long enough for other nodes to
/// hear of it.
const PUBLISHED_AHEAD: Duration = Duration::from_secs(1);

/// What a start of this node would do about the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartupPlan {
    /// Make the first ones: there are none.
    MakeFirst,
    /// Have another key sign, or publish another one as the next.
    Change,
    /// Nothing: they are as they should be.
    Nothing,
}

/// What a starting node does next about the keys that it found.
enum PreparationStep<'a> {
    MakeFirst,
    Publish(ActiveAndNext, NextKeySource<'a>),
    Promote(ActiveAndNext, NextKeySource<'a>),
    Nothing,
}

/// What the next key is to be.
enum NextKeySource<'a> {
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
    pub async fn prepare(&self) -> Result<(), KeysError> {
        for _ in 0..ATTEMPTS {
            let rows = self.read().await?;
            match self.step(&rows)? {
                PreparationStep::MakeFirst => self.make_first().await?,
                PreparationStep::Publish(found, wanted) => self.publish(&found, wanted).await?,
                PreparationStep::Promote(found, wanted) => self.promote_after_a_while(&found, wanted).await?,
                PreparationStep::Nothing => {
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
    pub async fn startup_plan(&self) -> Result<StartupPlan, KeysError> {
        let rows = self.read().await?;
        Ok(match self.step(&rows)? {
            PreparationStep::MakeFirst => StartupPlan::MakeFirst,
            PreparationStep::Publish(..) | PreparationStep::Promote(..) => StartupPlan::Change,
            PreparationStep::Nothing => StartupPlan::Nothing,
        })
    }

    fn step(&self, rows: &[KeyRow]) -> Result<PreparationStep<'_>, KeysError> {
        let Some(found) = active_and_next(rows) else { return Ok(PreparationStep::MakeFirst) };
        match &self.0.file {
            Some(file) => Ok(step_of_file(file, found)),
            None => self.step_of_database(rows, found),
        }
    }

    fn step_of_database(
        &self,
        rows: &[KeyRow],
        found: ActiveAndNext,
    ) -> Result<PreparationStep<'_>, KeysError> {
        let ring = self.ring();
        let can_sign = |state| ring.of_state(state).filter(|entry| entry.key.can_sign());
        let is_sealed = rows.iter().any(|row| row.is_active && row.private_key.is_some());
        if is_sealed && can_sign(KeyState::Active).is_none() {
            return Err(KeysError::OtherSecret);
        }
        let fits = |state| can_sign(state).is_some_and(|entry| entry.key.algorithm == self.0.algorithm);
        Ok(match (fits(KeyState::Active), fits(KeyState::Next)) {
            (true, _) if found.next.is_some() => PreparationStep::Nothing,
            (false, true) => PreparationStep::Promote(found, NextKeySource::New),
            _ => PreparationStep::Publish(found, NextKeySource::New),
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
        Ok(store::found(&self.0.pool, &active, next.as_ref(), self.0.token_life, now).await?)
    }

    async fn publish(&self, found: &ActiveAndNext, wanted: NextKeySource<'_>) -> Result<(), KeysError> {
        let next = self.wanted(wanted)?;
        // Or it is another node's turn: the ring is read again in any case.
        store::publish(&self.0.pool, found, next.as_ref(), self.0.clock.now()).await?;
        Ok(())
    }

    async fn promote_after_a_while(
        &self,
        found: &ActiveAndNext,
        wanted: NextKeySource<'_>,
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
            self.record_rotation(active, &found.active, &Actor::NODE);
        }
        Ok(())
    }

    fn wanted(&self, wanted: NextKeySource<'_>) -> Result<Option<NewKeyRow>, KeysError> {
        match wanted {
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

    /// Seals under the secret of now what was sealed under the one before.
    async fn seal_anew(&self, rows: &[KeyRow]) -> Result<(), DatabaseError> {
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

fn step_of_file(file: &FileKeys, found: ActiveAndNext) -> PreparationStep<'_> {
    let next = file.next.as_ref().map_or(NextKeySource::None, NextKeySource::OfFile);
    let kid_of_next = file.next.as_ref().map(|next| &next.key.kid);
    let own = Some(&file.active.key.kid);
    match (Some(&found.active) == own, found.next.as_ref()) {
        (true, published) if published == kid_of_next => PreparationStep::Nothing,
        (true, _) => PreparationStep::Publish(found, next),
        (false, published) if published == own => PreparationStep::Promote(found, next),
        (false, _) => PreparationStep::Publish(found, NextKeySource::OfFile(&file.active)),
    }
}
