//! Postgres: the pool, the migrations, and what an error of it means.

mod commits;
mod history;
mod io_runtime;
mod migrations;
pub mod private;
pub mod rights;
mod schema;

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};

use crate::clock::Clock;
use crate::tokens::AppSecret;

pub use self::commits::Commits;
pub use self::history::Position;
use self::io_runtime::on_io_runtime;
pub use self::io_runtime::set_io_runtime;
pub use self::migrations::{MIGRATOR, migrate};
pub use self::schema::{Schema, SchemaError};

/// Connections a node holds at most for requests.
const MAX_CONNECTIONS: u32 = 10;

/// And for what it does by itself: writing batches, sweeping. Apart from the others, since a node whose requests have
/// taken every connection must not go stale for it.
const UPKEEP_CONNECTIONS: u32 = 3;

/// And in all, with the one that reads the feed, the one that listens for notifications and the one on which commits are
/// tried.
pub const CONNECTIONS: u32 = MAX_CONNECTIONS + UPKEEP_CONNECTIONS + 3;

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

/// The database, by the two sets of connections that a node has to it.
#[derive(Clone, Debug)]
pub struct Pools {
    /// What requests use.
    pub requests: PgPool,
    /// What the node needs to stay up to date.
    pub upkeep: PgPool,
}

impl Pools {
    /// To this database. Connects when it is asked something.
    pub fn new(options: PgConnectOptions) -> Self {
        let pool = |connections, time, trusted| pool(options.clone(), connections, time, trusted);
        Self {
            requests: pool(MAX_CONNECTIONS, "5s", TRUSTED_IDLE),
            // For the feed there may be much to read, and nobody waits for an answer; what fails is tried again.
            upkeep: pool(UPKEEP_CONNECTIONS, "60s", Duration::MAX),
        }
    }

    /// Closes every connection. One on which nobody answers is not waited for: it ends with the process.
    pub async fn close(&self) {
        let closing = futures_util::future::join(self.requests.close(), self.upkeep.close());
        let _ = tokio::time::timeout(ANSWER_TIMEOUT, closing).await;
    }
}

/// Connects to `url` under this name and brings its schema up to date.
///
/// # Errors
/// When it can't be reached, or its schema not be used.
pub async fn open(url: &SecretString, name: &str) -> Result<Pools, SchemaError> {
    let options = options(url, name)?;
    migrate_as(name, &options).await?;
    Ok(Pools::new(options))
}

/// How to connect to `url` under this name.
///
/// # Errors
/// When it can't be read.
pub fn options(url: &SecretString, name: &str) -> Result<PgConnectOptions, sqlx::Error> {
    Ok(url.expose_secret().parse::<PgConnectOptions>()?.application_name(name))
}

/// On a connection of its own, since a migration may take longer than any request. A command's, by its name: it is not to
/// be taken for a node that runs already.
async fn migrate_as(name: &str, options: &PgConnectOptions) -> Result<(), SchemaError> {
    let late = |_| sqlx::Error::Io(std::io::Error::other("Postgres gives no answer"));
    let options = options.clone().application_name(COMMAND);
    let connecting = PgConnection::connect_with(&options);
    let mut connection = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(late)??;
    migrate(&mut connection).await?;
    if name == NODE {
        let missing = rights::to_serve(&mut connection).await?;
        if !missing.is_empty() {
            return Err(SchemaError::MayNot(missing));
        }
    }
    Ok(connection.close().await?)
}

fn pool(
    options: PgConnectOptions,
    connections: u32,
    statement_timeout: &str,
    trusted_idle: Duration,
) -> PgPool {
    // Postgres itself ends what takes too long, and notices peers that are gone: no statement, lock or idle
    // transaction outlives the request it belongs to by more than a moment.
    let options = options.options([
        ("statement_timeout", statement_timeout),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "5s"),
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "3"),
    ]);
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // To ask before every statement would cost each of them a round trip.
        .test_before_acquire(false)
        .before_acquire(move |connection, metadata| {
            Box::pin(async move {
                match metadata.idle_for > trusted_idle {
                    // Postgres may have been restarted since: that is to cost nobody a 503.
                    true => is_alive(connection).await,
                    false => Ok(true),
                }
            })
        })
        .after_release(|connection, _| Box::pin(is_alive(connection)))
        .connect_lazy_with(options)
}

/// sqlx itself asks every connection that is given back, too, but waits for ever: one on which nobody answers any more
/// would keep its place in the pool, and when all of them do, nothing is asked again.
async fn is_alive(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let answer = tokio::time::timeout(PROOF_TIMEOUT, connection.ping()).await;
    answer.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|()| true)
}

/// The secret of this database: the one that was made for it, or one made now; the flag tells which. `None` when its
/// signing keys are sealed under one that was set: another would open none of them.
///
/// # Errors
/// When the database gives no answer.
pub async fn make_app_secret(
    pool: &PgPool,
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
pub async fn made_app_secret(pool: &PgPool) -> Result<Option<AppSecret>, DatabaseError> {
    let stored = sqlx::query_scalar!("select value from dualauth.secrets where name = 'app_secret'");
    let Some(stored) = answer(stored.fetch_optional(pool)).await? else { return Ok(None) };
    let too_short = || sqlx::Error::Decode("the stored secret is too short".into());
    Ok(Some(AppSecret::new(stored).ok_or_else(too_short)?))
}

/// Forgets it.
///
/// # Errors
/// When the database gives no answer.
pub async fn forget_app_secret(pool: &PgPool) -> Result<(), DatabaseError> {
    let delete = sqlx::query!("delete from dualauth.secrets where name = 'app_secret'");
    answer(delete.execute(pool)).await.map(drop)
}
