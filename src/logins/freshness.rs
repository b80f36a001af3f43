//! How fresh a node's knowledge is: the time since its last complete look at the revocation feed began.
//!
//! It is measured by what passes here, and compared with no other machine's clock.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};

use crate::clock::uptime;

/// How long after a look for something unknown there is no other one.
const PAUSE: Duration = Duration::from_millis(100);

/// When the node looked at the feed, and what came of it.
#[derive(Debug)]
pub(super) struct FeedFreshness {
    bound: Duration,
    /// When the last complete look began, in microseconds of uptime; 0: never.
    looked: AtomicU64,
    /// When the last look that failed ended, likewise.
    failed: AtomicU64,
    /// Revocations that had run out at this time, in microseconds since 1970, are forgotten. A request that is
    /// dated before it can't be judged: somebody has set the clock back.
    forgotten: AtomicI64,
    /// When something unknown was last looked for, likewise.
    sought: AtomicU64,
    /// Whether anybody looks at all.
    is_followed: AtomicBool,
    /// Asks for a look at once.
    wanted: Notify,
    /// Changes after each look.
    looks: watch::Sender<()>,
}

/// Whoever looks.
pub(super) struct FollowGuard<'a>(&'a FeedFreshness);

impl Drop for FollowGuard<'_> {
    /// Nobody is to wait for a look that does not come.
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

    /// How long ago the feed may have been looked at.
    pub(super) fn bound(&self) -> Duration {
        self.bound
    }

    /// A look has succeeded that began at this uptime, and what had run out by `forgotten` was forgotten.
    pub(super) fn succeed(&self, began: Duration, forgotten: DateTime<Utc>) {
        self.forgotten.store(forgotten.timestamp_micros(), Ordering::SeqCst);
        self.looked.store(micros(began), Ordering::SeqCst);
        self.looks.send_replace(());
    }

    /// A look has failed.
    pub(super) fn fail(&self) {
        self.failed.store(micros(uptime()), Ordering::SeqCst);
        self.looks.send_replace(());
    }

    /// Somebody looks whenever it is wanted, until this is dropped.
    pub(super) fn follow(&self) -> FollowGuard<'_> {
        self.is_followed.store(true, Ordering::SeqCst);
        FollowGuard(self)
    }

    /// Waits until somebody wants a look.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Asks for a look.
    pub(super) fn request_poll(&self) {
        self.wanted.notify_one();
    }

    /// How long ago the last complete look began; `None`: there was none.
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

    /// Whether what is known may be believed. When it is too old only because nobody has looked, as after a sleep
    /// of the machine, it waits for a look; when looking has just failed, it does not.
    pub(super) async fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        if self.is_within_bound(now) {
            return true;
        }
        let looked = self.looked.load(Ordering::SeqCst);
        let lately = micros(uptime()).saturating_sub(micros(self.bound)).max(looked);
        // In a box of its own: what a request seldom waits for shall not make each request's future larger.
        Box::pin(self.look_until(lately, |this| this.is_within_bound(now))).await
    }

    /// Waits for a look that begins after this call. `false` when there is none.
    pub(super) async fn catch_up(&self) -> bool {
        let called = micros(uptime());
        self.look_until(called, |this| this.looked.load(Ordering::SeqCst) > called).await
    }

    /// The same, but not more often than every [`PAUSE`]: those who come meanwhile wait for one look together.
    pub(super) async fn look_for_unknown(&self) -> bool {
        let due = self.sought.load(Ordering::SeqCst).saturating_add(micros(PAUSE));
        tokio::time::sleep(Duration::from_micros(due.saturating_sub(micros(uptime())))).await;
        self.sought.fetch_max(micros(uptime()), Ordering::SeqCst);
        self.catch_up().await
    }

    /// Has somebody look until `is_done`. Gives up when a look fails, or failed since that uptime, and when none
    /// succeeds within the bound.
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
