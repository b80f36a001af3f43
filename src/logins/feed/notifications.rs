//! LISTEN and NOTIFY: wakes this node's feed when other nodes have written to it, and wakes theirs.
//!
//! NOTIFY runs after the commit, on a dedicated connection, once for any number of changes. Within a transaction it
//! would take a lock for all of Postgres at commit, so that all transactions that end a login would wait for each
//! other.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{Acquire, Connection, PgPool};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::super::session_cache_and_revocations::SessionCacheAndRevocations;
use crate::database::RequestAndBackgroundPools;

/// The notification channel.
const CHANNEL: &str = "dualauth";

/// Time before a failed connection is opened again, and time limit for connecting, pings and notifications.
const RECONNECT: Duration = Duration::from_secs(1);

/// The connection is checked by a ping after this long without a notification.
const QUIET: Duration = Duration::from_secs(10);

/// Minimum time between two notifications.
const PAUSE: Duration = Duration::from_millis(5);

/// Runs LISTEN and NOTIFY for as long as it is polled. Where notifications don't work, other nodes rely on polling.
pub(super) async fn exchange(pools: RequestAndBackgroundPools, memory: Arc<SessionCacheAndRevocations>) {
    while let Some(pool) = pools.listening() {
        if let Err(error) = exchange_by(&pool, &memory).await {
            tracing::debug!(%error, "LISTEN connection failed; polling the revocation feed without notifications");
        }
        sleep(RECONNECT).await;
    }
    std::future::pending().await
}

/// A listening connection, and the process id of its backend.
async fn listen(pool: &PgPool) -> Result<(PgListener, i32), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    let own = sqlx::query_scalar!(r#"select pg_backend_pid() as "pid!""#).fetch_one(&mut listener).await?;
    listener.listen(CHANNEL).await?;
    Ok((listener, own))
}

async fn exchange_by(pool: &PgPool, memory: &SessionCacheAndRevocations) -> Result<(), sqlx::Error> {
    let (mut listener, own) =
        timeout(RECONNECT, listen(pool)).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
    // Poll now: notifications from before LISTEN were missed.
    memory.freshness.request_poll();
    let (mut has_news, mut next) = (false, Instant::now());
    loop {
        tokio::select! {
            received = timeout(QUIET, listener.try_recv()) => match received {
                Ok(received) => match received? {
                    // Skip this node's own notifications: it has read those rows.
                    Some(notification) if notification.process_id() == own.unsigned_abs() => {}
                    Some(_) => memory.freshness.request_poll(),
                    None => return Ok(()),
                },
                Err(_) => {
                    let ping = async { (&mut listener).acquire().await?.ping().await };
                    timeout(RECONNECT, ping).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
                }
            },
            () = memory.news.notified(), if !has_news => has_news = true,
            () = sleep_until(next), if has_news => {
                has_news = false;
                next = Instant::now() + PAUSE;
                let notify = sqlx::query!("select pg_notify('dualauth', '')").execute(&mut listener);
                timeout(RECONNECT, notify).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
            }
        }
    }
}
