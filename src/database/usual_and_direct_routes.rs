//! Routes to the database: its servers, and whether a pooler is in front of them.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Error, PgConnection};
use tokio::time::timeout;

use super::connection_string::{self, ServerList, UrlError};
use super::pooler_safe_connection::{DatabaseConnection, Pooling, StatementLimits};
use super::{ACQUIRE_TIMEOUT, OpenError, pooling};

/// One route to the database: its servers, and how backends are pooled there.
#[derive(Clone, Debug)]
pub(super) struct DatabaseRoute {
    pub(super) servers: Arc<Servers>,
    pub(super) pooling: Pooling,
}

impl DatabaseRoute {
    async fn find(url: &SecretString, name: &str) -> Result<Self, OpenError> {
        let servers = Servers::at(url, name)?;
        let pooling = pooling::detect(&servers).await?;
        Ok(Self { servers: Arc::new(servers), pooling })
    }

    /// Connects, with these limits for every statement.
    pub(super) async fn connect(&self, limits: &StatementLimits) -> Result<DatabaseConnection, Error> {
        self.servers.connect(self.pooling, limits).await
    }

    /// Whether a retry may succeed soon after this error.
    pub(super) fn may_come_back(&self, error: &Error) -> bool {
        match error {
            Error::Io(error) => {
                self.servers.are_several() || error.kind() == io::ErrorKind::ConnectionRefused
            }
            Error::PoolTimedOut => self.servers.are_several(),
            _ => is_full(error) || has_code(error, STARTING),
        }
    }
}

/// The setting `DATABASE_DIRECT_URL`: a connection that bypasses the pooler.
#[derive(Clone, Debug)]
pub enum DirectUrl {
    /// The same as `DATABASE_URL`.
    Usual,
    /// This URL.
    Url(SecretString),
    /// There is no direct connection.
    None,
}

/// Checks that a connection string can be parsed.
///
/// # Errors
/// Why not.
pub fn check_url(url: &str) -> Result<(), UrlError> {
    connection_string::parse(url).map(drop)
}

/// The routes to a database.
#[derive(Clone, Debug)]
pub struct UsualAndDirectRoutes {
    pub(super) usual: DatabaseRoute,
    /// A route on which notifications work (LISTEN), if there is one.
    pub(super) direct: Option<DatabaseRoute>,
    advice: Option<&'static str>,
}

/// Advice when `DATABASE_DIRECT_URL` is not set and `DATABASE_URL` leads to a pooler.
const SET_DIRECT: &str = "DATABASE_URL leads to a pooler in transaction mode, which does not support notifications: revocations by \
    other nodes are noticed at the next poll, within STALENESS_BOUND. Set DATABASE_DIRECT_URL to the address of Postgres \
    itself, or to none if there is no way past the pooler.";

/// Advice when `DATABASE_DIRECT_URL` leads to a pooler, too.
const NOT_DIRECT: &str = "DATABASE_DIRECT_URL leads to a pooler in transaction mode, which does not support notifications: set it \
    to the address of Postgres itself, or to none if there is no way past the pooler.";

impl UsualAndDirectRoutes {
    /// Connects to these URLs, and detects poolers. The connections get this application name.
    ///
    /// # Errors
    /// When a URL is invalid, no server answers there, or transactions are not supported.
    pub async fn find(url: &SecretString, direct: &DirectUrl, name: &str) -> Result<Self, OpenError> {
        let usual = DatabaseRoute::find(url, name).await?;
        let direct = match direct {
            DirectUrl::None => return Ok(Self { usual, direct: None, advice: None }),
            DirectUrl::Usual => (usual.clone(), SET_DIRECT),
            DirectUrl::Url(url) => (DatabaseRoute::find(url, name).await?, NOT_DIRECT),
        };
        Ok(match direct {
            (route, _) if route.pooling == Pooling::Session => {
                Self { usual, direct: Some(route), advice: None }
            }
            (_, advice) => Self { usual, direct: None, advice: Some(advice) },
        })
    }

