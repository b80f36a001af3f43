//! Fetching the JWK set: one fetch at a time, so that an older set never replaces a newer one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::client::RequestError;
use crate::core::Core;
use crate::key_set::KeySet;

/// The least time between two fetches for unknown keys: their names are chosen by whoever sends a token.
const PAUSE: Duration = Duration::from_secs(1);

/// For how long keys are used without a look at the set: what dualauth's `Cache-Control` says.
pub(crate) const KEYS_LIFE: Duration = Duration::from_secs(300);

/// The least time that a fetch may take, however low the staleness bound is.
const MIN_LIMIT: Duration = Duration::from_secs(1);

/// The last fetch.
#[derive(Default)]
pub(crate) struct KeyFetch(Mutex<Option<Fetched>>);

#[derive(Clone, Copy)]
struct Fetched {
    /// When it began (uptime).
    began: Duration,
    /// When it ended: callers that waited for it share its outcome.
    ended: Duration,
    succeeded: bool,
}

impl Core {
    /// Fetches the keys.
    pub(crate) async fn fetch_keys(&self) -> Result<(), RequestError> {
        let mut last = self.key_fetch.0.lock().await;
        self.fetch_keys_alone(&mut last).await
    }

    /// Whether the last fetch is so long ago that a key may have left the set by the passing of time, which no
    /// feed tells of.
    pub(crate) fn keys_are_old(&self) -> bool {
        let is_old = |last: Fetched| self.clock.uptime().saturating_sub(last.began) > KEYS_LIFE;
        // Held: they are being fetched.
        self.key_fetch.0.try_lock().is_ok_and(|last| last.is_none_or(is_old))
    }

    /// Fetches the keys because a token names one that is not known, unless that was just done. Returns `false` if
    /// the fetch failed.
    pub(crate) async fn fetch_unknown_key(&self) -> bool {
        let mut last = self.key_fetch.0.lock().await;
        let now = self.clock.uptime();
        if let Some(recent) = last.filter(|last| now.saturating_sub(last.ended) < PAUSE) {
            return recent.succeeded;
        }
        self.fetch_keys_alone(&mut last).await.is_ok()
    }

    async fn fetch_keys_alone(&self, last: &mut Option<Fetched>) -> Result<(), RequestError> {
        let began = self.clock.uptime();
        let fetched = self.client.keys(began, self.bound.max(MIN_LIMIT)).await;
        *last = Some(Fetched { began, ended: self.clock.uptime(), succeeded: fetched.is_ok() });
        let set = fetched?;
        let known = self.knowledge().keys.as_ref().map(Arc::clone);
        let keys = KeySet::new(set, known.as_deref().unwrap_or(&KeySet::default()));
        if keys.is_empty() && known.is_none_or(|known| !known.is_empty()) {
            tracing::warn!(
                "dualauth publishes no keys: with JWT_ALGORITHM=HS256 no other service can verify its tokens"
            );
        }
        self.learn(|knowledge| knowledge.keys = Some(Arc::new(keys)));
        Ok(())
    }
}
