//! What a provider publishes, kept for an hour. After a failure, and before its time, it is asked for again once a minute at most.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout_at};

use super::error::ProviderError;
use super::http_client::TIME_LIMIT;
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
    state: Arc<Mutex<CacheState<T>>>,
    /// Held by whoever loads it: several that want it at once load it once.
    loading: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
struct CacheState<T> {
    loaded: Option<(Arc<T>, DateTime<Utc>)>,
    /// When it could not be loaded, and why.
    failed: Option<(DateTime<Utc>, String)>,
    /// When it was last loaded before its time.
    renewed_at: Option<DateTime<Utc>>,
}

impl<T> CacheState<T> {
    /// The document, if it is not older than this.
    fn younger_than(&self, age: TimeDelta, now: DateTime<Utc>) -> Option<Arc<T>> {
        let (document, at) = self.loaded.as_ref()?;
        (now - at < age).then(|| Arc::clone(document))
    }

    /// What need not, or must not, be asked for now.
    fn known(&self, now: DateTime<Utc>) -> Option<Result<Arc<T>, ProviderError>> {
        if let Some(document) = self.younger_than(LIFETIME, now) {
            return Some(Ok(document));
        }
        let (_, why) = self.failed.as_ref().filter(|(at, _)| is_recent(*at, now))?;
        Some(Err(ProviderError::RecentlyFailed(why.clone())))
    }

    fn keep(
        &mut self,
        loaded: Result<T, ProviderError>,
        now: DateTime<Utc>,
    ) -> Result<Arc<T>, ProviderError> {
        match loaded {
            Ok(document) => {
                let document = Arc::new(document);
                self.loaded = Some((Arc::clone(&document), now));
                self.failed = None;
                Ok(document)
            }
            // It was not even asked.
            Err(ProviderError::Busy) => Err(ProviderError::Busy),
            Err(error) => {
                self.failed = Some((now, error.to_string()));
                Err(error)
            }
        }
    }
}

