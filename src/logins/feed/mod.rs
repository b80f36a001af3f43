//! The revocation feed: brings ended and changed logins, from this and other nodes, into this node's memory.
//!
//! A notification from Postgres only says that there are new rows ([`notifications`]); a poll of the table reads them
//! ([`store`]). The node also polls by itself, so a lost notification costs time and nothing else.

mod notifications;
mod store;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, try_join_all};
use uuid::Uuid;

use crate::audit::{Actor, Kind, Trail};
use crate::clock::{Clock, uptime};
use crate::database::{DatabaseConnection, DatabaseError, PgSnapshotPosition, RequestAndBackgroundPools};
use crate::metrics::Metrics;

pub(super) use self::store::{FeedRow, OwnerClaims};
use super::session_cache_and_revocations::SessionCacheAndRevocations;

/// Polls per staleness bound without notifications, so many that one may fail and another be slow.
const POLLS_PER_BOUND: u32 = 4;

/// Maximum time between two polls, however large the staleness bound.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Minimum time between two polls: changes that are notified in between are read together.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

/// Immediate retries of a failed poll, if the one before succeeded: one for each connection used by a poll that may
/// have died unnoticed.
const RETRIES: usize = 2;

/// Maximum time to wait for Postgres' next response, however large the staleness bound.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);

/// A node that has not polled for this long reloads everything, since rows of the feed are deleted some time after
/// they have expired.
const TOO_LONG: Duration = Duration::from_secs(10 * 60);

/// How much longer than necessary revocations are remembered: two clock readings may be used in another order than
/// they were taken.
const MARGIN: chrono::Duration = chrono::Duration::seconds(5);

/// Maximum number of ends that one statement restores.
const BATCH: usize = 1_000;

/// A cache outside of this module, which is reloaded when the feed says so.
pub trait ReloadableCache: Send + Sync {
    /// Reloads it.
    ///
    /// # Errors
    /// When the database gives no answer.
    fn reload(&self) -> BoxFuture<'_, Result<(), DatabaseError>>;
}

/// Follows the table `revocations`.
pub struct Feed {
    pools: RequestAndBackgroundPools,
    memory: Arc<SessionCacheAndRevocations>,
    others: Vec<Arc<dyn ReloadableCache>>,
    metrics: Metrics,
    trail: Trail,
    clock: Clock,
    /// A dedicated connection, so that polls never wait for the pool. `None`: connect again.
    connection: Option<DatabaseConnection>,
    last: Option<LastPoll>,
    /// Logins that have ended according to this node but not according to the database.
    lost: Vec<(Uuid, DateTime<Utc>)>,
    /// Whether the last poll failed.
    is_behind: bool,
}

/// The last successful poll.
struct LastPoll {
    /// Everything up to this position has been read.
    position: PgSnapshotPosition,
    /// When it began.
    uptime: Duration,
    time: DateTime<Utc>,
}

/// The rows of one poll.
struct FeedBatch {
    position: PgSnapshotPosition,
    revocations: Vec<FeedRow>,
    /// Whether these are all rows rather than only the new ones.
    is_all: bool,
    /// Whether Postgres is in another history than at the last poll, such as after a failover.
    is_other_history: bool,
}

impl Feed {
    pub(super) fn new(
        pools: RequestAndBackgroundPools,
        memory: Arc<SessionCacheAndRevocations>,
        others: Vec<Arc<dyn ReloadableCache>>,
        metrics: Metrics,
        trail: Trail,
        clock: Clock,
    ) -> Self {
        let (connection, last, lost) = (None, None, Vec::new());
        Self { pools, memory, others, metrics, trail, clock, connection, last, lost, is_behind: false }
    }

    /// Reads the rows that were committed since the last poll. The first poll, and one after a change of Postgres'
    /// history, reads all that have not expired.
    ///
    /// # Errors
    /// When the database gives no answer, is a standby, or falls silent for as long as the staleness bound.
    pub async fn poll(&mut self) -> Result<(), DatabaseError> {
        let mut outcome = self.poll_once().await;
        // A failure need not mean that Postgres is down: the machine may have slept during the poll, or the
        // connection may have died before, which shows only on use.
        let retries = if self.is_behind { 0 } else { RETRIES };
        for _ in 0..retries {
            if outcome.is_err() {
                outcome = self.poll_once().await;
            }
        }
        self.is_behind = outcome.is_err();
        if self.is_behind {
            self.memory.freshness.record_failure();
            self.memory.followers.wake();
        }
        outcome
    }

    async fn poll_once(&mut self) -> Result<(), DatabaseError> {
        let mut connection = self.connect().await?;
        let outcome = self.poll_with(&mut connection).await;
        if outcome.is_ok() {
            self.connection = Some(connection);
        }
        outcome
    }

