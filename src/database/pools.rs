//! The connections that a node has to its database: those for requests, and those for what it does by itself.

use std::pin::pin;
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool};
use tokio::time::timeout;

use super::ACQUIRE_TIMEOUT;
use super::connection::{self, DatabaseConnection, StatementLimits};
use super::endpoints::{self, Endpoints};
use super::error::ANSWER_TIMEOUT;
use super::pool::ConnectionPool;

/// Connections a node holds at most for what it does by itself: writing batches, sweeping. Apart from those for requests,
/// since a node whose requests have taken every connection must not go stale for it.
const UPKEEP_CONNECTIONS: usize = 3;

/// And beside those for requests, with the one that reads the feed, the one that listens for notifications and the one on
/// which commits are tried.
pub const OWN_CONNECTIONS: u32 = UPKEEP_CONNECTIONS as u32 + 3;

/// What a request asks.
const REQUESTS: StatementLimits = StatementLimits { statement: "5s", lock: "2s", settings: &[] };

/// For the feed there may be much to read, and nobody waits for an answer; what fails is tried again.
const UPKEEP: StatementLimits = StatementLimits { statement: "60s", ..REQUESTS };

/// Plans that are made on tables without statistics would read all of them.
const FEED: StatementLimits =
    StatementLimits { settings: &[("enable_seqscan", "off"), ("jit", "off")], ..UPKEEP };

/// How often one that was refused asks the others for room, and how long it waits before it does so unasked: a pooler lets
/// wait instead of refusing.
const ROOM_ATTEMPTS: usize = 3;
const ROOM_PATIENCE: Duration = Duration::from_millis(300);

/// How long one for requests may lie idle and still be taken for alive: longer than it ever does while many ask.
const TRUSTED_IDLE: Duration = Duration::from_millis(500);

/// The database, by the connections that a node has to it.
#[derive(Clone, Debug)]
pub struct Pools {
    /// What requests use.
    pub requests: ConnectionPool,
    /// What the node needs to stay up to date.
    pub upkeep: ConnectionPool,
    ways: Endpoints,
}

impl Pools {
    /// By these ways, with so many connections for requests. Connects when it is asked something.
    pub fn new(ways: Endpoints, connections: u32) -> Self {
        let (way, most) = (&ways.usual, connections as usize);
        let requests = ConnectionPool::new(way.clone(), REQUESTS, most, TRUSTED_IDLE, None);
        let others = Some(requests.clone());
        let upkeep = ConnectionPool::new(way.clone(), UPKEEP, UPKEEP_CONNECTIONS, Duration::MAX, others);
        Self { requests, upkeep, ways }
    }

    /// One for somebody alone, who looks at the feed by it.
    ///
    /// # Errors
    /// When there is none to have.
    pub async fn connect_for_feed(&self) -> Result<DatabaseConnection, sqlx::Error> {
        self.connect_alone(&FEED).await
    }

    /// One for somebody alone, who tries a commit.
    ///
    /// # Errors
    /// When there is none to have.
    pub async fn connect_for_commits(&self) -> Result<DatabaseConnection, sqlx::Error> {
        self.connect_alone(&UPKEEP).await
    }

    /// Does something that needs one backend throughout, by the way that requests take.
    ///
    /// # Errors
    /// What it says itself, or that the database gives no answer.
    pub async fn on_one_backend<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let mut connection = self.ways.usual.connect(&UPKEEP).await?;
        let outcome = connection.on_one_backend(work).await;
        connection.close().await?;
        outcome
    }

    /// Nobody goes without who has one only: when no further one is granted, or none is for a while, one of those for
    /// requests makes room.
    async fn connect_alone(&self, limits: &StatementLimits) -> Result<DatabaseConnection, sqlx::Error> {
        let way = self.ways.most_direct();
        let mut connecting = pin!(way.connect(limits));
        for _ in 0..ROOM_ATTEMPTS {
            match timeout(ROOM_PATIENCE, &mut connecting).await {
                Ok(Err(error)) if endpoints::is_full(&error) => {
                    self.requests.give_up_one().await?;
                    connecting.set(way.connect(limits));
                }
                Ok(outcome) => return outcome,
                Err(_) => self.requests.give_up_one().await?,
            }
        }
        connecting.await
    }

    /// A connection on which notifications arrive, to be made; none: there is no such way.
    pub fn listening(&self) -> Option<PgPool> {
        let options = self.ways.direct.as_ref()?.servers.options().clone();
        // Of its own: a connection that fell silent is never given back.
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_TIMEOUT);
        let pool = pool.after_connect(|own, _| Box::pin(connection::limit(own, &UPKEEP)));
        Some(pool.connect_lazy_with(options))
    }

    /// Closes every connection. One on which nobody answers is not waited for: it ends with the process.
    pub async fn close(&self) {
        let closing = futures_util::future::join(self.requests.close(), self.upkeep.close());
        let _ = tokio::time::timeout(ANSWER_TIMEOUT, closing).await;
    }
}
