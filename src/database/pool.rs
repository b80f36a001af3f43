//! Connections that are lent to one statement after another.
//!
//! sqlx has a pool as well. It can't do with fewer connections than it was allowed: one that Postgres refuses is asked for
//! again and again by whoever was to have it, until their time is up, while others come back unused. And it knows of one
//! server only.

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

use super::connection::{DatabaseConnection, StatementLimits};
use super::endpoints::{Endpoint, is_full};
use super::{ACQUIRE_TIMEOUT, PROOF_TIMEOUT};

/// When one is replaced, however well it is: behind one name there may be another server by now.
const LONGEST_LIFE: Duration = Duration::from_secs(30 * 60);

/// How long one that nobody needs is kept.
const LONGEST_IDLE: Duration = Duration::from_secs(10 * 60);

/// How long it does with fewer than it is allowed, once Postgres has refused one.
const MODESTY: Duration = Duration::from_secs(10);

/// How long it waits before it tries again to connect, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// Connections to the database, which statements are run on as on one.
#[derive(Clone)]
pub struct ConnectionPool(Arc<PoolInner>);

struct PoolInner {
    way: Endpoint,
    limits: StatementLimits,
    most: usize,
    /// How many Postgres grants, as far as is known.
    granted: AtomicUsize,
    /// How long one may lie idle and still be taken for alive.
    trusted_idle: Duration,
    /// Those that are not lent, the one used last at the end: it is used again first, so that the others may go.
    idle: Mutex<Vec<Idle>>,
    /// A permit for each of those. Who waits for one gets it in turn.
    available: Semaphore,
    /// How many there are, lent or not, and on their way.
    open: watch::Sender<usize>,
    /// Where one is borrowed when Postgres grants none at all.
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

/// One of those that are open, for as long as it lives.
struct Counted(watch::Sender<usize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl fmt::Debug for ConnectionPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("most", &self.0.most).finish_non_exhaustive()
    }
}

impl ConnectionPool {
    /// So many at most, by this way. Connects when it is asked something.
    pub(super) fn new(
        way: Endpoint,
        limits: StatementLimits,
        most: usize,
        trusted_idle: Duration,
        others: Option<ConnectionPool>,
    ) -> Self {
        Self(Arc::new(PoolInner {
            way,
            limits,
            most,
            granted: AtomicUsize::new(most),
            trusted_idle,
            idle: Mutex::default(),
            available: Semaphore::new(0),
            open: watch::Sender::new(0),
            others,
        }))
    }

    /// How many there may be.
    pub fn most(&self) -> usize {
        self.0.most
    }

    /// How many there are.
    pub fn open(&self) -> usize {
        *self.0.open.borrow()
    }

    /// How many of them nobody uses.
    pub fn idle(&self) -> usize {
        self.0.idle().len()
    }