    /// A Postgres that is known to have no pooler in front of it. Does not connect.
    ///
    /// # Errors
    /// When the URL is invalid.
    pub fn direct_to(url: &SecretString, name: &str) -> Result<Self, OpenError> {
        let servers = Servers::at(url, name)?;
        let usual = DatabaseRoute { servers: Arc::new(servers), pooling: Pooling::Session };
        Ok(Self { direct: Some(usual.clone()), usual, advice: None })
    }

    /// Used for migrations and exclusive connections.
    pub(super) fn most_direct(&self) -> &DatabaseRoute {
        self.direct.as_ref().unwrap_or(&self.usual)
    }

    /// How backends are pooled for requests.
    pub fn pooling(&self) -> Pooling {
        self.usual.pooling
    }

    /// The options of the server that `DATABASE_URL` leads to.
    pub fn options(&self) -> &PgConnectOptions {
        self.usual.servers.options()
    }

    /// Advice on a setting that would allow notifications, if they don't work.
    pub fn advice(&self) -> Option<&'static str> {
        self.advice
    }
}

/// `too_many_connections`: the limit of the server, the database or the role.
const FULL: &str = "53300";

/// `cannot_connect_now`: the server is starting, stopping or recovering.
const STARTING: &str = "57P03";

/// Whether a connection limit was reached. pgbouncer has a message of its own for it.
pub(super) fn is_full(error: &Error) -> bool {
    let refused =
        |error: &dyn sqlx::error::DatabaseError| error.message().contains("no more connections allowed");
    has_code(error, FULL) || error.as_database_error().is_some_and(refused)
}

fn has_code(error: &Error, code: &str) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|it| it == code)
}

/// The servers of one database, one of which accepts writes.
pub(super) struct Servers {
    candidates: Vec<PgConnectOptions>,
    /// Whether servers that reject writes are skipped.
    wants_writable: bool,
    /// Index of the server that was connected to last.
    current: AtomicUsize,
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Servers").field("count", &self.candidates.len()).finish_non_exhaustive()
    }
}

impl Servers {
    /// The servers in this connection string. The connections get this application name.
    fn at(url: &SecretString, name: &str) -> Result<Self, UrlError> {
        let ServerList { servers, wants_writable } = connection_string::parse(url.expose_secret())?;
        // Poolers reject extra_float_digits as a startup parameter, and it is not needed: numbers are transferred in
        // binary.
        let named = |it: PgConnectOptions| it.application_name(name).extra_float_digits(None);
        let candidates = servers.into_iter().map(named).collect();
        Ok(Self { candidates, wants_writable, current: AtomicUsize::default() })
    }

    fn are_several(&self) -> bool {
        self.candidates.len() > 1
    }

    /// The options of the server that was connected to last.
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.candidates[self.current.load(Ordering::Relaxed)]
    }

    /// Connects to the first suitable server, beginning with the last used one.
    pub(super) async fn connect(
        &self,
        pooling: Pooling,
        limits: &StatementLimits,
    ) -> Result<DatabaseConnection, Error> {
        let (count, first) = (self.candidates.len(), self.current.load(Ordering::Relaxed));
        let mut trouble = Error::PoolTimedOut;
        for server in (first..first + count).map(|place| place % count) {
            match self.connect_to(server, pooling, limits).await {
                Ok(connection) => {
                    self.current.store(server, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(error) => trouble = error,
            }
        }
        Err(trouble)
    }

    async fn connect_to(
        &self,
        server: usize,
        pooling: Pooling,
        limits: &StatementLimits,
    ) -> Result<DatabaseConnection, Error> {
        let connecting = async {
            let connection = PgConnection::connect_with(&self.candidates[server]).await?;
            DatabaseConnection::prepared(connection, pooling, limits).await
        };
        let connection = match self.are_several() {
            // A shorter limit, which leaves time for the other servers.
            true => timeout(ACQUIRE_TIMEOUT / 2, connecting).await.map_err(|_| Error::PoolTimedOut)??,
            false => connecting.await?,
        };
        match connection.backend().is_read_only && self.wants_writable {
            true => Err(Error::Io(io::Error::other("the server takes no writes"))),
            false => Ok(connection),
        }
    }
}
