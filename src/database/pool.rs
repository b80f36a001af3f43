//! The connection pool.
//!
//! Why not sqlx's pool: it does not adapt to fewer connections than configured. When Postgres refuses one, the
//! waiting request keeps trying to connect until it times out, although other connections become idle. It also knows
//! only one server.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_stream::try_stream;
use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Either, Error, Execute, Executor, Postgres, SqlStr};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};

use super::pooler_safe_connection::{DatabaseConnection, StatementLimits};
use super::usual_and_direct_routes::{DatabaseRoute, is_full};
use super::{ACQUIRE_TIMEOUT, PROOF_TIMEOUT};

/// Maximum age of a connection, since the host name may lead to another server by now.
const LONGEST_LIFE: Duration = Duration::from_secs(30 * 60);

/// How long an unused connection is kept.
const LONGEST_IDLE: Duration = Duration::from_secs(10 * 60);

/// How long the limit stays reduced after Postgres refused a connection.
const REDUCED_LIMIT_PERIOD: Duration = Duration::from_secs(10);

/// First and longest pause between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// The connections to the database. A statement that runs on the pool takes any of them.
#[derive(Clone)]
pub struct ConnectionPool(Arc<PoolInner>);

struct PoolInner {
    route: DatabaseRoute,
    limits: StatementLimits,
    max_size: usize,
    /// The current limit: lower than `max` while Postgres refuses further connections.
    granted: AtomicUsize,
    /// How long a connection may be idle and still be used without a ping.
    trusted_idle: Duration,
    /// Idle connections, the last used one at the end. It is reused first, so that the others can expire.
    idle: Mutex<Vec<Idle>>,
    /// One permit per idle connection, which queues waiters in order.
    available: Semaphore,
    /// Number of open connections: idle, in use, or connecting.
    open: watch::Sender<usize>,
    /// The pool that gives up a connection when Postgres grants this one none at all.
    others: Option<ConnectionPool>,
}

struct Member {
    connection: DatabaseConnection,
    since: Instant,
    _counted: Counted,
}

struct Idle {
    member: Member,
    since: Instant,
}

/// Counts an open connection until it is dropped.
struct Counted(watch::Sender<usize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl fmt::Debug for ConnectionPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionPool").field("max_size", &self.0.max_size).finish_non_exhaustive()
    }
}

impl ConnectionPool {
    /// A pool for this route with a maximum size. Connects on demand.
    pub(super) fn new(
        route: DatabaseRoute,
        limits: StatementLimits,
        max_size: usize,
        trusted_idle: Duration,
        others: Option<ConnectionPool>,
    ) -> Self {
        Self(Arc::new(PoolInner {
            route,
            limits,
            max_size,
            granted: AtomicUsize::new(max_size),
            trusted_idle,
            idle: Mutex::default(),
            available: Semaphore::new(0),
            open: watch::Sender::new(0),
            others,
        }))
    }

    /// Maximum number of connections.
    pub fn max_size(&self) -> usize {
        self.0.max_size
    }

    /// Number of open connections.
    pub fn open(&self) -> usize {
        *self.0.open.borrow()
    }

    /// Number of idle connections.
    pub fn idle(&self) -> usize {
        self.0.idle().len()
    }

