//! What a node does about the keys as time goes by: rotates them when that is due, and keeps its own from being retired.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::audit::Actor;

use super::ring::Ring;
use super::rotation::{JWKS_MAX_AGE, MARGIN, is_younger};
use super::store;
use super::{KeyState, Keys, KeysError};

/// How often a node looks whether it is time to do something about the keys.
const TICK: Duration = Duration::from_secs(1);

/// And how often it tidies up.
const TIDY: Duration = Duration::from_secs(10 * 60);

impl Keys {
    /// Does, for as long as it is polled, what time demands.
    pub async fn run_upkeep(self) {
        let mut tidied = tokio::time::Instant::now();
        let mut could_sign = true;
        loop {
            tokio::time::sleep(TICK).await;
            let mut outcome = self.run_once().await;
            if tidied.elapsed() >= TIDY {
                tidied = tokio::time::Instant::now();
                let tidy = store::tidy(&self.0.pool, self.0.clock.now()).await;
                outcome = outcome.and(tidy.map_err(KeysError::from));
            }
            match outcome {
                Err(error) if could_sign && !self.can_sign() => {
                    tracing::error!(%error, "no signing key left: this node can't issue access tokens");
                }
                // It is tried again in a second.
                Err(error) => tracing::debug!(%error, "signing key upkeep failed; will retry"),
                Ok(()) => {}
            }
            could_sign = self.can_sign();
        }
    }

    async fn run_once(&self) -> Result<(), KeysError> {
        if !self.0.is_prepared.load(Ordering::Relaxed) {
            // The node started on a database that took no writes.
            return self.prepare().await;
        }
        let (ring, now) = (self.ring(), self.0.clock.now());
        let is_due = |ring: &Ring| self.is_rotation_due(ring, now);
        if is_due(&ring) && self.rotate_if(is_due, None, &Actor::NODE).await?.is_some() {
            tracing::info!("signing keys rotated, as KEY_ROTATION asks");
        }
        let Some(signing) = self.ring().signing().map(|entry| (entry.key.kid.clone(), entry.verify_until))
        else {
            // It slept, perhaps, while others were done with its key.
            return self.prepare().await;
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