    /// Closes each when it is not used any more.
    pub(super) async fn close(&self) {
        self.0.available.close();
        let idle = std::mem::take(&mut *self.0.idle());
        for Idle { member, .. } in idle {
            // It is over either way.
            let _ = member.connection.close().await;
        }
        // It can't be closed: this here is the sender.
        let _ = self.0.open.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Has one less for a while, so that somebody else can have it.
    pub(super) async fn give_up_one(&self) -> Result<(), Error> {
        if self.open() == 0 {
            return Ok(());
        }
        let next = timeout(ACQUIRE_TIMEOUT, self.0.next_idle()).await.map_err(|_| Error::PoolTimedOut)??;
        if let Some(Idle { member, .. }) = next {
            self.do_with(self.open().saturating_sub(1));
            // It may be dead already.
            let _ = member.connection.close().await;
        }
        Ok(())
    }

    /// Lends one, as soon as there is one.
    async fn lend(&self) -> Result<Lease, Error> {
        let mut trouble = None;
        let lending = timeout(ACQUIRE_TIMEOUT, self.lend_in_the_end(&mut trouble)).await;
        lending.unwrap_or_else(|_| Err(trouble.unwrap_or(Error::PoolTimedOut)))
    }

    async fn lend_in_the_end(&self, trouble: &mut Option<Error>) -> Result<Lease, Error> {
        let mut pause = FIRST_PAUSE;
        loop {
            let refusal = tokio::select! {
                biased;
                idle = self.0.next_idle() => match self.0.proved(idle?).await {
                    Some(member) => return Ok(Lease { pool: self.clone(), member: Some(member) }),
                    None => continue,
                },
                refusal = self.open_another() => refusal,
            };
            match &self.0.others {
                // Those that there are will do.
                _ if is_full(&refusal) && self.open() > 0 => {
                    self.do_with(self.open());
                    continue;
                }
                Some(others) if is_full(&refusal) => return Box::pin(others.lend()).await,
                _ if self.0.way.may_come_back(&refusal) => {}
                _ => return Err(refusal),
            }
            *trouble = Some(refusal);
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Waits until there may be one more, opens it for whoever is next, and ends when that was refused.
    async fn open_another(&self) -> Error {
        let mut open = self.0.open.subscribe();
        let counted = loop {
            match self.0.count_one_more() {
                Some(counted) => break counted,
                // It can't fail: here is the sender.
                None => drop(open.changed().await),
            }
        };
        // Whoever waits for it may go away, or get another one first.
        let opening = tokio::spawn(self.clone().open_one(counted));
        match opening.await {
            Ok(Err(error)) => error,
            Ok(Ok(())) => std::future::pending().await,
            Err(_) => Error::WorkerCrashed,
        }
    }

    async fn open_one(self, counted: Counted) -> Result<(), Error> {
        let connecting = self.0.way.connect(&self.0.limits);
        let connection = timeout(ACQUIRE_TIMEOUT, connecting).await.map_err(|_| Error::PoolTimedOut)??;
        self.0.push(Member { connection, since: Instant::now(), _counted: counted });
        Ok(())
    }

    /// Does with so many for a while: Postgres grants no more.
    fn do_with(&self, count: usize) {
        self.0.granted.store(count.max(1), Ordering::Relaxed);
        let inner = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            sleep(MODESTY).await;
            if let Some(inner) = Weak::upgrade(&inner) {
                inner.granted.store(inner.most, Ordering::Relaxed);
                // Who waits looks again.
                inner.open.send_modify(|_| {});
            }
        });
    }
}

impl PoolInner {
    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_one_more(&self) -> Option<Counted> {
        let granted = self.granted.load(Ordering::Relaxed);
        let counted = self.open.send_if_modified(|count| {
            let is_one_more = *count < granted;
            *count += usize::from(is_one_more);
            is_one_more
        });
        counted.then(|| Counted(self.open.clone()))
    }

    /// One that is idle, as soon as it is one's turn.
    async fn next_idle(&self) -> Result<Option<Idle>, Error> {
        self.available.acquire().await.map_err(|_| Error::PoolClosed)?.forget();
        Ok(self.idle().pop())
    }

    /// The same, unless it is dead.
    async fn proved(&self, idle: Option<Idle>) -> Option<Member> {
        let Idle { mut member, since } = idle?;
        let is_young = member.since.elapsed() < LONGEST_LIFE;
        // Postgres may have been restarted since: that is to cost nobody a 503.
        let is_alive = since.elapsed() <= self.trusted_idle || in_time(member.connection.is_alive()).await;
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

async fn in_time(answer: impl Future<Output = Result<(), Error>>) -> bool {
    matches!(timeout(PROOF_TIMEOUT, answer).await, Ok(Ok(())))
}

/// A connection that is lent. Whoever drops it before the statement has ended, since it failed or since nobody waits for it
/// any more, leaves a transaction open, perhaps: it is not used again before that is settled.
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
            if in_time(member.connection.settle()).await {
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
            let mut lease = self.lend().await?;
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
            let mut lease = self.lend().await?;
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
            let mut lease = self.lend().await?;
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
            let mut lease = self.lend().await?;
            let description = lease.connection()?.describe(sql).await?;
            lease.give_back();
            Ok(description)
        })
    }
}
