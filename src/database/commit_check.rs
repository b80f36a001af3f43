//! Whether Postgres makes commits: one that waits for a synchronous standby answers every question, and keeps whoever
//! changes something waiting for ever.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::{ACQUIRE_TIMEOUT, DatabaseConnection, DatabaseError, PROOF_TIMEOUT, Pools, answer};

/// How long what was found out holds: a commit is no more than a few bytes of WAL, but anybody may ask.
const HOLDS_FOR: Duration = Duration::from_secs(5);

/// How long one may take. It is waited for so long since nothing else is tried meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tries a commit when somebody asks. One at a time: a commit that waits for a standby heeds no timeout of Postgres' and no
/// end of its connection, and what waits would pile up.
#[derive(Clone, Debug)]
pub struct CommitCheck(Arc<ProbeInner>);

#[derive(Debug)]
struct ProbeInner {
    pools: Pools,
    wanted: Notify,
    latest: watch::Sender<Option<CommitCheckResult>>,
}

/// One that is over.
#[derive(Debug)]
struct CommitCheckResult {
    ended: Instant,
    outcome: Result<(), Arc<DatabaseError>>,
}

impl CommitCheck {
    /// Of this database. [`CommitCheck::keep`] tries them.
    pub fn new(pools: Pools) -> Self {
        Self(Arc::new(ProbeInner { pools, wanted: Notify::new(), latest: watch::Sender::new(None) }))
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
    pub async fn run(self) {
        let mut own = None;
        loop {
            self.0.wanted.notified().await;
            // Several may have wanted the one that has just ended.
            if self.is_due() {
                let outcome = self.attempt(&mut own).await.map_err(Arc::new);
                self.0.latest.send_replace(Some(CommitCheckResult { ended: Instant::now(), outcome }));
            }
        }
    }

    /// Whoever has `own` keeps it if it can be used again.
    async fn attempt(&self, own: &mut Option<DatabaseConnection>) -> Result<(), DatabaseError> {
        let mut open = self.open(own.take()).await?;
        self.commit(&mut open).await?;
        *own = Some(open);
        Ok(())
    }

    /// The one from before may have died meanwhile, which says nothing about Postgres as it is now.
    async fn open(&self, before: Option<DatabaseConnection>) -> Result<DatabaseConnection, sqlx::Error> {
        if let Some(mut own) = before
            && matches!(timeout(PROOF_TIMEOUT, own.is_alive()).await, Ok(Ok(())))
        {
            return Ok(own);
        }
        let connecting = self.0.pools.connect_for_commits();
        timeout(ACQUIRE_TIMEOUT, connecting).await.map_err(|_| sqlx::Error::PoolTimedOut)?
    }

    async fn commit(&self, own: &mut DatabaseConnection) -> Result<(), DatabaseError> {
        // It needs no table and no right, and is as much of a change as any other: the commit waits for whatever commits
        // wait for.
        let change = sqlx::query_scalar!(
            r#"select pg_logical_emit_message(true, 'dualauth', ''::text)::text as "written!""#
        );
        match timeout(PATIENCE, change.fetch_one(&mut *own)).await {
            Ok(written) => written.map(drop).map_err(DatabaseError::from),
            Err(_) => {
                self.call_off(own.backend_pid()).await;
                Err(DatabaseError::Unavailable(sqlx::Error::PoolTimedOut))
            }
        }
    }

    async fn call_off(&self, backend: i32) {
        let cancel = sqlx::query_scalar!("select pg_cancel_backend($1)", backend);
        if let Err(error) = answer(cancel.fetch_one(&self.0.pools.upkeep)).await {
            tracing::warn!(backend, %error, "test commit could not be cancelled and still waits in Postgres");
        }
    }
}
