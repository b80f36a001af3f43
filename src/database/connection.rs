//! A connection that somebody has alone, though perhaps no backend of Postgres': what runs on it, and how.
//!
//! Behind a pooler in transaction mode, each transaction may go to another backend. What a backend is told to keep (a
//! named statement, a setting, a `LISTEN`) is somebody else's the next moment. sqlx prepares a statement in one exchange and
//! runs it in another, so that each statement has a transaction round it there, which takes its limits along.

use std::fmt;
use std::sync::Arc;

use async_stream::try_stream;
use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sqlx::postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{
    AssertSqlSafe, Connection, Either, Error, Execute, Executor, PgConnection, Postgres, Row, SqlStr,
};

/// What Postgres is to allow whoever is connected: it ends by itself what takes too long, and notices peers that are gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct StatementLimits {
    /// How long a statement may take.
    pub(super) statement: &'static str,
    /// How long it may wait for a lock.
    pub(super) lock: &'static str,
    /// What else is set for its statements, each a name and a value.
    pub(super) settings: &'static [(&'static str, &'static str)],
}

/// Of the TCP connection between Postgres and its peer, which a transaction does not outlive anyway.
const KEEPALIVE: [(&str, &str); 3] =
    [("tcp_keepalives_idle", "10"), ("tcp_keepalives_interval", "5"), ("tcp_keepalives_count", "3")];

/// Which backend it is, whether it takes writes, and in which encoding.
const BACKEND: &str =
    "select pg_backend_pid(), current_setting('transaction_read_only'), current_setting('server_encoding')";

impl StatementLimits {
    fn settings(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let times = [
            ("statement_timeout", self.statement),
            ("lock_timeout", self.lock),
            ("idle_in_transaction_session_timeout", "5s"),
        ];
        times.into_iter().chain(self.settings.iter().copied())
    }

    /// What makes them those of a backend that is the connection's own.
    fn for_good(&self) -> String {
        let isolation = [("default_transaction_isolation", "read committed")];
        let settings = self.settings().chain(KEEPALIVE).chain(isolation);
        settings
            .map(|(name, value)| format!("set {name} = '{value}'; "))
            .chain([BACKEND.to_owned()])
            .collect()
    }

    /// What begins a transaction that has them.
    fn for_a_transaction(&self) -> String {
        let begin = ["begin isolation level read committed; ".to_owned()];
        let settings = self.settings().map(|(name, value)| format!("set local {name} = '{value}'; "));
        begin.into_iter().chain(settings).chain([BACKEND.to_owned()]).collect()
    }
}

/// Whose the backends behind a pooler's connections are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Each connection has one for itself: there is no pooler, or it pools by session.
    Session,
    /// They change with each transaction.
    Transaction,
}

/// A connection to the database. Every statement on it has the limits that it was opened with.
pub struct DatabaseConnection {
    connection: PgConnection,
    pooling: Pooling,
    begin: Arc<str>,
    backend: ServerInfo,
}

/// What is at the other end.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerInfo {
    pid: i32,
    /// Whether it takes no writes.
    pub(super) is_read_only: bool,
    pub(super) is_utf8: bool,
}

impl fmt::Debug for DatabaseConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseConnection").field("pooling", &self.pooling).finish_non_exhaustive()
    }
}

impl DatabaseConnection {
    /// Has these limits hold on a connection that was just opened.
    pub(super) async fn prepared(
        mut connection: PgConnection,
        pooling: Pooling,
        limits: &StatementLimits,
    ) -> Result<Self, Error> {
        let (first, begin) = match pooling {
            Pooling::Session => (limits.for_good(), String::new()),
            Pooling::Transaction => (BACKEND.to_owned(), limits.for_a_transaction()),
        };
        let backend = ask(&mut connection, first.into()).await?;
        Ok(Self { connection, pooling, begin: begin.into(), backend })
    }

