//! The revocation feed: tells this node's directory what ended or changed, here and on other nodes.
//!
//! A notification from Postgres only says that there is something to read ([`notifications`]). What there is, a look at
//! the table says ([`store`]); and since the node looks by itself as well, a notification that is lost costs time and
//! nothing else.

mod notifications;
mod store;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, try_join_all};
use uuid::Uuid;

use crate::audit::{Actor, Kind, Trail};
use crate::clock::{Clock, uptime};
use crate::database::{DatabaseConnection, DatabaseError, Pools, ReadPosition};
use crate::metrics::Metrics;

pub(super) use self::store::{FeedRow, OwnerClaims};
use super::directory::Directory;

/// How often within the staleness bound it looks without being called: one look may fail, another be slow.
const LOOKS_PER_BOUND: u32 = 4;

/// The longest time between two looks, however generous the bound.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The shortest, however often it is called: what happens meanwhile is read together.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

/// How often a look that fails is tried again at once, while all was well before: as often as there can be other
/// connections that have died.
const RETRIES: usize = 2;

/// How long it waits for Postgres' next word, however generous the bound.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);

/// A node that has not looked for this long begins anew: the table does not keep rows for ever.
const TOO_LONG: Duration = Duration::from_secs(10 * 60);

/// By how much longer than needed revocations are remembered: two readings of a clock may come in another order
/// than they are used.
const MARGIN: chrono::Duration = chrono::Duration::seconds(5);

/// How many logins are ended again by one statement.
const BATCH: usize = 1_000;

/// What else a node remembers, and reads anew when the feed says that it has changed.
pub trait ReloadOnRevocation: Send + Sync {
    /// Reads it.
    ///
    /// # Errors
    /// When the database gives no answer.
    fn reload(&self) -> BoxFuture<'_, Result<(), DatabaseError>>;
}

/// Follows the table `revocations`.
pub struct Feed {
    pools: Pools,
    directory: Arc<Directory>,
    others: Vec<Arc<dyn ReloadOnRevocation>>,
    metrics: Metrics,
    trail: Trail,
    clock: Clock,
    /// Its own, so that a look waits for nobody. None: it is to be made anew.
    connection: Option<DatabaseConnection>,
    last: Option<LastPoll>,
    /// Logins whose end is remembered here, and which the database does not know of.
    lost: Vec<(Uuid, DateTime<Utc>)>,
    /// Whether the last attempt failed.
    is_behind: bool,
}

/// A look at the table that succeeded.
struct LastPoll {
    /// What had been committed then.
    position: ReadPosition,
    /// When it began.
    uptime: Duration,
    time: DateTime<Utc>,
}

/// What a look has read.
struct FeedBatch {
    position: ReadPosition,
    revocations: Vec<FeedRow>,
    /// Whether that is all there is, and not what is new.
    is_all: bool,
    /// Whether it is of another history than the look before.
    is_other_history: bool,
}

impl Feed {
    pub(super) fn new(
        pools: Pools,
        directory: Arc<Directory>,
        others: Vec<Arc<dyn ReloadOnRevocation>>,
        metrics: Metrics,
        trail: Trail,
        clock: Clock,
    ) -> Self {
        let (connection, last, lost) = (None, None, Vec::new());
        Self { pools, directory, others, metrics, trail, clock, connection, last, lost, is_behind: false }
    }

    /// Takes in what was committed since the last look; at first, and when Postgres is in another history than it was
    /// then, all that still matters.
    ///
    /// # Errors
    /// When the database gives no answer, is a standby, or falls silent for as long as the staleness bound.
    pub async fn poll(&mut self) -> Result<(), DatabaseError> {
        let mut outcome = self.poll_once().await;
        // Not that Postgres is away, perhaps: the node was asleep in the middle of it, or its connection has died
        // meanwhile, and tells when it is used.
        let retries = if self.is_behind { 0 } else { RETRIES };
        for _ in 0..retries {
            if outcome.is_err() {
                outcome = self.poll_once().await;
            }
        }
        self.is_behind = outcome.is_err();
        if self.is_behind {
            self.directory.freshness.fail();
        }
        outcome
    }

    async fn poll_once(&mut self) -> Result<(), DatabaseError> {
        let mut connection = self.connect().await?;
        let outcome = self.look_by(&mut connection).await;
        if outcome.is_ok() {
            self.connection = Some(connection);
        }
        outcome
    }

