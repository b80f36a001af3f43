//! LISTEN and NOTIFY: what calls this node when there is something new in the feed, and how it calls others.
//!
//! It rings after the commit, on a connection of its own, however many ends there were: NOTIFY inside of a transaction
//! takes one lock for all of Postgres at its commit, and every transaction that ends a login would wait for every other.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{Acquire, Connection, PgPool};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::super::directory::Directory;
use crate::database::Pools;

/// What Postgres notifies on.
const CHANNEL: &str = "dualauth";

/// How long a connection that can't listen waits before it tries again, and a notification may take.
const RECONNECT: Duration = Duration::from_secs(1);

/// When nothing was heard for so long, it is asked whether anybody is there.
const QUIET: Duration = Duration::from_secs(10);

/// How long after a notification there is no other one.
const PAUSE: Duration = Duration::from_millis(5);

/// Listens and rings for as long as it is polled. Where no notification arrives, nobody rings: others look by themselves.
pub(super) async fn exchange(pools: Pools, directory: Arc<Directory>) {
    while let Some(pool) = pools.listening() {
        if let Err(error) = exchange_by(&pool, &directory).await {
            tracing::debug!(%error, "notifications don't arrive; the feed is read without them");
        }
        sleep(RECONNECT).await;
    }
    std::future::pending().await
}

/// What listens, and the number of its backend.
async fn listen(pool: &PgPool) -> Result<(PgListener, i32), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    let own = sqlx::query_scalar!(r#"select pg_backend_pid() as "pid!""#).fetch_one(&mut listener).await?;
    listener.listen(CHANNEL).await?;
    Ok((listener, own))
}

async fn exchange_by(pool: &PgPool, directory: &Directory) -> Result<(), sqlx::Error> {
    let (mut listener, own) =
        timeout(RECONNECT, listen(pool)).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
    // What was said while nobody listened has to be read, too.
    directory.freshness.request_poll();
    let (mut has_news, mut next) = (false, Instant::now());
    loop {
        tokio::select! {
            received = timeout(QUIET, listener.try_recv()) => match received {
                Ok(received) => match received? {
                    // What this node has rung for itself, it has read.
                    Some(notification) if notification.process_id() == own.unsigned_abs() => {}
                    Some(_) => directory.freshness.request_poll(),
                    None => return Ok(()),
                },
                Err(_) => {
                    let ping = async { (&mut listener).acquire().await?.ping().await };
                    timeout(RECONNECT, ping).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
                }
            },
            () = directory.news.notified(), if !has_news => has_news = true,
            () = sleep_until(next), if has_news => {
                has_news = false;
                next = Instant::now() + PAUSE;
                let notify = sqlx::query!("select pg_notify('dualauth', '')").execute(&mut listener);
                timeout(RECONNECT, notify).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
            }
        }
    }
}
