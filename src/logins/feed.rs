//! The revocation feed: tells this node's directory what ended or changed, here and on other nodes.
//!
//! A notification from Postgres only says that there is something to read. What there is, a look at the table says;
//! and since the node looks by itself as well, a notification that is lost costs time and nothing else.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, try_join_all};
use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{Acquire, Connection, PgPool};

use crate::clock::{Clock, uptime};
use crate::database::DatabaseError;
use crate::metrics::Metrics;

use super::directory::Directory;
use super::store;

/// How often within the staleness bound it looks without being called: one look may fail, another be slow.
const LOOKS_PER_BOUND: u32 = 4;

/// The longest time between two looks, however generous the bound.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What Postgres notifies on.
const CHANNEL: &str = "dualauth";

/// How long a connection that can't listen waits before it tries again.
const RECONNECT: Duration = Duration::from_secs(1);

/// How often a look that fails is tried again at once, while all was well before: as often as there can be other
/// connections that have died.
const RETRIES: usize = 2;

/// How long it waits for Postgres' next word, however generous the bound.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);

/// When nothing was heard for so long, it is asked whether anybody is there.
const QUIET: Duration = Duration::from_secs(10);

/// A snapshot (`pg_snapshot`) in which nothing has happened yet.
const NOTHING: &str = "1:1:";

/// A node that has not looked for this long begins anew: the table does not keep rows for ever.
const TOO_LONG: Duration = Duration::from_secs(10 * 60);

/// By how much longer than needed revocations are remembered: two readings of a clock may come in another order
/// than they are used.
const MARGIN: chrono::Duration = chrono::Duration::seconds(5);

/// What else a node remembers, and reads anew when the feed says that it has changed.
pub trait Reload: Send + Sync {
    /// Reads it.
    ///
    /// # Errors
    /// When the database gives no answer.
    fn reload(&self) -> BoxFuture<'_, Result<(), DatabaseError>>;
}

/// Follows the table `revocations`.
pub struct Feed {
    pool: PgPool,
    directory: Arc<Directory>,
    others: Vec<Arc<dyn Reload>>,
    metrics: Metrics,
    clock: Clock,
    last: Option<Look>,
    /// Whether the last attempt failed.
    is_behind: bool,
}

/// A look at the table that succeeded.
struct Look {
    /// What had been committed then.
    snapshot: String,
    /// When it began.
    uptime: Duration,
    time: DateTime<Utc>,
}

impl Feed {
    pub(super) fn new(
        pool: PgPool,
        directory: Arc<Directory>,
        others: Vec<Arc<dyn Reload>>,
        metrics: Metrics,
        clock: Clock,
    ) -> Self {
        Self { pool, directory, others, metrics, clock, last: None, is_behind: false }
    }

    /// Takes in what was committed since the last look; at first, all that still matters.
    ///
    /// # Errors
    /// When the database gives no answer, or falls silent for as long as the staleness bound.
    pub async fn poll(&mut self) -> Result<(), DatabaseError> {
        let mut outcome = self.look().await;
        // Not that Postgres is away, perhaps: the node was asleep in the middle of it, or its connections have died
        // meanwhile, and each tells when it is used.
        let retries = if self.is_behind { 0 } else { RETRIES };
        for _ in 0..retries {
            if outcome.is_err() {
                outcome = self.look().await;
            }
        }
        self.is_behind = outcome.is_err();
        if self.is_behind {
            self.directory.freshness.fail();
        }
        outcome
    }

    async fn look(&mut self) -> Result<(), DatabaseError> {
        let (began, now) = (uptime(), self.clock.now());
        let last = self.last.as_ref().filter(|last| last.is_close_to(began, now));
        let is_anew = last.is_none();
        let since = last.map_or(NOTHING, |last| &last.snapshot);
        let after = is_anew.then_some(now - MARGIN);
        let patience = self.directory.freshness.bound().min(LONGEST_SILENCE);
        let (snapshot, revocations) = store::revocations(&self.pool, since, after, patience).await?;
        if is_anew {
            // Rows that would say what has changed may be gone. Look-ups from here on see what the look saw.
            self.directory.sessions.clear();
        }
        if is_anew || revocations.iter().any(|revocation| revocation.reload) {
            let reloading = try_join_all(self.others.iter().map(|other| other.reload()));
            let late = |_| DatabaseError::Unavailable(sqlx::Error::PoolTimedOut);
            tokio::time::timeout(patience, reloading).await.map_err(late)??;
        }
        let forgotten = self.directory.apply(&revocations, now - MARGIN);
        // What was there before the node began to follow, it did not wait for.
        if !is_anew {
            revocations.iter().for_each(|revocation| self.metrics.revocation(revocation.lag));
        }
        self.directory.freshness.succeed(began, forgotten);
        self.last = Some(Look { snapshot, uptime: began, time: now });
        Ok(())
    }

    /// Follows the feed for as long as it is polled.
    pub async fn follow(mut self) {
        let directory = Arc::clone(&self.directory);
        directory.freshness.follow();
        let pause = (directory.freshness.bound() / LOOKS_PER_BOUND).min(LONGEST_PAUSE);
        loop {
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
            }
        }
    }

    /// What calls it when Postgres says that there is something new.
    pub fn listen(&self) -> impl Future<Output = ()> + Send + 'static {
        let (options, directory) = (self.pool.connect_options(), Arc::clone(&self.directory));
        async move {
            loop {
                // Of its own: a connection that fell silent is never given back.
                let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with((*options).clone());
                if let Err(error) = listen(&pool, &directory).await {
                    tracing::debug!(%error, "notifications don't arrive; the feed is read without them");
                }
                tokio::time::sleep(RECONNECT).await;
            }
        }
    }
}

async fn listen(pool: &PgPool, directory: &Directory) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // What was said while nobody listened has to be read, too.
        directory.freshness.want();
        while let Ok(received) = tokio::time::timeout(QUIET, listener.try_recv()).await {
            if received?.is_none() {
                return Ok(());
            }
            directory.freshness.want();
        }
        let ping = async { (&mut listener).acquire().await?.ping().await };
        tokio::time::timeout(RECONNECT, ping).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
    }
}

impl Look {
    /// Whether it is known what happened since: not after a long pause, by whichever clock, nor when the clock was set
    /// back and what had run out has not.
    fn is_close_to(&self, uptime: Duration, now: DateTime<Utc>) -> bool {
        let passed = (now - self.time).to_std();
        uptime.saturating_sub(self.uptime) < TOO_LONG && passed.is_ok_and(|passed| passed < TOO_LONG)
    }
}