    /// The connection of the last look, if that was well.
    async fn connect(&mut self) -> Result<DatabaseConnection, DatabaseError> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let silent = |_| sqlx::Error::PoolTimedOut;
        let connecting = self.pools.connect_for_feed();
        Ok(tokio::time::timeout(self.patience(), connecting).await.map_err(silent)??)
    }

    fn patience(&self) -> Duration {
        self.directory.freshness.bound().min(LONGEST_SILENCE)
    }

    async fn look_by(&mut self, connection: &mut DatabaseConnection) -> Result<(), DatabaseError> {
        let (began, now) = (uptime(), self.clock.now());
        let FeedBatch { position, revocations, is_all, is_other_history } =
            self.read(connection, began, now).await?;
        if is_all {
            // Rows that would say what has changed may be gone. Lookups from here on see what this poll read.
            self.directory.sessions.clear();
        }
        if is_all || revocations.iter().any(|revocation| revocation.reload) {
            let reloading = try_join_all(self.others.iter().map(|other| other.reload()));
            let late = |_| DatabaseError::Unavailable(sqlx::Error::PoolTimedOut);
            tokio::time::timeout(self.patience(), reloading).await.map_err(late)??;
        }
        if is_other_history {
            tracing::warn!("Postgres has crashed, was restarted, or is another: all is read anew");
        }
        if is_all {
            let owners = store::owners(connection, &self.directory.changed_owners(), self.patience()).await?;
            self.directory.take_owners(owners);
            self.lost = self.directory.ended_beside(&revocations, now);
        }
        let forgotten = self.directory.apply(&revocations, now - MARGIN);
        // What was there before the node began to follow, it did not wait for.
        if !is_all {
            revocations.iter().for_each(|revocation| self.metrics.revocation(revocation.lag));
        }
        self.directory.freshness.succeed(began, forgotten);
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
            let (position, revocations) = store::since(connection, &last.position, patience).await?;
            if position.history == last.position.history {
                return Ok(FeedBatch { position, revocations, is_all: false, is_other_history: false });
            }
        }
        store::begin_history(connection, patience).await?;
        let (position, revocations) = store::all(connection, now - MARGIN, patience).await?;
        let is_other = |last: &LastPoll| last.position.history != position.history;
        let is_other_history = self.last.as_ref().is_some_and(is_other);
        Ok(FeedBatch { position, revocations, is_all: true, is_other_history })
    }

    /// Has logins ended again whose end was lost with an older history: what was acknowledged holds. A few at a time, and
    /// not for long, since looks wait meanwhile; the rest after the next look. This node refuses them in any case.
    async fn end_lost(&mut self, patience: Duration) -> Result<(), DatabaseError> {
        let rest = self.lost.len().saturating_sub(BATCH);
        let Some(batch) = self.lost.get(rest..).filter(|batch| !batch.is_empty()) else { return Ok(()) };
        let ending = store::end_again(&self.pools.upkeep, batch, self.clock.now());
        let late = |_| DatabaseError::Unavailable(sqlx::Error::PoolTimedOut);
        let ended = tokio::time::timeout(patience, ending).await.map_err(late)??;
        self.lost.truncate(rest);
        for login in &ended {
            let entry = login.entry(Kind::LoginEnded, &Actor::NODE);
            self.trail.record(entry.with("reason", "end_lost_by_postgres"));
        }
        self.directory.news.notify_one();
        Ok(())
    }

    /// Follows the feed for as long as it is polled.
    pub async fn follow(mut self) {
        let directory = Arc::clone(&self.directory);
        let _following = directory.freshness.follow();
        let pause = (directory.freshness.bound() / LOOKS_PER_BOUND).min(LONGEST_PAUSE);
        loop {
            tokio::time::sleep(SHORTEST_PAUSE).await;
            // Either somebody calls, or it is time.
            let _ = tokio::time::timeout(pause, directory.freshness.wanted()).await;
            let was_behind = self.is_behind;
            match self.poll().await {
                Ok(()) if was_behind => tracing::info!("the revocation feed is followed again"),
                Err(error) if !was_behind => tracing::warn!(%error, "the revocation feed can't be read"),
                Ok(()) | Err(_) => {}
            }
            if self.is_behind {
                tokio::time::sleep(pause).await;
            } else if let Err(error) = self.end_lost(pause).await {
                tracing::warn!(%error, lost = self.lost.len(), "logins that had ended are not ended again yet");
            }
        }
    }

    /// What calls it when Postgres says that there is something new, and tells other nodes that there is.
    pub fn listen(&self) -> impl Future<Output = ()> + Send + 'static {
        notifications::exchange(self.pools.clone(), Arc::clone(&self.directory))
    }
}

impl LastPoll {
    /// Whether it is known what happened since: not after a long pause, by whichever clock, nor when the clock was set
    /// back and what had run out has not.
    fn is_close_to(&self, uptime: Duration, now: DateTime<Utc>) -> bool {
        let passed = (now - self.time).to_std();
        uptime.saturating_sub(self.uptime) < TOO_LONG && passed.is_ok_and(|passed| passed < TOO_LONG)
    }
}