    /// The connection of the last successful poll, or a new one.
    async fn connect(&mut self) -> Result<DatabaseConnection, DatabaseError> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let silent = |_| sqlx::Error::PoolTimedOut;
        let connecting = self.pools.connect_for_feed();
        Ok(tokio::time::timeout(self.patience(), connecting).await.map_err(silent)??)
    }

    fn patience(&self) -> Duration {
        self.memory.freshness.bound().min(LONGEST_SILENCE)
    }

    async fn poll_with(&mut self, connection: &mut DatabaseConnection) -> Result<(), DatabaseError> {
        let (began, now) = (uptime(), self.clock.now());
        let FeedBatch { position, revocations, is_all, is_other_history } =
            self.read(connection, began, now).await?;
        if is_all {
            // The row for a changed session may be gone. Look-ups from here on read what this poll has read.
            self.memory.sessions.clear();
        }
        if is_all || revocations.iter().any(|revocation| revocation.reload) {
            let reloading = try_join_all(self.others.iter().map(|other| other.reload()));
            let late = |_| DatabaseError::Unavailable(sqlx::Error::PoolTimedOut);
            tokio::time::timeout(self.patience(), reloading).await.map_err(late)??;
        }
        if is_other_history {
            tracing::warn!(
                "Postgres restarted after a crash or failed over: reloaded the whole revocation feed"
            );
        }
        if is_all {
            let owners = store::owners(connection, &self.memory.changed_owners(), self.patience()).await?;
            self.memory.update_owners(owners);
            self.lost = self.memory.ended_missing_from(&revocations, now);
        }
        let forgotten = self.memory.apply(&revocations, position.clone(), is_all, now - MARGIN);
        // Not for the first rows: they were written before this node began to follow, so their lag means nothing.
        if !is_all {
            revocations.iter().for_each(|revocation| self.metrics.revocation(revocation.lag));
        }
        self.memory.freshness.record_success(began, forgotten);
        self.last = Some(LastPoll { position, uptime: began, time: now });
        Ok(())
    }

    async fn read(
        &self,
        connection: &mut DatabaseConnection,
        began: Duration,
        now: DateTime<Utc>,
    ) -> Result<FeedBatch, DatabaseError> {
        let patience = self.patience();
        let close = self.last.as_ref().filter(|last| last.is_close_to(began, now));
        if let Some(last) = close {
            let (position, revocations) = store::read_since(connection, &last.position, patience).await?;
            if position.history == last.position.history {
                return Ok(FeedBatch { position, revocations, is_all: false, is_other_history: false });
            }
        }
        store::begin_history(connection, patience).await?;
        let (position, revocations) = store::read_all(connection, now - MARGIN, patience).await?;
        let is_other = |last: &LastPoll| last.position.history != position.history;
        let is_other_history = self.last.as_ref().is_some_and(is_other);
        Ok(FeedBatch { position, revocations, is_all: true, is_other_history })
    }

    /// Restores ends of logins that Postgres lost in a failover, since they were acknowledged. Only one batch and for
    /// a short time, because polling waits meanwhile; the rest follows after the next poll. This node rejects these
    /// logins in any case.
    async fn restore_lost_ends(&mut self, patience: Duration) -> Result<(), DatabaseError> {
        let rest = self.lost.len().saturating_sub(BATCH);
        let Some(batch) = self.lost.get(rest..).filter(|batch| !batch.is_empty()) else { return Ok(()) };
        let ending = store::restore_ends(&self.pools.upkeep, batch, self.clock.now());
        let late = |_| DatabaseError::Unavailable(sqlx::Error::PoolTimedOut);
        let ended = tokio::time::timeout(patience, ending).await.map_err(late)??;
        self.lost.truncate(rest);
        for login in &ended {
            let entry = login.entry(Kind::LoginEnded, &Actor::NODE);
            self.trail.record(entry.with("reason", "end_lost_by_postgres"));
        }
        self.memory.news.notify_one();
        Ok(())
    }

    /// Follows the feed for as long as it is polled.
    pub async fn follow(mut self) {
        let memory = Arc::clone(&self.memory);
        let _following = memory.freshness.follow();
        let pause = (memory.freshness.bound() / POLLS_PER_BOUND).min(LONGEST_PAUSE);
        loop {
            tokio::time::sleep(SHORTEST_PAUSE).await;
            // Wait for a request to poll, or for the interval.
            let _ = tokio::time::timeout(pause, memory.freshness.wait_for_poll_request()).await;
            let was_behind = self.is_behind;
            match self.poll().await {
                Ok(()) if was_behind => tracing::info!("revocation feed recovered"),
                Err(error) if !was_behind => {
                    tracing::warn!(%error, "reading the revocation feed failed; will retry")
                }
                Ok(()) | Err(_) => {}
            }
            if self.is_behind {
                tokio::time::sleep(pause).await;
            } else if let Err(error) = self.restore_lost_ends(pause).await {
                tracing::warn!(%error, lost = self.lost.len(), "restoring ended logins that Postgres lost in a failover failed; will retry");
            }
        }
    }

    /// The task that requests polls when Postgres sends a notification, and that notifies other nodes.
    pub fn listen(&self) -> impl Future<Output = ()> + Send + 'static {
        notifications::exchange(self.pools.clone(), Arc::clone(&self.memory))
    }
}

impl LastPoll {
    /// Whether all changes since can be read as new rows. Not after a long pause by either clock, nor when the clock
    /// was set back, since rows may have been deleted.
    fn is_close_to(&self, uptime: Duration, now: DateTime<Utc>) -> bool {
        let passed = (now - self.time).to_std();
        uptime.saturating_sub(self.uptime) < TOO_LONG && passed.is_ok_and(|passed| passed < TOO_LONG)
    }
}