    /// Closes each connection as soon as it is idle.
    pub(super) async fn close(&self) {
        self.0.available.close();
        let idle = std::mem::take(&mut *self.0.idle());
        for Idle { member, .. } in idle {
            // Its end is all that matters, clean or not.
            let _ = member.connection.close().await;
        }
        // `wait_for` can't fail: this struct holds the sender.
        let _ = self.0.open.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Closes a connection and reduces the limit for a while, so that another pool can have it.
    pub(super) async fn close_one_idle(&self) -> Result<(), Error> {
        if self.open() == 0 {
            return Ok(());
        }
        let next = timeout(ACQUIRE_TIMEOUT, self.0.next_idle()).await.map_err(|_| Error::PoolTimedOut)??;
        if let Some(Idle { member, .. }) = next {
            self.reduce_limit_to(self.open().saturating_sub(1));
            // It may be dead already.
            let _ = member.connection.close().await;
        }
        Ok(())
    }

    /// Acquires a connection.
    async fn acquire(&self) -> Result<Lease, Error> {
        let mut trouble = None;
        let acquiring = timeout(ACQUIRE_TIMEOUT, self.acquire_retrying(&mut trouble)).await;
        acquiring.unwrap_or_else(|_| Err(trouble.unwrap_or(Error::PoolTimedOut)))
    }

    async fn acquire_retrying(&self, trouble: &mut Option<Error>) -> Result<Lease, Error> {
        let mut pause = FIRST_PAUSE;
        loop {
            let refusal = tokio::select! {
                biased;
                idle = self.0.next_idle() => match self.0.checked_alive(idle?).await {
                    Some(member) => return Ok(Lease { pool: self.clone(), member: Some(member) }),
                    None => continue,
                },
                refusal = self.open_another() => refusal,
            };
            match &self.0.others {
                // The server is full: make do with the open connections.
                _ if is_full(&refusal) && self.open() > 0 => {
                    self.reduce_limit_to(self.open());
                    continue;
                }
                Some(others) if is_full(&refusal) => return Box::pin(others.acquire()).await,
                _ if self.0.route.may_come_back(&refusal) => {}
                _ => return Err(refusal),
            }
            *trouble = Some(refusal);
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Waits until another connection is allowed and opens it for the next waiter. Returns when that failed.
    async fn open_another(&self) -> Error {
        let mut open = self.0.open.subscribe();
        let counted = loop {
            match self.0.try_reserve() {
                Some(counted) => break counted,
                // `changed` can't fail: this struct holds the sender.
                None => drop(open.changed().await),
            }
        };
        // Spawned, since the waiting caller may be dropped, or get another connection first.
        let opening = tokio::spawn(self.clone().open_one(counted));
        match opening.await {
            Ok(Err(error)) => error,
            Ok(Ok(())) => std::future::pending().await,
            Err(_) => Error::WorkerCrashed,
        }
    }

    async fn open_one(self, counted: Counted) -> Result<(), Error> {
        let connecting = self.0.route.connect(&self.0.limits);
        let connection = timeout(ACQUIRE_TIMEOUT, connecting).await.map_err(|_| Error::PoolTimedOut)??;
        self.0.push(Member { connection, since: Instant::now(), _counted: counted });
        Ok(())
    }

    /// Reduces the limit for a while, because Postgres grants no more.
    fn reduce_limit_to(&self, count: usize) {
        self.0.granted.store(count.max(1), Ordering::Relaxed);
        let inner = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            sleep(REDUCED_LIMIT_PERIOD).await;
            if let Some(inner) = Weak::upgrade(&inner) {
                inner.granted.store(inner.max_size, Ordering::Relaxed);
                // Wake waiters to re-check the limit.
                inner.open.send_modify(|_| {});
            }
        });
    }
}

impl PoolInner {
    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_reserve(&self) -> Option<Counted> {
        let granted = self.granted.load(Ordering::Relaxed);
        let counted = self.open.send_if_modified(|count| {
            let is_one_more = *count < granted;
            *count += usize::from(is_one_more);
            is_one_more
        });
        counted.then(|| Counted(self.open.clone()))
    }

    /// The next idle connection, in the order of waiters.
    async fn next_idle(&self) -> Result<Option<Idle>, Error> {
        self.available.acquire().await.map_err(|_| Error::PoolClosed)?.forget();
        Ok(self.idle().pop())
    }

    /// The connection, after a ping if it was idle for long. `None` if it is dead.
    async fn checked_alive(&self, idle: Option<Idle>) -> Option<Member> {
        let Idle { mut member, since } = idle?;
        let is_young = member.since.elapsed() < LONGEST_LIFE;
        // Postgres may have been restarted in between, which must not cause a 503.
        let is_alive =
            since.elapsed() <= self.trusted_idle || is_ok_in_time(member.connection.is_alive()).await;
        (is_young && is_alive).then_some(member)
    }

    fn push(&self, member: Member) {
        let mut idle = self.idle();
        if self.available.is_closed() {
            return;
        }
        let before = idle.len();
        idle.retain(|one| one.since.elapsed() < LONGEST_IDLE);
        self.available.forget_permits(before - idle.len());
        idle.push(Idle { member, since: Instant::now() });
        self.available.add_permits(1);
    }
}

async fn is_ok_in_time(answer: impl Future<Output = Result<(), Error>>) -> bool {
    matches!(timeout(PROOF_TIMEOUT, answer).await, Ok(Ok(())))
}

/// An acquired connection. If it is dropped before its statement has ended, because of an error or a cancelled
/// caller, a transaction may be open: it is rolled back before the connection is used again.
struct Lease {
    pool: ConnectionPool,
    member: Option<Member>,
}

impl Lease {
    fn connection(&mut self) -> Result<&mut DatabaseConnection, Error> {
        self.member.as_mut().map(|member| &mut member.connection).ok_or(Error::PoolClosed)
    }

    fn give_back(mut self) {
        if let Some(member) = self.member.take() {
            self.pool.0.push(member);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(mut member), Ok(runtime)) = (self.member.take(), Handle::try_current()) else { return };
        let pool = self.pool.clone();
        runtime.spawn(async move {
            if is_ok_in_time(member.connection.roll_back_open()).await {
                pool.0.push(member);
            }
        });
    }
}

impl<'c> Executor<'c> for &'c ConnectionPool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(try_stream! {
            let mut lease = self.acquire().await?;
            let mut steps = lease.connection()?.fetch_many(query);
            while let Some(step) = steps.try_next().await? {
                yield step;
            }
            drop(steps);
            lease.give_back();
        })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let mut lease = self.acquire().await?;
            let row = lease.connection()?.fetch_optional(query).await?;
            lease.give_back();
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
        Box::pin(async move {
            let mut lease = self.acquire().await?;
            let statement = lease.connection()?.prepare_with(sql, parameters).await?;
            lease.give_back();
            Ok(statement)
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let mut lease = self.acquire().await?;
            let description = lease.connection()?.describe(sql).await?;
            lease.give_back();
            Ok(description)
        })
    }
}
