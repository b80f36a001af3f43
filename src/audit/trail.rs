//! The trail on a node: takes events without waiting, keeps them while Postgres is away, and writes them in batches.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::{Clock, uptime};
use crate::database::{ConnectionPool, DatabaseError, ReadPosition};
use crate::telemetry;

use super::store;
use super::{Entry, Filter, Record};

/// How long an event waits for others at the most, while Postgres answers.
const PATIENCE: Duration = Duration::from_millis(250);

/// How many events may wait: what a busy node sees within minutes, in a few megabytes.
const CAPACITY: usize = 10_000;

/// How many one statement writes.
const BATCH: usize = 1_000;

/// How many events a second are taken of those that cost a stranger nothing.
const FREE_A_SECOND: u64 = 20;

/// How long after an event it is written down at the latest, as a rule: while Postgres is away, events wait.
const LATE: chrono::Duration = chrono::Duration::minutes(10);

/// How often what is too old is swept, and how much one statement deletes.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
const SWEEP_BATCH: i64 = 1_000;

/// The audit trail.
#[derive(Clone)]
pub struct Trail(Arc<TrailInner>);

struct TrailInner {
    pool: ConnectionPool,
    clock: Clock,
    /// The oldest first. They stay here until they are written.
    waiting: Mutex<VecDeque<Arc<Record>>>,
    free: Mutex<AnonymousEventBudget>,
    lost: AtomicU64,
    is_full: AtomicBool,
    is_behind: AtomicBool,
}

/// What strangers have caused for nothing.
#[derive(Default)]
struct AnonymousEventBudget {
    second: u64,
    taken: u64,
    left_out: u64,
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trail").field("lost", &self.lost()).finish_non_exhaustive()
    }
}

impl Trail {
    /// The trail in this database.
    pub fn new(pool: ConnectionPool, clock: Clock) -> Self {
        Self(Arc::new(TrailInner {
            pool,
            clock,
            waiting: Mutex::default(),
            free: Mutex::default(),
            lost: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
            is_behind: AtomicBool::new(false),
        }))
    }