impl<T: Send + Sync + 'static> RefreshedCache<T> {
    pub(super) fn new(clock: Clock) -> Self {
        let state = CacheState { loaded: None, failed: None, renewed_at: None };
        Self { clock, state: Arc::new(Mutex::new(state)), loading: Arc::default() }
    }

    /// The document, loaded if there is none, or it is too old. `load` gets a deadline of its own: what the caller has no time left
    /// for is not the provider's fault.
    ///
    /// # Errors
    /// That of `load`; [`ProviderError::RecentlyFailed`] within a minute after that; [`ProviderError::TimedOut`] at the deadline.
    pub(super) async fn get<F>(
        &self,
        deadline: Instant,
        load: impl FnOnce(Instant) -> F,
    ) -> Result<Arc<T>, ProviderError>
    where
        F: Future<Output = Result<T, ProviderError>> + Send + 'static,
    {
        let known_or_loaded = async {
            if let Some(known) = self.known() {
                return known;
            }
            let turn = Arc::clone(&self.loading).lock_owned().await;
            match self.known() {
                Some(known) => known,
                None => self.load(turn, load).await,
            }
        };
        let outcome = timeout_at(deadline, known_or_loaded).await.unwrap_or(Err(ProviderError::TimedOut));
        outcome.or_else(|error| self.lock().younger_than(STALE_LIFETIME, self.clock.now()).ok_or(error))
    }

    /// Loads a newer document than this one, unless that was done less than a minute ago. `None`: there is no newer one.
    pub(super) async fn renew<F>(
        &self,
        known: &Arc<T>,
        deadline: Instant,
        load: impl FnOnce(Instant) -> F,
    ) -> Option<Arc<T>>
    where
        F: Future<Output = Result<T, ProviderError>> + Send + 'static,
    {
        let newer = || {
            let loaded = self.lock().loaded.as_ref().map(|(document, _)| Arc::clone(document));
            loaded.filter(|document| !Arc::ptr_eq(document, known))
        };
        let newer_or_loaded = async {
            let turn = Arc::clone(&self.loading).lock_owned().await;
            if let Some(document) = newer() {
                return Some(document);
            }
            let now = self.clock.now();
            if self.lock().renewed_at.is_some_and(|at| is_recent(at, now)) {
                return None;
            }
            self.lock().renewed_at = Some(now);
            let loaded = self.load(turn, load).await;
            if matches!(loaded, Err(ProviderError::Busy)) {
                self.lock().renewed_at = None;
            }
            loaded.ok()
        };
        timeout_at(deadline, newer_or_loaded).await.ok().flatten()
    }

    /// Loads the document. That goes on when the caller has gone: else a slow provider's would never be there.
    async fn load<F>(
        &self,
        turn: OwnedMutexGuard<()>,
        load: impl FnOnce(Instant) -> F,
    ) -> Result<Arc<T>, ProviderError>
    where
        F: Future<Output = Result<T, ProviderError>> + Send + 'static,
    {
        let (state, now) = (Arc::clone(&self.state), self.clock.now());
        let loading = load(Instant::now() + TIME_LIMIT);
        let task = tokio::spawn(async move {
            let _turn = turn;
            let loaded = loading.await;
            state.lock().unwrap_or_else(PoisonError::into_inner).keep(loaded, now)
        });
        // It is lost only when the service stops.
        task.await.unwrap_or(Err(ProviderError::TimedOut))
    }

    fn known(&self) -> Option<Result<Arc<T>, ProviderError>> {
        self.lock().known(self.clock.now())
    }

    fn lock(&self) -> MutexGuard<'_, CacheState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_recent(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    (now - at).abs() < PAUSE
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;

    fn cache() -> (RefreshedCache<u8>, Clock) {
        let clock = Clock::manual(DateTime::from_timestamp(1_925_000_000, 0).expect("a time in 2031"));
        (RefreshedCache::new(clock.clone()), clock)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    fn later() -> Instant {
        Instant::now() + TIME_LIMIT
    }

    async fn slow(number: u8) -> Result<u8, ProviderError> {
        sleep(Duration::from_millis(200)).await;
        Ok(number)
    }

    #[tokio::test]
    async fn who_has_no_time_left_gets_none_and_the_next_one_has_the_document() {
        let (cache, _clock) = cache();
        assert!(matches!(cache.get(soon(), |_| slow(1)).await, Err(ProviderError::TimedOut)));
        let next = cache.get(later(), |_| async { Err(ProviderError::NoKeys) }).await;
        assert_eq!(*next.expect("what the first one began"), 1);
    }

    #[tokio::test]
    async fn to_wait_for_others_is_no_failure() {
        let (cache, _clock) = cache();
        let busy = cache.get(later(), |_| async { Err(ProviderError::Busy) }).await;
        assert!(matches!(busy, Err(ProviderError::Busy)));
        let known = cache.get(later(), |_| slow(1)).await.expect("it is asked");
        assert!(cache.renew(&known, later(), |_| async { Err(ProviderError::Busy) }).await.is_none());
        assert_eq!(cache.renew(&known, later(), |_| slow(2)).await.as_deref(), Some(&2));
    }

    #[tokio::test]
    async fn a_key_that_comes_too_late_for_whoever_asked_is_there_for_the_next() {
        let (cache, _clock) = cache();
        let known = cache.get(later(), |_| slow(1)).await.expect("it is asked");
        assert!(cache.renew(&known, soon(), |_| slow(2)).await.is_none());
        let next = cache.renew(&known, later(), |_| async { Err(ProviderError::NoKeys) }).await;
        assert_eq!(next.as_deref(), Some(&2));
    }

    #[tokio::test]
    async fn what_is_known_waits_for_nothing_that_is_being_loaded() {
        let (cache, clock) = cache();
        let known = cache.get(later(), |_| slow(1)).await.expect("it is asked");
        assert!(cache.renew(&known, soon(), |_| std::future::pending()).await.is_none());
        assert_eq!(*cache.get(soon(), |_| slow(3)).await.expect("it is fresh"), 1);
        clock.advance(Duration::from_secs(2 * 3_600));
        assert_eq!(*cache.get(soon(), |_| slow(3)).await.expect("it is stale, and better than none"), 1);
    }

    #[tokio::test]
    async fn a_failure_of_its_own_is_one_and_says_why_for_a_minute() {
        let (cache, clock) = cache();
        cache.get(later(), |_| async { Err(ProviderError::NoKeys) }).await.expect_err("none");
        let told = cache.get(later(), |_| slow(1)).await.expect_err("it is left alone").to_string();
        assert!(told.contains("less than a minute ago: it has no key"), "{told}");
        clock.advance(Duration::from_secs(60));
        cache.get(later(), |_| slow(1)).await.expect("it is asked again");
    }
}
