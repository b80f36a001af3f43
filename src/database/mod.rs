//! Postgres: the pool, the migrations, and what an error of it means.

mod commits;
mod connection;
mod history;
mod io_runtime;
mod migrations;
mod pool;
mod pooling;
pub mod private;
pub mod rights;
mod schema;
mod url;
mod way;

use std::pin::pin;
use std::time::Duration;

use secrecy::SecretString;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::error::Problem;
use crate::tokens::AppSecret;

pub use self::commits::Commits;
use self::connection::Limits;
pub use self::connection::{DatabaseConnection, Pooling};
pub use self::history::Position;
use self::io_runtime::on_io_runtime;
pub use self::io_runtime::set_io_runtime;
pub use self::migrations::{MIGRATOR, migrate};
pub use self::pool::Connections;
pub use self::schema::{Schema, SchemaError};
pub use self::url::UrlError;
pub use self::way::{DirectUrl, Ways, check_url};

/// Connections a node holds at most for what it does by itself: writing batches, sweeping. Apart from those for requests,
/// since a node whose requests have taken every connection must not go stale for it.
const UPKEEP_CONNECTIONS: usize = 3;

/// And beside those for requests, with the one that reads the feed, the one that listens for notifications and the one on
/// which commits are tried.
pub const OWN_CONNECTIONS: u32 = UPKEEP_CONNECTIONS as u32 + 3;

/// What a request asks.
const REQUESTS: Limits = Limits { statement: "5s", lock: "2s", settings: &[] };

/// For the feed there may be much to read, and nobody waits for an answer; what fails is tried again.
const UPKEEP: Limits = Limits { statement: "60s", ..REQUESTS };

/// Plans that are made on tables without statistics would read all of them.
const LOOKS: Limits = Limits { settings: &[("enable_seqscan", "off"), ("jit", "off")], ..UPKEEP };

/// How often one that was refused asks the others for room, and how long it waits before it does so unasked: a pooler lets
/// wait instead of refusing.
const ROOM_ATTEMPTS: usize = 3;
const ROOM_PATIENCE: Duration = Duration::from_millis(300);

/// What a node's connections are called in `pg_stat_activity`. It tells other nodes by itself when there is something to
/// read; for whoever has another name, a trigger does.
pub const NODE: &str = "dualauth";

/// And those of a command.
pub const COMMAND: &str = "dualauth-command";

/// How long a request waits for a connection: sqlx waits 30 s by default, which outlives its client.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the first connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a statement may take, as seen from here: a little more than Postgres allows it, so that this limit
/// acts only when the connection is dead and nobody tells.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);

/// How long a connection may take to show that it is alive.
const PROOF_TIMEOUT: Duration = Duration::from_secs(2);

/// How long one for requests may lie idle and still be taken for alive: longer than it ever does while many ask.
const TRUSTED_IDLE: Duration = Duration::from_millis(500);

/// Why the database gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It is away, full, restarting, too slow or read-only: the same request may succeed later.
    #[error("the database is unavailable: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// It refused what it was asked: a fault of ours.
    #[error("the database refused: {0}")]
    Refused(#[source] sqlx::Error),
}

impl DatabaseError {
    /// Whether it can be read, and not written.
    pub fn is_read_only(&self) -> bool {
        let Self::Unavailable(sqlx::Error::Database(error)) = self else { return false };
        error.code().is_some_and(|code| code == READ_ONLY)
    }

    /// Whether the values were refused that the statement was given: with others it may do. By SQLSTATE: data exceptions,
    /// constraints that don't hold, limits, and what a trigger says.
    pub fn is_about_values(&self) -> bool {
        let Self::Refused(sqlx::Error::Database(error)) = self else { return false };
        let class = error.code().and_then(|code| code.get(..2).map(str::to_owned)).unwrap_or_default();
        matches!(&*class, "22" | "23" | "54" | "P0")
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        if is_unavailable(&error) { Self::Unavailable(error) } else { Self::Refused(error) }
    }
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Unavailable(_) => Self::unavailable(error),
            DatabaseError::Refused(_) => Self::internal(error),
        }
    }
}

/// Waits for a statement, but not for ever.
///
/// # Errors
/// What the database said, or that it said nothing.
pub async fn answer<T>(statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, DatabaseError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, on_io_runtime(statement)).await {
        Ok(answer) => answer.map_err(DatabaseError::from),
        Err(_) => Err(DatabaseError::Unavailable(sqlx::Error::PoolTimedOut)),
    }
}

fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_unavailable_state(&code)),
        _ => false,
    }
}

/// `read_only_sql_transaction`: a standby, or a server that takes no writes for now.
const READ_ONLY: &str = "25006";

/// By SQLSTATE (Postgres, appendix A).
fn is_unavailable_state(code: &str) -> bool {
    let class = code.get(..2).unwrap_or_default();
    // Connection exceptions, transactions rolled back (also a deadlock), insufficient resources, operator intervention
    // (also a statement timeout), system errors; then a lock timeout, and a server that takes no writes.
    let is_busy = matches!(class, "08" | "40" | "53" | "57" | "58") || matches!(code, "55P03" | READ_ONLY);
    // It lets nobody in: no such password, no such database, or one that takes no connections for now.
    is_busy || class == "28" || matches!(code, "3D000" | "55000")
}

/// The database, by the connections that a node has to it.
#[derive(Clone, Debug)]
pub struct Pools {
    /// What requests use.
    pub requests: Connections,
    /// What the node needs to stay up to date.
    pub upkeep: Connections,
    ways: Ways,
}

