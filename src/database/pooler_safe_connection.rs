//! An exclusive connection to Postgres; behind a pooler in transaction mode, its backend may change with each
//! transaction.
//!
//! There, session state such as named statements, settings and `LISTEN` would leak to another client. sqlx prepares
//! and runs a statement in two exchanges, so each statement gets its own transaction, which also sets the limits.

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

/// Limits that Postgres enforces itself: it cancels statements that take too long, and detects dead clients.
#[derive(Clone, Copy, Debug)]
pub(super) struct StatementLimits {
    /// `statement_timeout`.
    pub(super) statement: &'static str,
    /// `lock_timeout`.
    pub(super) lock: &'static str,
    /// Further settings, as name and value.
    pub(super) settings: &'static [(&'static str, &'static str)],
}

/// TCP keepalive between Postgres and its client. Only for session settings: transactions do not live long enough.
const KEEPALIVE: [(&str, &str); 3] =
    [("tcp_keepalives_idle", "10"), ("tcp_keepalives_interval", "5"), ("tcp_keepalives_count", "3")];

/// Reads the process id of the backend, whether it is read-only, and the encoding.
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

    /// SQL that applies the limits to the session of a dedicated backend.
    fn session_settings_sql(&self) -> String {
        let isolation = [("default_transaction_isolation", "read committed")];
        let settings = self.settings().chain(KEEPALIVE).chain(isolation);
        settings
            .map(|(name, value)| format!("set {name} = '{value}'; "))
            .chain([BACKEND.to_owned()])
            .collect()
    }

    /// SQL that begins a transaction with the limits.
    fn transaction_settings_sql(&self) -> String {
        let begin = ["begin isolation level read committed; ".to_owned()];
        let settings = self.settings().map(|(name, value)| format!("set local {name} = '{value}'; "));
        begin.into_iter().chain(settings).chain([BACKEND.to_owned()]).collect()
    }
}

/// How a pooler assigns backends to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Each connection has a dedicated backend: there is no pooler, or it uses session mode.
    Session,
    /// The backend may change with each transaction.
    Transaction,
}

/// A connection to the database. Its limits apply to every statement.
pub struct DatabaseConnection {
    connection: PgConnection,
    pooling: Pooling,
    begin: Arc<str>,
    backend: BackendInfo,
}

/// Facts about the server process (backend) that a connection reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct BackendInfo {
    pid: i32,
    /// Whether it rejects writes, such as a standby.
    pub(super) is_read_only: bool,
    pub(super) is_utf8: bool,
}

impl fmt::Debug for DatabaseConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseConnection").field("pooling", &self.pooling).finish_non_exhaustive()
    }
}

impl DatabaseConnection {
    /// Applies the limits to a new connection.
    pub(super) async fn prepared(
        mut connection: PgConnection,
        pooling: Pooling,
        limits: &StatementLimits,
    ) -> Result<Self, Error> {
        let (first, begin) = match pooling {
            Pooling::Session => (limits.session_settings_sql(), String::new()),
            Pooling::Transaction => (BACKEND.to_owned(), limits.transaction_settings_sql()),
        };
        let backend = run_and_read_backend(&mut connection, first.into()).await?;
        Ok(Self { connection, pooling, begin: begin.into(), backend })
    }

    /// The backend when the connection was opened, or of the last transaction.
    pub(super) fn backend(&self) -> BackendInfo {
        self.backend
    }

    /// The process id of that backend, for cancelling its statement.
    pub fn backend_pid(&self) -> i32 {
        self.backend.pid
    }

    /// Closes the connection with a Terminate message.
    ///
    /// # Errors
    /// When the connection is already dead.
    pub async fn close(self) -> Result<(), Error> {
        self.connection.close().await
    }

    /// Checks by a ping that the connection works.
    pub(super) async fn is_alive(&mut self) -> Result<(), Error> {
        self.connection.ping().await
    }

    /// Like [`Self::is_alive`], and rolls back a transaction that an interrupted statement has left open.
    pub(super) async fn roll_back_open(&mut self) -> Result<(), Error> {
        self.is_alive().await?;
        match self.pooling {
            Pooling::Session => Ok(()),
            Pooling::Transaction => self.simple("rollback").await,
        }
    }

    /// Runs an empty transaction, to find out which backend it gets.
    pub(super) async fn try_transaction(&mut self) -> Result<(), Error> {
        self.begin().await?;
        self.simple("rollback").await
    }

    /// Runs something that needs the same backend throughout, such as a migration.
    ///
    /// # Errors
    /// The error of `work`, or when the database can't be reached.
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
        // The next client of this backend may use the same statement names.
        transaction.clear_cached_statements().await?;
        match outcome.is_ok() {
            true => transaction.commit().await?,
            false => transaction.rollback().await?,
        }
        outcome
    }

    async fn begin(&mut self) -> Result<(), Error> {
        self.backend = run_and_read_backend(&mut self.connection, Arc::clone(&self.begin)).await?;
        Ok(())
    }

    async fn simple(&mut self, statement: &'static str) -> Result<(), Error> {
        sqlx::raw_sql(statement).execute(&mut self.connection).await.map(drop)
    }
}

/// Applies the limits to the session of a dedicated backend.
pub(super) async fn apply_limits(
    connection: &mut PgConnection,
    limits: &StatementLimits,
) -> Result<(), Error> {
    run_and_read_backend(connection, limits.session_settings_sql().into()).await.map(drop)
}

/// Runs several statements in one exchange. The last one must be [`BACKEND`].
async fn run_and_read_backend(
    connection: &mut PgConnection,
    statements: Arc<str>,
) -> Result<BackendInfo, Error> {
    let row = sqlx::raw_sql(AssertSqlSafe(statements)).fetch_one(connection).await?;
    Ok(BackendInfo {
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

/// An unnamed statement, which leaves no session state behind.
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
