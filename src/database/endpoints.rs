//! How the database is reached: by which of its servers, and whose the backends are.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Error, PgConnection};
use tokio::time::timeout;

use super::connection::{DatabaseConnection, Pooling, StatementLimits};
use super::connection_string::{self, ServerList, UrlError};
use super::{ACQUIRE_TIMEOUT, OpenError, pooling};

/// One way to the database.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) servers: Arc<Servers>,
    pub(super) pooling: Pooling,
}

impl Endpoint {
    async fn find(url: &SecretString, name: &str) -> Result<Self, OpenError> {
        let servers = Servers::at(url, name)?;
        let pooling = pooling::find_out(&servers).await?;
        Ok(Self { servers: Arc::new(servers), pooling })
    }

    /// Connects, with these limits on whatever is asked.
    pub(super) async fn connect(&self, limits: &StatementLimits) -> Result<DatabaseConnection, Error> {
        self.servers.connect(self.pooling, limits).await
    }

    /// Whether connecting may go well in a moment, though it did not now.
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

/// Where a way leads that is there beside the usual one.
#[derive(Clone, Debug)]
pub enum DirectUrl {
    /// Where the usual one does.
    Usual,
    /// Here.
    Url(SecretString),
    /// There is none.
    None,
}

/// Whether an address can be read.
///
/// # Errors
/// Why not.
pub fn check_url(url: &str) -> Result<(), UrlError> {
    connection_string::parse(url).map(drop)
}

/// The ways to a database.
#[derive(Clone, Debug)]
pub struct Endpoints {
    pub(super) usual: Endpoint,
    /// One on which notifications arrive; none: there is none such.
    pub(super) direct: Option<Endpoint>,
    advice: Option<&'static str>,
}

/// When nothing was set, and a pooler is in the way.
const SET_DIRECT: &str = "DATABASE_URL leads to a pooler in transaction mode, by which no notification arrives: what other \
    nodes revoke is known here at the next look, within STALENESS_BOUND. Set DATABASE_DIRECT_URL to the address of Postgres \
    itself, or to none if there is no way past the pooler.";

/// When what was set is no better.
const NOT_DIRECT: &str = "DATABASE_DIRECT_URL leads to a pooler in transaction mode, by which no notification arrives: set it \
    to the address of Postgres itself, or to none if there is no way past the pooler.";

impl Endpoints {
    /// Finds out what there is at these addresses, for connections of this name.
    ///
    /// # Errors
    /// When one can't be read, nobody answers there, or transactions are refused.
    pub async fn find(url: &SecretString, direct: &DirectUrl, name: &str) -> Result<Self, OpenError> {
        let usual = Endpoint::find(url, name).await?;
        let direct = match direct {
            DirectUrl::None => return Ok(Self { usual, direct: None, advice: None }),
            DirectUrl::Usual => (usual.clone(), SET_DIRECT),
            DirectUrl::Url(url) => (Endpoint::find(url, name).await?, NOT_DIRECT),
        };
        Ok(match direct {
            (way, _) if way.pooling == Pooling::Session => Self { usual, direct: Some(way), advice: None },
            (_, advice) => Self { usual, direct: None, advice: Some(advice) },
        })
    }

    /// To a Postgres that is known to have no pooler in front of it: it is not asked, nor connected to.
    ///
    /// # Errors
    /// When the address can't be read.
    pub fn direct_to(url: &SecretString, name: &str) -> Result<Self, OpenError> {
        let servers = Servers::at(url, name)?;
        let usual = Endpoint { servers: Arc::new(servers), pooling: Pooling::Session };
        Ok(Self { direct: Some(usual.clone()), usual, advice: None })
    }

    /// By which migrations go, and what somebody has to themselves.
    pub(super) fn most_direct(&self) -> &Endpoint {
        self.direct.as_ref().unwrap_or(&self.usual)
    }

    /// Whether each connection for requests has a backend for itself.
    pub fn pooling(&self) -> Pooling {
        self.usual.pooling
    }

    /// How the usual server is connected to.
    pub fn options(&self) -> &PgConnectOptions {
        self.usual.servers.options()
    }

    /// What could be set so that there were a better one.
    pub fn advice(&self) -> Option<&'static str> {
        self.advice
    }
}

/// `too_many_connections`: of the server, of the database or of the role.
const FULL: &str = "53300";

/// `cannot_connect_now`: it starts, stops or recovers.
const STARTING: &str = "57P03";

/// Whether no further connection was granted. pgbouncer says it in its own words.
pub(super) fn is_full(error: &Error) -> bool {
    let refused =
        |error: &dyn sqlx::error::DatabaseError| error.message().contains("no more connections allowed");
    has_code(error, FULL) || error.as_database_error().is_some_and(refused)
}

fn has_code(error: &Error, code: &str) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|it| it == code)
}

/// Servers of one database, one of which takes writes.
pub(super) struct Servers {
    candidates: Vec<PgConnectOptions>,
    /// Whether one that takes no writes is passed by.
    wants_writable: bool,
    /// Which one was connected to last.
    current: AtomicUsize,
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Servers").field("count", &self.candidates.len()).finish_non_exhaustive()
    }
}

impl Servers {
    /// Those at this address, whose connections have this name.
    fn at(url: &SecretString, name: &str) -> Result<Self, UrlError> {
        let ServerList { servers, wants_writable } = connection_string::parse(url.expose_secret())?;
        // No pooler takes extra_float_digits as a parameter of the start, and numbers come in binary anyway.
        let named = |it: PgConnectOptions| it.application_name(name).extra_float_digits(None);
        let candidates = servers.into_iter().map(named).collect();
        Ok(Self { candidates, wants_writable, current: AtomicUsize::default() })
    }

    fn are_several(&self) -> bool {
        self.candidates.len() > 1
    }

    /// How the one is connected to that was connected to last.
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.candidates[self.current.load(Ordering::Relaxed)]
    }

    /// Connects to the first that will do, beginning with the one that did last.
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
            // Others are to have their turn.
            true => timeout(ACQUIRE_TIMEOUT / 2, connecting).await.map_err(|_| Error::PoolTimedOut)??,
            false => connecting.await?,
        };
        match connection.backend().is_read_only && self.wants_writable {
            true => Err(Error::Io(io::Error::other("the server takes no writes"))),
            false => Ok(connection),
        }
    }
}
