//! Periodic maintenance of the signing keys: scheduled rotation, purging, and prolonging a key that is still in use.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::audit::Actor;

use super::ring::Ring;
use super::rotation_and_retirement::{JWKS_MAX_AGE, MARGIN, is_younger};
use super::store;
use super::{KeyState, Keys, KeysError};

/// The interval of the maintenance.
const TICK: Duration = Duration::from_secs(1);

/// The interval at which retired keys are purged.
const PURGE_INTERVAL: Duration = Duration::from_secs(10 * 60);

impl Keys {
    /// Runs the maintenance; never returns.
    pub async fn run_upkeep(self) {
        let mut purged_at = tokio::time::Instant::now();
        let (mut could_sign, mut is_failing) = (true, false);
        loop {
            tokio::time::sleep(TICK).await;
            let mut outcome = self.run_once().await;
            if purged_at.elapsed() >= PURGE_INTERVAL {
                purged_at = tokio::time::Instant::now();
                let purge = store::purge_retired(&self.0.pool, self.0.clock.now()).await;
                outcome = outcome.and(purge.map_err(KeysError::from));
            }
            let has_failed = outcome.is_err();
            match outcome {
                Err(error) if could_sign && !self.can_sign() => {
                    tracing::error!(%error, "no signing key left: this node can't issue access tokens; run `dualauth doctor`");
                }
                // One warning for a series of failures: the next attempt is in a second.
                Err(error) if !is_failing => {
                    tracing::warn!(%error, "signing key maintenance failed; will retry")
                }
                Err(error) => tracing::debug!(%error, "signing key maintenance failed again; will retry"),
                Ok(()) => {}
            }
            (could_sign, is_failing) = (self.can_sign(), has_failed);
        }
    }

    async fn run_once(&self) -> Result<(), KeysError> {
        if !self.0.is_prepared.load(Ordering::Relaxed) {
            // The node started on a read-only database.
            return self.prepare().await;
        }
        let (ring, now) = (self.ring(), self.0.clock.now());
        let is_due = |ring: &Ring| self.is_rotation_due(ring, now);
        if is_due(&ring)
            && let Some(rotated) = self.rotate_if(is_due, None, &Actor::NODE).await?
        {
            tracing::info!(
                active = rotated.active,
                next = rotated.next,
                superseded = rotated.superseded,
                "signing keys rotated (scheduled by KEY_ROTATION)"
            );
        }
        let Some(signing) = self.ring().signing().map(|entry| (entry.key.kid.clone(), entry.verify_until))
        else {
            // This node's key was retired by another node while this one was suspended.
            return self.prepare().await;
        };
        // Other nodes have superseded the key that this one signs with: it has another JWT_ALGORITHM or JWT_KEY_FILE.
        if let (kid, Some(until)) = signing
            && until < now + self.token_life() + chrono::Duration::seconds(MARGIN as i64 / 2)
        {
            store::extend_verification(&self.0.pool, &kid, MARGIN, now).await?;
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
