//! The connection pools of a node: one for requests, one for background tasks.

use std::pin::pin;
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool};
use tokio::time::timeout;

use super::ACQUIRE_TIMEOUT;
use super::error::ANSWER_TIMEOUT;
use super::pool::ConnectionPool;
use super::pooler_safe_connection::{self, DatabaseConnection, StatementLimits};
use super::usual_and_direct_routes::{self, UsualAndDirectRoutes};

/// Maximum number of connections for background tasks such as writing batches and sweeping. Separate from those for
/// requests: a node must not become stale because requests use all connections.
const UPKEEP_CONNECTIONS: usize = 3;

/// Number of connections besides those for requests: the background tasks', and one each for the feed, for
/// notifications, and for the commit check.
pub const OWN_CONNECTIONS: u32 = UPKEEP_CONNECTIONS as u32 + 3;

/// Limits for requests.
const REQUESTS: StatementLimits = StatementLimits { statement: "5s", lock: "2s", settings: &[] };

/// Limits for background tasks. The feed may return many rows, no client waits for it, and failures are retried.
const UPKEEP: StatementLimits = StatementLimits { statement: "60s", ..REQUESTS };

/// Limits for the feed. Without statistics, the planner would choose sequential scans.
const FEED: StatementLimits =
    StatementLimits { settings: &[("enable_seqscan", "off"), ("jit", "off")], ..UPKEEP };

/// Number of attempts to get room from the pool for requests, and the time after which it is tried without a refusal:
/// a pooler makes clients wait instead of refusing them.
const ROOM_ATTEMPTS: usize = 3;
const ROOM_PATIENCE: Duration = Duration::from_millis(300);

/// How long a connection for requests may be idle and still be used without a ping: longer than any is idle under
/// load.
const TRUSTED_IDLE: Duration = Duration::from_millis(500);

/// The database, through a node's connection pools.
#[derive(Clone, Debug)]
pub struct RequestAndBackgroundPools {
    /// For requests.
    pub requests: ConnectionPool,
    /// For background tasks.
    pub upkeep: ConnectionPool,
    routes: UsualAndDirectRoutes,
}

impl RequestAndBackgroundPools {
    /// Pools for these routes, with this number of connections for requests. Connects on demand.
    pub fn new(routes: UsualAndDirectRoutes, connections: u32) -> Self {
        let (route, max_size) = (&routes.usual, connections as usize);
        let requests = ConnectionPool::new(route.clone(), REQUESTS, max_size, TRUSTED_IDLE, None);
        let others = Some(requests.clone());
        let upkeep = ConnectionPool::new(route.clone(), UPKEEP, UPKEEP_CONNECTIONS, Duration::MAX, others);
        Self { requests, upkeep, routes }
    }

    /// Opens an exclusive connection for the feed.
    ///
    /// # Errors
    /// When no connection is available.
    pub async fn connect_for_feed(&self) -> Result<DatabaseConnection, sqlx::Error> {
        self.connect_alone(&FEED).await
    }

    /// Opens an exclusive connection for the commit check.
    ///
    /// # Errors
    /// When no connection is available.
    pub async fn connect_for_commits(&self) -> Result<DatabaseConnection, sqlx::Error> {
        self.connect_alone(&UPKEEP).await
    }

    /// Runs something that needs the same backend throughout, on a connection for requests.
    ///
    /// # Errors
    /// The error of `work`, or when the database can't be reached.
    pub async fn on_one_backend<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let mut connection = self.routes.usual.connect(&UPKEEP).await?;
        let outcome = connection.on_one_backend(work).await;
        connection.close().await?;
        outcome
    }

    /// Opens an exclusive connection. When Postgres refuses it, or does not answer for a while, the pool for requests
    /// gives up one of its own.
    async fn connect_alone(&self, limits: &StatementLimits) -> Result<DatabaseConnection, sqlx::Error> {
        let route = self.routes.most_direct();
        let mut connecting = pin!(route.connect(limits));
        for _ in 0..ROOM_ATTEMPTS {
            match timeout(ROOM_PATIENCE, &mut connecting).await {
                Ok(Err(error)) if usual_and_direct_routes::is_full(&error) => {
                    self.requests.close_one_idle().await?;
                    connecting.set(route.connect(limits));
                }
                Ok(outcome) => return outcome,
                Err(_) => self.requests.close_one_idle().await?,
            }
        }
        connecting.await
    }

    /// A pool of one connection that receives notifications. `None` when no route supports them.
    pub fn listening(&self) -> Option<PgPool> {
        let options = self.routes.direct.as_ref()?.servers.options().clone();
        // Of its own, since a connection that fell silent is never returned to its pool.
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_TIMEOUT);
        let pool = pool.after_connect(|own, _| Box::pin(pooler_safe_connection::apply_limits(own, &UPKEEP)));
        Some(pool.connect_lazy_with(options))
    }

    /// Closes all connections. Dead ones are not waited for: they end with the process.
    pub async fn close(&self) {
        let closing = futures_util::future::join(self.requests.close(), self.upkeep.close());
        let _ = tokio::time::timeout(ANSWER_TIMEOUT, closing).await;
    }
}
