//! Rate limits per client network: GCRA (generic cell rate algorithm), in memory. Each node counts for itself.
//!
//! Rate limit libraries count calls. This counts failures: an attempt is reserved beforehand and given back when it
//! succeeds, which they don't offer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::config::{RateLimit, RateLimits};
use crate::error::{Code, Problem};

/// Number of networks from which on entries without usage are removed.
const SMALL: usize = 1_024;

/// A rate limit that was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many, too fast: {}", self.policy)]
pub struct Limited {
    /// Its name in the header `RateLimit-Policy`.
    pub policy: &'static str,
    /// Maximum number of attempts in [`Limited::window`].
    pub quota: u32,
    /// The period of [`Limited::quota`].
    pub window: Duration,
    /// Time until the next attempt is allowed.
    pub retry_after: Duration,
}

/// Status 429 with the quota and the time until the next attempt (draft-ietf-httpapi-ratelimit-headers-10; RFC 9110,
/// section 10.2.3).
impl From<Limited> for Problem {
    fn from(Limited { policy, quota, window, retry_after }: Limited) -> Self {
        // Rounded up to whole seconds, so that a retry at that time is accepted.
        let wait = retry_after.as_micros().div_ceil(1_000_000).max(1);
        Self::new(Code::RateLimited, "Too many tries, too fast. See Retry-After.")
            .with_header("Retry-After", wait.to_string())
            .with_header("RateLimit-Policy", format!("\"{policy}\";q={quota};w={}", window.as_secs()))
            .with_header("RateLimit", format!("\"{policy}\";r=0;t={wait}"))
    }
}

/// The rate limits of a node.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `LOGIN_LIMIT`: counts failed authentications.
    pub login: Limiter,
    /// `REGISTER_LIMIT`: counts calls.
    pub register: Limiter,
    /// `REFRESH_LIMIT`: counts calls.
    pub refresh: Limiter,
    /// `MAIL_LIMIT`: counts calls.
    pub mail: Limiter,
    /// `REFRESH_LIMIT` once more: counts challenges for anybody's passkey, which pages ask for as often as they are opened.
    pub passkey_challenge: Limiter,
    /// `REFRESH_LIMIT` once more: counts sign-ins at providers that anybody begins.
    pub provider_challenge: Limiter,
    /// `LOGIN_LIMIT` once more: counts callbacks whose code the provider refuses.
    pub provider_callback: Limiter,
}

impl Limits {
    /// The limits of these settings.
    pub fn new(config: &RateLimits, clock: &Clock) -> Self {
        let limiter = |policy, limit| Limiter::new(policy, limit, clock.clone());
        Self {
            login: limiter("login", config.login),
            register: limiter("register", config.register),
            refresh: limiter("refresh", config.refresh),
            mail: limiter("mail", config.mail),
            passkey_challenge: limiter("passkey_challenge", config.refresh),
            provider_challenge: limiter("provider_challenge", config.refresh),
            provider_callback: limiter("provider_callback", config.login),
        }
    }
}

/// Counts one kind of event for each network.
#[derive(Clone, Debug)]
pub struct Limiter {
    policy: &'static str,
    limit: RateLimit,
    clock: Clock,
    networks: Arc<Mutex<NetworkTallies>>,
    /// Notified when an attempt ends.
    ended: Arc<Notify>,
}

#[derive(Debug)]
struct NetworkTallies {
    tallies: HashMap<IpNet, GcraState>,
    /// Number of entries at which unused ones are removed.
    tidy_at: usize,
}

/// The state of one network, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
struct GcraState {
    /// GCRA's theoretical arrival time. The part of it that is later than now is the used quota.
    arrival: i64,
    /// Attempts whose outcome is not known yet.
    under_way: u32,
}

impl Limiter {
    fn new(policy: &'static str, limit: RateLimit, clock: Clock) -> Self {
        let networks = NetworkTallies { tallies: HashMap::new(), tidy_at: SMALL };
        Self { policy, limit, clock, networks: Arc::new(Mutex::new(networks)), ended: Arc::default() }
    }

    /// Counts one event.
    ///
    /// # Errors
    /// When the limit is exceeded.
    pub fn count(&self, network: IpNet) -> Result<(), Limited> {
        let mut networks = self.networks();
        let now = self.now();
        self.room(networks.tally(network, now), now)?;
        self.add(networks.tally(network, now), now);
        Ok(())
    }

    /// Checks whether another event is allowed now, without counting it.
    ///
    /// # Errors
    /// When the limit is exceeded.
    pub fn check(&self, network: IpNet) -> Result<(), Limited> {
        let mut networks = self.networks();
        let now = self.now();
        self.room(networks.tally(network, now), now).map(drop)
    }