    /// Takes an event: it is in the log at once, and in the table a moment later. When too many wait, it is in the log
    /// alone. Of those that cost a stranger nothing a few a second are taken, and the next says how many were not.
    pub fn record(&self, entry: Entry) {
        let Some(entry) = self.within_reason(entry) else {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let record = Record::new(entry, self.0.clock.now());
        log(&record);
        if !self.enqueue(record) {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
            if !self.0.is_full.swap(true, Ordering::Relaxed) {
                tracing::error!(waiting = CAPACITY, "audit queue full; further events only logged");
            }
        }
    }

    fn within_reason(&self, entry: Entry) -> Option<Entry> {
        if !entry.kind.is_free() {
            return Some(entry);
        }
        let mut free = lock(&self.0.free);
        let second = uptime().as_secs();
        if free.second != second {
            (free.second, free.taken) = (second, 0);
        }
        if free.taken == FREE_A_SECOND {
            free.left_out += 1;
            return None;
        }
        free.taken += 1;
        match std::mem::take(&mut free.left_out) {
            0 => Some(entry),
            left_out => Some(entry.with("left_out_before", left_out)),
        }
    }

    /// `false` when there is no room. The oldest stay: they tell how it began.
    fn enqueue(&self, record: Record) -> bool {
        let mut waiting = lock(&self.0.waiting);
        let has_room = waiting.len() < CAPACITY;
        if has_room {
            waiting.push_back(Arc::new(record));
        }
        has_room
    }

    /// How many events came that are not, and will not be, in the table.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// How many events wait to be written.
    pub fn waiting(&self) -> usize {
        lock(&self.0.waiting).len()
    }

    /// Writes down what has happened, for as long as it is polled.
    pub async fn run_writer(self) {
        let mut ticks = tokio::time::interval(PATIENCE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.write_all().await;
        }
    }

    /// Writes down what waits. What can't be written now goes on waiting. One at a time: the task that keeps the trail or,
    /// when that has ended, whoever stops the node.
    pub async fn write_all(&self) {
        loop {
            let batch: Vec<_> = lock(&self.0.waiting).iter().take(BATCH).cloned().collect();
            if batch.is_empty() {
                return;
            }
            let outcome = self.write(&batch).await;
            self.log_outcome(&outcome);
            if outcome.is_err() {
                return;
            }
        }
    }

    /// Writes what waits longest. An event that Postgres refuses for what is in it is found by halving, and is in the log
    /// alone: the others are not to wait for it.
    async fn write(&self, batch: &[Arc<Record>]) -> Result<(), DatabaseError> {
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            match (store::insert(&self.0.pool, part).await, part) {
                (Err(error), [refused]) if error.is_about_values() => self.give_up(refused, &error),
                (Err(error), _) if error.is_about_values() => {
                    let (first, rest) = part.split_at(part.len() / 2);
                    parts.extend([rest, first]);
                    continue;
                }
                (outcome, _) => outcome?,
            }
            lock(&self.0.waiting).drain(..part.len());
            self.0.is_full.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    fn give_up(&self, refused: &Record, error: &DatabaseError) {
        self.0.lost.fetch_add(1, Ordering::Relaxed);
        tracing::error!(id = %refused.id, event = refused.event, %error, "audit event refused by Postgres; only logged");
    }

    fn log_outcome(&self, outcome: &Result<(), DatabaseError>) {
        let was_behind = self.0.is_behind.swap(outcome.is_err(), Ordering::Relaxed);
        match outcome {
            Ok(()) if was_behind => tracing::info!("writing the audit trail recovered"),
            Err(error) if !was_behind => {
                tracing::warn!(%error, "writing the audit trail failed; will retry, with up to {CAPACITY} events queued");
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Deletes, for as long as it is polled, what is older than this.
    pub async fn run_sweep(self, retention: Duration) {
        // The settings' limit of ten years is far within both types.
        let retention = chrono::Duration::from_std(retention).unwrap_or(chrono::Duration::MAX);
        let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.sweep(retention).await {
                tracing::warn!(%error, "sweep of old audit events failed; will retry");
            }
        }
    }

    /// Until nothing is left, and never for more than half of the time.
    async fn sweep(&self, retention: chrono::Duration) -> Result<(), DatabaseError> {
        loop {
            let began = tokio::time::Instant::now();
            let cutoff = self.0.clock.now() - retention;
            if store::sweep(&self.0.pool, cutoff, SWEEP_BATCH).await? < SWEEP_BATCH.unsigned_abs() {
                return Ok(());
            }
            tokio::time::sleep(began.elapsed()).await;
        }
    }

    /// The newest events that these are, the oldest first, and the position to read on from.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn newest(
        &self,
        filter: &Filter,
        count: i64,
    ) -> Result<(ReadPosition, Vec<Record>), DatabaseError> {
        store::newest(&self.0.pool, filter, DateTime::<Utc>::UNIX_EPOCH, count).await
    }

    /// Those that were written since the trail was read up to this position, and the next position. Where Postgres is in
    /// another history by now, such as after a crash: all that happened in the last ten minutes, also what was read
    /// before.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn since(
        &self,
        filter: &Filter,
        last: &ReadPosition,
    ) -> Result<(ReadPosition, Vec<Record>), DatabaseError> {
        let (position, records) = store::since(&self.0.pool, filter, last).await?;
        if position.history == last.history {
            return Ok((position, records));
        }
        store::newest(&self.0.pool, filter, self.0.clock.now() - LATE, i64::MAX).await
    }
}

/// A line of its own, which does not wait. Without the user agent: that is a header, and anybody's text.
fn log(record: &Record) {
    let Record { event, source, username, mode, transport, address, .. } = record;
    let (username, mode, transport) = (username.as_deref(), mode.as_deref(), transport.as_deref());
    tracing::info!(
        target: telemetry::AUDIT,
        id = %record.id,
        event,
        source,
        user_id = record.user_id.map(tracing::field::display),
        username,
        login_id = record.login_id.map(tracing::field::display),
        mode,
        transport,
        client_id = record.client_id.map(tracing::field::display),
        address = address.as_deref(),
        detail = record.detail.as_ref().map(tracing::field::display),
        "audit",
    );
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::{Actor, Kind};
    use super::*;
    use crate::database::{Endpoints, Pools};

    /// A trail whose Postgres is nowhere.
    fn trail() -> Trail {
        let nowhere = Endpoints::direct_to(&"postgres://127.0.0.1:1".into(), "test").expect("a URL");
        Trail::new(Pools::new(nowhere, 1).upkeep, Clock::system())
    }

    #[tokio::test]
    async fn what_does_not_fit_is_counted_and_the_oldest_stays() {
        let trail = trail();
        for number in 0..CAPACITY + 7 {
            trail.record(Entry::new(Kind::Logout, &Actor::NODE).with("number", number));
        }
        assert_eq!((trail.waiting(), trail.lost()), (CAPACITY, 7));
        let waiting = lock(&trail.0.waiting);
        let number = |record: Option<&Arc<Record>>| record.and_then(|record| record.detail.clone());
        assert_eq!(number(waiting.front()), Some(serde_json::json!({"number": 0})));
        assert_eq!(number(waiting.back()), Some(serde_json::json!({"number": CAPACITY - 1})));
    }

    #[tokio::test]
    async fn what_can_t_be_written_waits() {
        let trail = trail();
        trail.record(Entry::new(Kind::Logout, &Actor::NODE));
        trail.write_all().await;
        assert_eq!((trail.waiting(), trail.lost()), (1, 0));
    }

    #[tokio::test]
    async fn of_what_costs_a_stranger_nothing_a_few_a_second_are_taken() {
        let trail = trail();
        for _ in 0..10 * FREE_A_SECOND {
            trail.record(Entry::new(Kind::ClientRefused, &Actor::NODE));
        }
        // The second may have changed in the middle of it.
        let taken = trail.waiting() as u64;
        assert!((FREE_A_SECOND..=2 * FREE_A_SECOND).contains(&taken), "{taken}");
        assert_eq!(trail.lost(), 10 * FREE_A_SECOND - taken);

        let left_out = trail.lost();
        lock(&trail.0.free).second = 0;
        trail.record(Entry::new(Kind::ClientRefused, &Actor::NODE));
        let told: Vec<_> = lock(&trail.0.waiting).iter().filter_map(|record| record.detail.clone()).collect();
        let told: u64 = told.iter().filter_map(|detail| detail["left_out_before"].as_u64()).sum();
        assert_eq!(told, left_out);
    }
}