    /// What was at the other end when it was opened, or when the last transaction began.
    pub(super) fn backend(&self) -> ServerInfo {
        self.backend
    }

    /// The number of its backend, or of that of the last transaction: by it a statement can be called off.
    pub fn backend_pid(&self) -> i32 {
        self.backend.pid
    }

    /// Ends it as Postgres likes it.
    ///
    /// # Errors
    /// When nobody listens any more.
    pub async fn close(self) -> Result<(), Error> {
        self.connection.close().await
    }

    /// Whether anybody is there.
    pub(super) async fn is_alive(&mut self) -> Result<(), Error> {
        self.connection.ping().await
    }

    /// The same. A transaction that a statement was in the middle of is rolled back.
    pub(super) async fn settle(&mut self) -> Result<(), Error> {
        self.is_alive().await?;
        match self.pooling {
            Pooling::Session => Ok(()),
            Pooling::Transaction => self.simple("rollback").await,
        }
    }

    /// Begins a transaction and ends it, to see which backend it gets.
    pub(super) async fn try_transaction(&mut self) -> Result<(), Error> {
        self.begin().await?;
        self.simple("rollback").await
    }

    /// Does something that needs one backend throughout, such as a migration.
    ///
    /// # Errors
    /// What it says itself, or that the database gives no answer.
    pub async fn on_one_backend<T, E: From<Error>>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.pooling == Pooling::Session {
            return work(&mut self.connection).await;
        }
        let begin = AssertSqlSafe(Arc::clone(&self.begin));
        let mut transaction = self.connection.begin_with(begin).await?;
        let outcome = work(&mut transaction).await;
        // The backend is somebody else's next, who may use the same names.
        transaction.clear_cached_statements().await?;
        match outcome.is_ok() {
            true => transaction.commit().await?,
            false => transaction.rollback().await?,
        }
        outcome
    }

    async fn begin(&mut self) -> Result<(), Error> {
        self.backend = ask(&mut self.connection, Arc::clone(&self.begin)).await?;
        Ok(())
    }

    async fn simple(&mut self, statement: &'static str) -> Result<(), Error> {
        sqlx::raw_sql(statement).execute(&mut self.connection).await.map(drop)
    }
}

/// Has these limits hold on a connection whose backend is its own.
pub(super) async fn limit(connection: &mut PgConnection, limits: &StatementLimits) -> Result<(), Error> {
    ask(connection, limits.for_good().into()).await.map(drop)
}

/// Several statements in one exchange, the last of which is [`BACKEND`].
async fn ask(connection: &mut PgConnection, statements: Arc<str>) -> Result<ServerInfo, Error> {
    let row = sqlx::raw_sql(AssertSqlSafe(statements)).fetch_one(connection).await?;
    Ok(ServerInfo {
        pid: row.try_get(0)?,
        is_read_only: row.try_get::<&str, _>(1)? == "on",
        is_utf8: row.try_get::<&str, _>(2)? == "UTF8",
    })
}

type Step = Result<Either<PgQueryResult, PgRow>, Error>;

impl<'c> Executor<'c> for &'c mut DatabaseConnection {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Step>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if self.pooling == Pooling::Session {
            return self.connection.fetch_many(query);
        }
        Box::pin(try_stream! {
            self.begin().await?;
            let mut steps = self.connection.fetch_many(Unnamed(query));
            while let Some(step) = steps.try_next().await? {
                yield step;
            }
            drop(steps);
            self.simple("commit").await?;
        })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if self.pooling == Pooling::Session {
            return self.connection.fetch_optional(query);
        }
        Box::pin(async move {
            self.begin().await?;
            let row = self.connection.fetch_optional(Unnamed(query)).await?;
            self.simple("commit").await?;
            Ok(row)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        self.connection.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        self.connection.describe(sql)
    }
}

/// A statement that gets no name, so that it leaves nothing behind.
struct Unnamed<E>(E);

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Unnamed<E> {
    fn sql(self) -> SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.0.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, sqlx::error::BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}