    /// Begins an attempt, which is counted if it fails. Concurrent attempts wait for each other if they could exceed
    /// the limit should all of them fail. So the limit holds, and no client is rejected because of attempts that then
    /// succeed.
    ///
    /// # Errors
    /// When too many attempts have failed.
    pub async fn begin(&self, network: IpNet) -> Result<LimitedAttempt<'_>, Limited> {
        loop {
            // Subscribe before checking, so that an attempt that ends in between is not missed.
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.begin_now(network)? {
                return Ok(LimitedAttempt { limiter: self, network, has_failed: true });
            }
            ended.await;
        }
    }

    fn begin_now(&self, network: IpNet) -> Result<bool, Limited> {
        let mut networks = self.networks();
        let now = self.now();
        let tally = networks.tally(network, now);
        let has_room = self.room(tally, now)? > tally.under_way;
        tally.under_way += u32::from(has_room);
        Ok(has_room)
    }

    /// How many more events are allowed now.
    fn room(&self, tally: &GcraState, now: i64) -> Result<u32, Limited> {
        let interval = self.interval();
        let free = interval * i64::from(self.limit.count) - (tally.arrival - now).max(0);
        match free / interval {
            0 => Err(Limited {
                policy: self.policy,
                quota: self.limit.count,
                window: self.limit.per,
                retry_after: Duration::from_micros((interval - free).unsigned_abs()),
            }),
            room => Ok(u32::try_from(room).unwrap_or(u32::MAX)),
        }
    }

    fn add(&self, tally: &mut GcraState, now: i64) {
        let most = now + self.interval() * i64::from(self.limit.count);
        // Capped at a full quota ahead of now: a clock that was set back must not lock clients out.
        tally.arrival = (tally.arrival.max(now) + self.interval()).min(most);
    }

    /// Time that it takes to regain one event, in microseconds.
    fn interval(&self) -> i64 {
        let interval = self.limit.per.as_micros() / u128::from(self.limit.count);
        i64::try_from(interval).unwrap_or(i64::MAX).max(1)
    }

    fn now(&self) -> i64 {
        self.clock.now().timestamp_micros()
    }

    fn networks(&self) -> MutexGuard<'_, NetworkTallies> {
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NetworkTallies {
    fn tally(&mut self, network: IpNet, now: i64) -> &mut GcraState {
        if self.tallies.len() >= self.tidy_at {
            self.tallies.retain(|_, tally| tally.under_way > 0 || tally.arrival > now);
            self.tidy_at = SMALL.max(2 * self.tallies.len());
        }
        self.tallies.entry(network).or_default()
    }
}

/// An attempt in progress. It counts as failed unless [`Self::forget`] is called, so that hanging up early does not
/// avoid the limit.
#[derive(Debug)]
#[must_use = "dropped, it counts as failed"]
pub struct LimitedAttempt<'a> {
    limiter: &'a Limiter,
    network: IpNet,
    has_failed: bool,
}

impl LimitedAttempt<'_> {
    /// Ends the attempt without counting it.
    pub fn forget(mut self) {
        self.has_failed = false;
    }
}

impl Drop for LimitedAttempt<'_> {
    fn drop(&mut self) {
        let now = self.limiter.now();
        let mut networks = self.limiter.networks();
        let tally = networks.tally(self.network, now);
        tally.under_way = tally.under_way.saturating_sub(1);
        if self.has_failed {
            self.limiter.add(tally, now);
        }
        drop(networks);
        self.limiter.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use futures_util::FutureExt;

    use super::*;

    const HERE: &str = "192.0.2.1/32";
    const THERE: &str = "2001:db8::/64";

    fn limiter(count: u32) -> (Limiter, Clock) {
        let clock = Clock::manual(DateTime::from_timestamp(1_925_000_000, 0).expect("a time in 2031"));
        let limit = RateLimit { count, per: Duration::from_secs(60) };
        (Limiter::new("login", limit, clock.clone()), clock)
    }

    fn net(text: &str) -> IpNet {
        text.parse().expect("a network")
    }

    #[test]
    fn the_number_is_the_burst_and_comes_back_evenly() {
        let (limiter, clock) = limiter(3);
        for _ in 0..3 {
            assert_eq!(limiter.count(net(HERE)), Ok(()));
        }
        let limited = limiter.count(net(HERE)).expect_err("a fourth");
        assert_eq!(limited.retry_after, Duration::from_secs(20));
        clock.advance(Duration::from_secs(19));
        assert_eq!(limiter.count(net(HERE)).expect_err("early").retry_after, Duration::from_secs(1));
        clock.advance(Duration::from_secs(1));
        assert_eq!(limiter.count(net(HERE)), Ok(()));
        assert!(limiter.count(net(HERE)).is_err());
        assert_eq!(limiter.count(net(THERE)), Ok(()), "each network has its own");
    }

    #[tokio::test]
    async fn only_failures_count() {
        let (limiter, _clock) = limiter(2);
        for _ in 0..10 {
            limiter.begin(net(HERE)).await.expect("room").forget();
        }
        for _ in 0..2 {
            drop(limiter.begin(net(HERE)).await.expect("room"));
        }
        limiter.begin(net(HERE)).await.expect_err("too many");
    }

    #[tokio::test]
    async fn tries_at_once_wait_for_each_other_and_none_slips_through() {
        let (limiter, _clock) = limiter(2);
        let (first, second) = (limiter.begin(net(HERE)).await, limiter.begin(net(HERE)).await);
        let third = limiter.begin(net(HERE));
        tokio::pin!(third);
        assert!(third.as_mut().now_or_never().is_none(), "both may fail");
        first.expect("room").forget();
        let third = third.await.expect("the first did not fail");
        drop((second.expect("room"), third));
        limiter.begin(net(HERE)).await.expect_err("two have failed");
    }

    #[test]
    fn a_clock_that_is_set_back_shuts_nobody_out() {
        let (limiter, clock) = limiter(3);
        for _ in 0..3 {
            limiter.count(net(HERE)).expect("room");
        }
        clock.set(clock.now() - chrono::Duration::hours(1));
        let _ = limiter.count(net(HERE));
        clock.advance(Duration::from_secs(60));
        assert_eq!(limiter.count(net(HERE)), Ok(()));
    }

    #[test]
    fn networks_with_nothing_against_them_are_forgotten() {
        let (limiter, clock) = limiter(1);
        for number in 0..10 * SMALL as u32 {
            limiter.count(IpNet::from(std::net::IpAddr::from(number.to_be_bytes()))).expect("its first");
            clock.advance(Duration::from_secs(1));
        }
        assert!(limiter.networks().tallies.len() <= SMALL);
    }
}