impl Pools {
    /// By these ways, with so many connections for requests. Connects when it is asked something.
    pub fn new(ways: Ways, connections: u32) -> Self {
        let (way, most) = (&ways.usual, connections as usize);
        let requests = Connections::new(way.clone(), REQUESTS, most, TRUSTED_IDLE, None);
        let others = Some(requests.clone());
        let upkeep = Connections::new(way.clone(), UPKEEP, UPKEEP_CONNECTIONS, Duration::MAX, others);
        Self { requests, upkeep, ways }
    }

    /// One for somebody alone, who looks at the feed by it.
    ///
    /// # Errors
    /// When there is none to have.
    pub async fn connect_for_looks(&self) -> Result<DatabaseConnection, sqlx::Error> {
        self.connect_alone(&LOOKS).await
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
    async fn connect_alone(&self, limits: &Limits) -> Result<DatabaseConnection, sqlx::Error> {
        let way = self.ways.most_direct();
        let mut connecting = pin!(way.connect(limits));
        for _ in 0..ROOM_ATTEMPTS {
            match timeout(ROOM_PATIENCE, &mut connecting).await {
                Ok(Err(error)) if way::is_full(&error) => {
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

/// Why a database can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It can't be reached, or refuses something.
    #[error("can't open the database: {0}")]
    Connect(#[from] sqlx::Error),
    /// Its schema can't be used, or be brought up to date.
    #[error("can't open the database: {0}")]
    Schema(#[from] SchemaError),
    /// Its address can't be read.
    #[error("can't open the database: {0}")]
    Url(#[from] UrlError),
    /// Not every name fits into it.
    #[error(
        "the database's encoding is not UTF-8, and not every name fits into it: create one with ENCODING 'UTF8'"
    )]
    Encoding,
    /// It is reached by a pooler that knows no transactions.
    #[error(
        "DATABASE_URL leads to a pooler in statement mode, which allows no transactions: have it pool by transaction or by \
         session (pgbouncer: pool_mode)"
    )]
    StatementPooling,
}

/// Connects to `url` under this name, with so many connections for requests, and brings the schema up to date.
///
/// # Errors
/// When it can't be reached, or its schema not be used.
pub async fn open(
    url: &SecretString,
    direct: &DirectUrl,
    connections: u32,
    name: &str,
) -> Result<Pools, OpenError> {
    let ways = timeout(CONNECT_TIMEOUT, Ways::find(url, direct, name)).await.map_err(late)??;
    if let Some(advice) = ways.advice() {
        tracing::warn!("{advice}");
    }
    migrate_as(name, ways.most_direct().servers.options()).await?;
    Ok(Pools::new(ways, connections))
}

fn late(_: tokio::time::error::Elapsed) -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::other("Postgres gives no answer"))
}

/// On a connection of its own, since a migration may take longer than any request. A command's, by its name: it is not to
/// be taken for a node that runs already.
async fn migrate_as(name: &str, options: &PgConnectOptions) -> Result<(), OpenError> {
    let options = options.clone().application_name(COMMAND);
    let connecting = PgConnection::connect_with(&options);
    let mut connection = timeout(CONNECT_TIMEOUT, connecting).await.map_err(late)??;
    migrate(&mut connection).await?;
    if name == NODE {
        // In a transaction: a pooler may give each statement another backend.
        let mut transaction = connection.begin_with("begin isolation level read committed").await?;
        let missing = rights::to_serve(&mut transaction).await?;
        transaction.rollback().await?;
        if !missing.is_empty() {
            return Err(SchemaError::MayNot(missing).into());
        }
    }
    Ok(connection.close().await?)
}

/// The secret of this database: the one that was made for it, or one made now; the flag tells which. `None` when its
/// signing keys are sealed under one that was set: another would open none of them.
///
/// # Errors
/// When the database gives no answer.
pub async fn make_app_secret(
    pool: &Connections,
    clock: &Clock,
) -> Result<Option<(AppSecret, bool)>, DatabaseError> {
    if let Some(secret) = made_app_secret(pool).await? {
        return Ok(Some((secret, false)));
    }
    // Two nodes may start at once: what is stored wins, and both read it.
    let new = AppSecret::generate();
    let made = sqlx::query!(
        "insert into dualauth.secrets (name, value, created_at) select 'app_secret', $1, $2
         where not exists (select from dualauth.signing_keys where private_key is not null) on conflict do nothing",
        new.reveal(),
        clock.now(),
    );
    let is_new = answer(made.execute(pool)).await?.rows_affected() == 1;
    Ok(made_app_secret(pool).await?.map(|secret| (secret, is_new)))
}

/// The secret that was made for this database, if one was.
///
/// # Errors
/// When the database gives no answer.
pub async fn made_app_secret(pool: &Connections) -> Result<Option<AppSecret>, DatabaseError> {
    let stored = sqlx::query_scalar!("select value from dualauth.secrets where name = 'app_secret'");
    let Some(stored) = answer(stored.fetch_optional(pool)).await? else { return Ok(None) };
    let too_short = || sqlx::Error::Decode("the stored secret is too short".into());
    Ok(Some(AppSecret::new(stored).ok_or_else(too_short)?))
}

/// Forgets it.
///
/// # Errors
/// When the database gives no answer.
pub async fn forget_app_secret(pool: &Connections) -> Result<(), DatabaseError> {
    let delete = sqlx::query!("delete from dualauth.secrets where name = 'app_secret'");
    answer(delete.execute(pool)).await.map(drop)
}
