//! Whether Postgres makes commits: one that waits for a synchronous standby answers every question, and keeps whoever
//! changes something waiting for ever.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::{ACQUIRE_TIMEOUT, DatabaseError, answer, is_alive};

/// How long what was found out holds: a commit is no more than a few bytes of WAL, but anybody may ask.
const HOLDS_FOR: Duration = Duration::from_secs(5);

/// How long one may take. It is waited for so long since nothing else is tried meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tries a commit when somebody asks. One at a time: a commit that waits for a standby heeds no timeout of Postgres' and no
/// end of its connection, and what waits would pile up.
#[derive(Clone, Debug)]
pub struct Commits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: PgPool,
    wanted: Notify,
    latest: watch::Sender<Option<Attempt>>,
}

/// One that is over.
#[derive(Debug)]
struct Attempt {
    ended: Instant,
    outcome: Result<(), Arc<DatabaseError>>,
}

/// A connection of its own.
struct Own {
    connection: PgConnection,
    /// The number of its backend, by which it can be called off.
    backend: i32,
}

impl Commits {
    /// Of this database. [`Commits::keep`] tries them.
    pub fn new(pool: PgPool) -> Self {
        Self(Arc::new(Inner { pool, wanted: Notify::new(), latest: watch::Sender::new(None) }))
    }

    /// Whether one was made lately. Waits for the attempt that is to tell, and that may be long.
    ///
    /// # Errors
    /// Why none was.
    pub async fn check(&self) -> Result<(), Arc<DatabaseError>> {
        let mut latest = self.0.latest.subscribe();
        if self.is_due() {
            self.0.wanted.notify_one();
            // It can't be closed: this here is the sender.
            let _ = latest.changed().await;
        }
        let latest = latest.borrow();
        latest.as_ref().map_or(Ok(()), |attempt| attempt.outcome.clone())
    }

    fn is_due(&self) -> bool {
        self.0.latest.borrow().as_ref().is_none_or(|attempt| attempt.ended.elapsed() >= HOLDS_FOR)
    }

    /// Tries one whenever that is wanted, for as long as it is polled.
    pub async fn keep(self) {
        let mut own = None;
        loop {
            self.0.wanted.notified().await;
            // Several may have wanted the one that has just ended.
            if self.is_due() {
                let outcome = self.attempt(&mut own).await.map_err(Arc::new);
                self.0.latest.send_replace(Some(Attempt { ended: Instant::now(), outcome }));
            }
        }
    }

    async fn attempt(&self, own: &mut Option<Own>) -> Result<(), DatabaseError> {
        let open = self.open(own.take()).await;
        *own = Some(self.commit(open?).await?);
        Ok(())
    }

    /// The one from before may have died meanwhile, which says nothing about Postgres as it is now.
    async fn open(&self, before: Option<Own>) -> Result<Own, sqlx::Error> {
        if let Some(mut own) = before
            && is_alive(&mut own.connection).await.is_ok()
        {
            return Ok(own);
        }
        timeout(ACQUIRE_TIMEOUT, self.connect()).await.map_err(|_| sqlx::Error::PoolTimedOut)?
    }

    async fn connect(&self) -> Result<Own, sqlx::Error> {
        let mut connection = PgConnection::connect_with(&self.0.pool.connect_options()).await?;
        let backend = sqlx::query_scalar!(r#"select pg_backend_pid() as "pid!""#);
        let backend = backend.fetch_one(&mut connection).await?;
        Ok(Own { connection, backend })
    }

    /// Gives the connection back if it can be used again.
    async fn commit(&self, mut own: Own) -> Result<Own, DatabaseError> {
        // It needs no table and no right, and is as much of a change as any other: the commit waits for whatever commits
        // wait for.
        let change = sqlx::query_scalar!(
            r#"select pg_logical_emit_message(true, 'dualauth', ''::text)::text as "written!""#
        );
        match timeout(PATIENCE, change.fetch_one(&mut own.connection)).await {
            Ok(written) => written.map(|_| own).map_err(DatabaseError::from),
            Err(_) => {
                self.call_off(own.backend).await;
                Err(DatabaseError::Unavailable(sqlx::Error::PoolTimedOut))
            }
        }
    }

    async fn call_off(&self, backend: i32) {
        let cancel = sqlx::query_scalar!("select pg_cancel_backend($1)", backend);
        if let Err(error) = answer(cancel.fetch_one(&self.0.pool)).await {
            tracing::warn!(backend, %error, "a commit that was tried goes on waiting in Postgres");
        }
    }
}
