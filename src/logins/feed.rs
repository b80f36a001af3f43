//! The revocation feed: tells this node's directory which logins ended, here and on other nodes.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;

use crate::clock::Clock;
use crate::database::{DatabaseError, answer};

use super::directory::Directory;

/// How often it looks: twice within the second that a revocation may take to be known everywhere.
const INTERVAL: Duration = Duration::from_millis(500);

/// Follows the table `revocations`.
pub struct Feed {
    pool: PgPool,
    directory: Arc<Directory>,
    clock: Clock,
    /// Every transaction before this one had ended when it last looked: what they wrote is known.
    next: i64,
}

impl Feed {
    pub(super) fn new(pool: PgPool, directory: Arc<Directory>, clock: Clock) -> Self {
        Self { pool, directory, clock, next: 0 }
    }

    /// Takes in what is new: at first, all that still matters.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn poll(&mut self) -> Result<(), DatabaseError> {
        let now = self.clock.now();
        // A transaction that is still running may commit rows with an id below others already seen. Hence the
        // next look starts at the oldest one running now; what is read twice does no harm.
        let query = sqlx::query!(
            r#"select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as "next!",
                      r.login_id as "login_id?", r.until as "until?"
               from (select) as always left join revocations r on r.xid >= $1::bigint::text::xid8 and r.until > $2"#,
            self.next,
            now,
        );
        for row in answer(query.fetch_all(&self.pool)).await? {
            self.next = row.next;
            if let (Some(login), Some(until)) = (row.login_id, row.until) {
                self.directory.revoke(login, until);
            }
        }
        self.directory.forget(now);
        Ok(())
    }

    /// Follows the feed for as long as it is polled.
    pub async fn follow(mut self) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut is_behind = false;
        loop {
            ticks.tick().await;
            let outcome = self.poll().await;
            match &outcome {
                Ok(()) if is_behind => tracing::info!("the revocation feed is followed again"),
                Err(error) if !is_behind => tracing::warn!(%error, "the revocation feed can't be read"),
                Ok(()) | Err(_) => {}
            }
            is_behind = outcome.is_err();
        }
    }
}
