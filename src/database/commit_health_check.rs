//! A health check for commits: a Postgres that waits for an unavailable synchronous standby answers every query, but
//! its commits hang.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::{
    ACQUIRE_TIMEOUT, DatabaseConnection, DatabaseError, PROOF_TIMEOUT, RequestAndBackgroundPools, answer,
};

/// How long a result is reused. A commit costs only a few bytes of WAL, but any client can request the check.
const HOLDS_FOR: Duration = Duration::from_secs(5);

/// Time limit for a commit. It is long, since no other attempt runs meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// Commits a test transaction on request, one at a time: a commit that waits for a standby ignores Postgres' timeouts
/// and the end of its connection, so hanging attempts would pile up.
#[derive(Clone, Debug)]
pub struct CommitHealthCheck(Arc<CommitHealthCheckInner>);

#[derive(Debug)]
struct CommitHealthCheckInner {
    pools: RequestAndBackgroundPools,
    wanted: Notify,
    latest: watch::Sender<Option<TestCommitResult>>,
}

/// The result of a finished attempt.
#[derive(Debug)]
struct TestCommitResult {
    ended: Instant,
    outcome: Result<(), Arc<DatabaseError>>,
}

impl CommitHealthCheck {
    /// A check of this database. [`CommitHealthCheck::run`] makes the attempts.
    pub fn new(pools: RequestAndBackgroundPools) -> Self {
        Self(Arc::new(CommitHealthCheckInner {
            pools,
            wanted: Notify::new(),
            latest: watch::Sender::new(None),
        }))
    }

    /// Whether a commit has succeeded recently. If there is no recent result, waits for the running attempt, which
    /// may take long.
    ///
    /// # Errors
    /// Why the last attempt failed.
    pub async fn check(&self) -> Result<(), Arc<DatabaseError>> {
        let mut latest = self.0.latest.subscribe();
        if self.is_due() {
            self.0.wanted.notify_one();
            // `changed` can't fail: this struct holds the sender.
            let _ = latest.changed().await;
        }
        let latest = latest.borrow();
        latest.as_ref().map_or(Ok(()), |attempt| attempt.outcome.clone())
    }

    fn is_due(&self) -> bool {
        self.0.latest.borrow().as_ref().is_none_or(|attempt| attempt.ended.elapsed() >= HOLDS_FOR)
    }

    /// Makes attempts on request, for as long as it is polled.
    pub async fn run(self) {
        let mut own = None;
        loop {
            self.0.wanted.notified().await;
            // The attempt that has just ended may have served several requests.
            if self.is_due() {
                let outcome = self.attempt(&mut own).await.map_err(Arc::new);
                self.0.latest.send_replace(Some(TestCommitResult { ended: Instant::now(), outcome }));
            }
        }
    }

    /// Makes an attempt. Leaves the connection in `own` if it can be used again.
    async fn attempt(&self, own: &mut Option<DatabaseConnection>) -> Result<(), DatabaseError> {
        let mut open = self.open(own.take()).await?;
        self.commit(&mut open).await?;
        *own = Some(open);
        Ok(())
    }

    /// A connection that works: the previous one may have died, which says nothing about Postgres' current state.
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
        // Needs no table and no privilege, and its commit waits for the same as any other.
        let change = sqlx::query_scalar!(
            r#"select pg_logical_emit_message(true, 'dualauth', ''::text)::text as "written!""#
        );
        match timeout(PATIENCE, change.fetch_one(&mut *own)).await {
            Ok(written) => written.map(drop).map_err(DatabaseError::from),
            Err(_) => {
                self.cancel(own.backend_pid()).await;
                Err(DatabaseError::Unavailable(sqlx::Error::PoolTimedOut))
            }
        }
    }

    async fn cancel(&self, backend: i32) {
        let cancel = sqlx::query_scalar!("select pg_cancel_backend($1)", backend);
        if let Err(error) = answer(cancel.fetch_one(&self.0.pools.upkeep)).await {
            tracing::warn!(backend, %error, "test commit could not be cancelled and still waits in Postgres");
        }
    }
}
