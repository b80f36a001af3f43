//! Freshness of a node's knowledge: the time since its last successful poll of the revocation feed began.
//!
//! Measured by this machine's uptime alone, so that no clocks of different machines have to agree.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};

use crate::clock::uptime;

/// Minimum interval between two polls that are caused by unknown ids.
const PAUSE: Duration = Duration::from_millis(100);

/// When the feed was polled, and with which result.
#[derive(Debug)]
pub(super) struct FeedFreshness {
    bound: Duration,
    /// When the last successful poll began, in microseconds of uptime; 0: never.
    last_success: AtomicU64,
    /// When the last failed poll ended, in microseconds of uptime; 0: never.
    last_failure: AtomicU64,
    /// Revocations that had expired by this time (microseconds since 1970) are removed. A request with an earlier
    /// time can't be checked: the clock was set back.
    cleaned_up_by: AtomicI64,
    /// When the last poll for an unknown id was requested, in microseconds of uptime.
    last_unknown: AtomicU64,
    /// Whether a task is following the feed.
    is_followed: AtomicBool,
    /// Requests an immediate poll.
    poll_requested: Notify,
    /// Changes after each poll.
    polls: watch::Sender<()>,
}

/// Held by the task that follows the feed.
pub(super) struct FollowGuard<'a>(&'a FeedFreshness);

impl Drop for FollowGuard<'_> {
    /// Wakes the waiting requests: no poll will come.
    fn drop(&mut self) {
        self.0.is_followed.store(false, Ordering::SeqCst);
        self.0.polls.send_replace(());
    }
}

impl FeedFreshness {
    pub(super) fn new(bound: Duration) -> Self {
        Self {
            bound,
            last_success: AtomicU64::new(0),
            last_failure: AtomicU64::new(0),
            cleaned_up_by: AtomicI64::new(i64::MIN),
            last_unknown: AtomicU64::new(0),
            is_followed: AtomicBool::new(false),
            poll_requested: Notify::new(),
            polls: watch::Sender::new(()),
        }
    }

    /// The maximum age at which the knowledge counts as fresh (`STALENESS_BOUND`).
    pub(super) fn bound(&self) -> Duration {
        self.bound
    }

    /// Records a successful poll that began at this uptime; `cleaned_up_by` is the time of the last clean-up.
    pub(super) fn record_success(&self, began: Duration, cleaned_up_by: DateTime<Utc>) {
        self.cleaned_up_by.store(cleaned_up_by.timestamp_micros(), Ordering::SeqCst);
        self.last_success.store(micros(began), Ordering::SeqCst);
        self.polls.send_replace(());
    }

    /// Records a failed poll.
    pub(super) fn record_failure(&self) {
        self.last_failure.store(micros(uptime()), Ordering::SeqCst);
        self.polls.send_replace(());
    }

    /// Marks the feed as followed until the guard is dropped.
    pub(super) fn follow(&self) -> FollowGuard<'_> {
        self.is_followed.store(true, Ordering::SeqCst);
        FollowGuard(self)
    }

    /// Waits for a request to poll.
    pub(super) async fn wait_for_poll_request(&self) {
        self.poll_requested.notified().await;
    }

    /// Requests a poll.
    pub(super) fn request_poll(&self) {
        self.poll_requested.notify_one();
    }

    /// Time since the last successful poll began; `None` before the first.
    pub(super) fn age(&self) -> Option<Duration> {
        let last_success = self.last_success.load(Ordering::SeqCst);
        (last_success != 0).then(|| Duration::from_micros(micros(uptime()).saturating_sub(last_success)))
    }

    fn is_within_bound(&self, now: DateTime<Utc>) -> bool {
        let last_success = self.last_success.load(Ordering::SeqCst);
        last_success != 0
            && micros(uptime()).saturating_sub(last_success) <= micros(self.bound)
            && now.timestamp_micros() >= self.cleaned_up_by.load(Ordering::SeqCst)
    }

    /// Whether the knowledge is within the staleness bound. If it is too old only because the node did not run, such
    /// as after the machine slept, this waits for a poll; after a failed poll it does not.
    pub(super) async fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        if self.is_within_bound(now) {
            return true;
        }
        let last_success = self.last_success.load(Ordering::SeqCst);
        let lately = micros(uptime()).saturating_sub(micros(self.bound)).max(last_success);
        // Boxed, since it is rarely needed: it must not enlarge the future of every request.
        Box::pin(self.poll_until(lately, |this| this.is_within_bound(now))).await
    }

    /// Waits for a successful poll that begins after this call. `false` when there is none.
    pub(super) async fn catch_up(&self) -> bool {
        let called = micros(uptime());
        self.poll_until(called, |this| this.last_success.load(Ordering::SeqCst) > called).await
    }

    /// Like [`Self::catch_up`], but at most once per [`PAUSE`]: concurrent callers share one poll.
    pub(super) async fn poll_for_unknown(&self) -> bool {
        let due = self.last_unknown.load(Ordering::SeqCst).saturating_add(micros(PAUSE));
        tokio::time::sleep(Duration::from_micros(due.saturating_sub(micros(uptime())))).await;
        self.last_unknown.fetch_max(micros(uptime()), Ordering::SeqCst);
        self.catch_up().await
    }

    /// Requests polls until `is_done`. Gives up when a poll fails or has failed since the uptime `since`
    /// (microseconds), and when none succeeds within the bound.
    async fn poll_until(&self, since: u64, is_done: impl Fn(&Self) -> bool) -> bool {
        let mut polls = self.polls.subscribe();
        let waiting = async {
            loop {
                polls.borrow_and_update();
                if is_done(self) {
                    return true;
                }
                let has_failed = self.last_failure.load(Ordering::SeqCst) > since;
                if has_failed || !self.is_followed.load(Ordering::SeqCst) {
                    return false;
                }
                self.request_poll();
                if polls.changed().await.is_err() {
                    return false;
                }
            }
        };
        tokio::time::timeout(self.bound, waiting).await.unwrap_or(false)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
