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
    looked: AtomicU64,
    /// When the last failed poll ended, in microseconds of uptime; 0: never.
    failed: AtomicU64,
    /// Revocations that had expired by this time (microseconds since 1970) are removed. A request with an earlier
    /// time can't be checked: the clock was set back.
    forgotten: AtomicI64,
    /// When the last poll for an unknown id was requested, in microseconds of uptime.
    sought: AtomicU64,
    /// Whether a task is following the feed.
    is_followed: AtomicBool,
    /// Requests an immediate poll.
    wanted: Notify,
    /// Changes after each poll.
    looks: watch::Sender<()>,
}

/// Held by the task that follows the feed.
pub(super) struct FollowGuard<'a>(&'a FeedFreshness);

impl Drop for FollowGuard<'_> {
    /// Wakes the waiting requests: no poll will come.
    fn drop(&mut self) {
        self.0.is_followed.store(false, Ordering::SeqCst);
        self.0.looks.send_replace(());
    }
}

impl FeedFreshness {
    pub(super) fn new(bound: Duration) -> Self {
        Self {
            bound,
            looked: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            forgotten: AtomicI64::new(i64::MIN),
            sought: AtomicU64::new(0),
            is_followed: AtomicBool::new(false),
            wanted: Notify::new(),
            looks: watch::Sender::new(()),
        }
    }

    /// The maximum age at which the knowledge counts as fresh (`STALENESS_BOUND`).
    pub(super) fn bound(&self) -> Duration {
        self.bound
    }

    /// Records a successful poll that began at this uptime; `forgotten` is the time of the last clean-up.
    pub(super) fn succeed(&self, began: Duration, forgotten: DateTime<Utc>) {
        self.forgotten.store(forgotten.timestamp_micros(), Ordering::SeqCst);
        self.looked.store(micros(began), Ordering::SeqCst);
        self.looks.send_replace(());
    }

    /// Records a failed poll.
    pub(super) fn fail(&self) {
        self.failed.store(micros(uptime()), Ordering::SeqCst);
        self.looks.send_replace(());
    }

    /// Marks the feed as followed until the guard is dropped.
    pub(super) fn follow(&self) -> FollowGuard<'_> {
        self.is_followed.store(true, Ordering::SeqCst);
        FollowGuard(self)
    }

    /// Waits for a request to poll.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Requests a poll.
    pub(super) fn request_poll(&self) {
        self.wanted.notify_one();
    }

    /// Time since the last successful poll began; `None` before the first.
    pub(super) fn age(&self) -> Option<Duration> {
        let looked = self.looked.load(Ordering::SeqCst);
        (looked != 0).then(|| Duration::from_micros(micros(uptime()).saturating_sub(looked)))
    }

    fn is_within_bound(&self, now: DateTime<Utc>) -> bool {
        let looked = self.looked.load(Ordering::SeqCst);
        looked != 0
            && micros(uptime()).saturating_sub(looked) <= micros(self.bound)
            && now.timestamp_micros() >= self.forgotten.load(Ordering::SeqCst)
    }

    /// Whether the knowledge is within the staleness bound. If it is too old only because the node did not run, such
    /// as after the machine slept, this waits for a poll; after a failed poll it does not.
    pub(super) async fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        if self.is_within_bound(now) {
            return true;
        }
        let looked = self.looked.load(Ordering::SeqCst);
        let lately = micros(uptime()).saturating_sub(micros(self.bound)).max(looked);
        // Boxed, since it is rarely needed: it must not enlarge the future of every request.
        Box::pin(self.look_until(lately, |this| this.is_within_bound(now))).await
    }

    /// Waits for a successful poll that begins after this call. `false` when there is none.
    pub(super) async fn catch_up(&self) -> bool {
        let called = micros(uptime());
        self.look_until(called, |this| this.looked.load(Ordering::SeqCst) > called).await
    }

    /// Like [`Self::catch_up`], but at most once per [`PAUSE`]: concurrent callers share one poll.
    pub(super) async fn look_for_unknown(&self) -> bool {
        let due = self.sought.load(Ordering::SeqCst).saturating_add(micros(PAUSE));
        tokio::time::sleep(Duration::from_micros(due.saturating_sub(micros(uptime())))).await;
        self.sought.fetch_max(micros(uptime()), Ordering::SeqCst);
        self.catch_up().await
    }

    /// Requests polls until `is_done`. Gives up when a poll fails or has failed since the uptime `since`
    /// (microseconds), and when none succeeds within the bound.
    async fn look_until(&self, since: u64, is_done: impl Fn(&Self) -> bool) -> bool {
        let mut looks = self.looks.subscribe();
        let waiting = async {
            loop {
                looks.borrow_and_update();
                if is_done(self) {
                    return true;
                }
                let has_failed = self.failed.load(Ordering::SeqCst) > since;
                if has_failed || !self.is_followed.load(Ordering::SeqCst) {
                    return false;
                }
                self.request_poll();
                if looks.changed().await.is_err() {
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
