//! What a provider publishes, kept for an hour, and asked for again at most once a minute.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout_at};

use super::error::ProviderError;
use crate::clock::Clock;

const LIFETIME: TimeDelta = TimeDelta::hours(1);

/// How long it is used while the provider does not give a newer one.
const STALE_LIFETIME: TimeDelta = TimeDelta::hours(24);

/// How long to wait after a failure, or after it was asked for before its time.
const PAUSE: TimeDelta = TimeDelta::minutes(1);

/// A published document.
#[derive(Debug)]
pub(super) struct RefreshedCache<T> {
    clock: Clock,
    state: Mutex<CacheState<T>>,
}

#[derive(Debug)]
struct CacheState<T> {
    loaded: Option<(Arc<T>, DateTime<Utc>)>,
    failed_at: Option<DateTime<Utc>>,
    /// When it was last loaded before its time.
    renewed_at: Option<DateTime<Utc>>,
}

impl<T> CacheState<T> {
    /// The document, if it is not older than this.
    fn younger_than(&self, age: TimeDelta, now: DateTime<Utc>) -> Option<Arc<T>> {
        let (document, at) = self.loaded.as_ref()?;
        (now - at < age).then(|| Arc::clone(document))
    }
}

impl<T> RefreshedCache<T> {
    pub(super) fn new(clock: Clock) -> Self {
        let state = CacheState { loaded: None, failed_at: None, renewed_at: None };
        Self { clock, state: Mutex::new(state) }
    }

    /// The document, loaded if there is none, or it is too old. Several that want it at once load it once.
    ///
    /// # Errors
    /// That of `load`; [`ProviderError::RecentlyFailed`] within a minute after that.
    pub(super) async fn get(
        &self,
        deadline: Instant,
        load: impl AsyncFnOnce() -> Result<T, ProviderError>,
    ) -> Result<Arc<T>, ProviderError> {
        let mut state = self.lock(deadline).await?;
        let now = self.clock.now();
        if let Some(document) = state.younger_than(LIFETIME, now) {
            return Ok(document);
        }
        let stale = state.younger_than(STALE_LIFETIME, now);
        if is_recent(state.failed_at, now) {
            return stale.ok_or(ProviderError::RecentlyFailed);
        }
        match load().await {
            Ok(document) => Ok(keep(&mut state, document, now)),
            Err(error) => {
                state.failed_at = Some(now);
                stale.ok_or(error)
            }
        }
    }

    /// Loads a newer document than this one, unless that was done less than a minute ago. `None`: there is no newer one.
    pub(super) async fn renew(
        &self,
        known: &Arc<T>,
        deadline: Instant,
        load: impl AsyncFnOnce() -> Result<T, ProviderError>,
    ) -> Option<Arc<T>> {
        let mut state = self.lock(deadline).await.ok()?;
        let now = self.clock.now();
        if let Some((document, _)) = &state.loaded
            && !Arc::ptr_eq(document, known)
        {
            return Some(Arc::clone(document));
        }
        if is_recent(state.renewed_at, now) {
            return None;
        }
        let document = load().await;
        state.renewed_at = Some(now);
        document.ok().map(|document| keep(&mut state, document, now))
    }

    async fn lock(&self, deadline: Instant) -> Result<MutexGuard<'_, CacheState<T>>, ProviderError> {
        timeout_at(deadline, self.state.lock()).await.map_err(|_| ProviderError::TimedOut)
    }
}

fn is_recent(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    at.is_some_and(|at| (now - at).abs() < PAUSE)
}

fn keep<T>(state: &mut CacheState<T>, document: T, now: DateTime<Utc>) -> Arc<T> {
    let document = Arc::new(document);
    state.loaded = Some((Arc::clone(&document), now));
    state.failed_at = None;
    document
}
