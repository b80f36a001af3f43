//! Writes audit events: accepts them without waiting, queues them while Postgres is unavailable, and writes them in
//! batches.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::{Clock, uptime};
use crate::database::{ConnectionPool, DatabaseError, PgSnapshotPosition};
use crate::telemetry;
use crate::upkeep;

use super::store;
use super::{Filter, NewEvent, RecordedEvent};

/// Maximum time that an event waits for others, while Postgres is available.
const PATIENCE: Duration = Duration::from_millis(250);

/// Maximum number of queued events: those of a busy node within minutes, in a few megabytes.
const CAPACITY: usize = 10_000;

/// Maximum number of events that one statement writes.
const BATCH: usize = 1_000;

/// Maximum number of events per second that unauthenticated clients can cause at no cost.
const MAX_UNAUTHENTICATED_PER_SECOND: u64 = 20;

/// Usual maximum delay between an event and its write: events queue while Postgres is unavailable.
const LATE: chrono::Duration = chrono::Duration::minutes(10);

/// Maximum number of rows that one statement of the sweep deletes.
const SWEEP_BATCH: i64 = 1_000;

/// The audit trail.
#[derive(Clone)]
pub struct Trail(Arc<TrailInner>);

struct TrailInner {
    pool: ConnectionPool,
    clock: Clock,
    /// Queued events, oldest first. They stay here until they are written.
    waiting: Mutex<VecDeque<Arc<RecordedEvent>>>,
    anonymous: Mutex<AnonymousEventBudget>,
    lost: AtomicU64,
    is_full: AtomicBool,
    is_behind: AtomicBool,
}

/// Counts the events of this second that unauthenticated clients have caused.
#[derive(Default)]
struct AnonymousEventBudget {
    second: u64,
    taken: u64,
    dropped: u64,
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
            anonymous: Mutex::default(),
            lost: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
            is_behind: AtomicBool::new(false),
        }))
    }

    /// Records an event: logs it at once, and writes it to the table shortly after. When the queue is full, it is
    /// only logged. Events that unauthenticated clients can cause at no cost are limited per second; the next one
    /// that is accepted contains the number of dropped ones.
    pub fn record(&self, entry: NewEvent) {
        let Some(entry) = self.within_budget(entry) else {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let record = RecordedEvent::new(entry, self.0.clock.now());
        log(&record);
        if !self.enqueue(record) {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
            if !self.0.is_full.swap(true, Ordering::Relaxed) {
                tracing::error!(waiting = CAPACITY, "audit queue full; further events only logged");
            }
        }
    }

    fn within_budget(&self, entry: NewEvent) -> Option<NewEvent> {
        if !entry.kind.is_unauthenticated() {
            return Some(entry);
        }
        let mut anonymous = lock(&self.0.anonymous);
        let second = uptime().as_secs();
        if anonymous.second != second {
            (anonymous.second, anonymous.taken) = (second, 0);
        }
        if anonymous.taken == MAX_UNAUTHENTICATED_PER_SECOND {
            anonymous.dropped += 1;
            return None;
        }
        anonymous.taken += 1;
        match std::mem::take(&mut anonymous.dropped) {
            0 => Some(entry),
            dropped => Some(entry.with("left_out_before", dropped)),
        }
    }

    /// `false` when the queue is full. The oldest events are kept, since they show how an incident began.
    fn enqueue(&self, record: RecordedEvent) -> bool {
        let mut waiting = lock(&self.0.waiting);
        let has_room = waiting.len() < CAPACITY;
        if has_room {
            waiting.push_back(Arc::new(record));
        }
        has_room
    }

    /// Number of events that are not in the table and will not be.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Number of queued events.
    pub fn waiting(&self) -> usize {
        lock(&self.0.waiting).len()
    }

    /// Writes events for as long as it is polled.
    pub async fn run_writer(self) {
        let mut ticks = tokio::time::interval(PATIENCE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.write_all().await;
        }
    }

    /// Writes the queued events. Events that can't be written now stay queued. Must not run concurrently: it is
    /// called by the writer task or, after that has ended, at shutdown.
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

    /// Writes the oldest events. If Postgres rejects the content of an event, that event is found by bisection and
    /// only logged, so that it does not block the others.
    async fn write(&self, batch: &[Arc<RecordedEvent>]) -> Result<(), DatabaseError> {
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            match (store::insert(&self.0.pool, part).await, part) {
                (Err(error), [refused]) if error.is_about_values() => self.drop_unwritable(refused, &error),
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

    fn drop_unwritable(&self, refused: &RecordedEvent, error: &DatabaseError) {
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

    /// Deletes events older than `retention`, for as long as it is polled.
    pub async fn run_sweep(self, retention: Duration) {
        // The setting's maximum of ten years is far within both types.
        let retention = chrono::Duration::from_std(retention).unwrap_or(chrono::Duration::MAX);
        let TrailInner { pool, clock, .. } = &*self.0;
        upkeep::sweep_at_intervals("old audit events", || {
            let cutoff = clock.now() - retention;
            upkeep::delete_in_batches(SWEEP_BATCH, move || store::sweep(pool, cutoff, SWEEP_BATCH))
        })
        .await;
    }

    /// The newest events that match, oldest first, and the position to continue from.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn newest(
        &self,
        filter: &Filter,
        count: i64,
    ) -> Result<(PgSnapshotPosition, Vec<RecordedEvent>), DatabaseError> {
        store::newest(&self.0.pool, filter, DateTime::<Utc>::UNIX_EPOCH, count).await
    }

    /// The events that were written since this position, and the next position. If Postgres is in another history,
    /// such as after a crash: all events of the last ten minutes, including those that were read before.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn since(
        &self,
        filter: &Filter,
        last: &PgSnapshotPosition,
    ) -> Result<(PgSnapshotPosition, Vec<RecordedEvent>), DatabaseError> {
        let (position, records) = store::since(&self.0.pool, filter, last).await?;
        if position.history == last.history {
            return Ok((position, records));
        }
        store::newest(&self.0.pool, filter, self.0.clock.now() - LATE, i64::MAX).await
    }
}

/// Logs the event immediately, without the user agent, which is arbitrary text of the client.
fn log(record: &RecordedEvent) {
    let RecordedEvent { event, source, username, mode, transport, address, .. } = record;
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
    use crate::database::{RequestAndBackgroundPools, UsualAndDirectRoutes};

    /// A trail whose Postgres does not exist.
    fn trail() -> Trail {
        let nowhere =
            UsualAndDirectRoutes::direct_to(&"postgres://127.0.0.1:1".into(), "test").expect("a URL");
        Trail::new(RequestAndBackgroundPools::new(nowhere, 1).upkeep, Clock::system())
    }

    #[tokio::test]
    async fn what_does_not_fit_is_counted_and_the_oldest_stays() {
        let trail = trail();
        for number in 0..CAPACITY + 7 {
            trail.record(NewEvent::new(Kind::Logout, &Actor::NODE).with("number", number));
        }
        assert_eq!((trail.waiting(), trail.lost()), (CAPACITY, 7));
        let waiting = lock(&trail.0.waiting);
        let number = |record: Option<&Arc<RecordedEvent>>| record.and_then(|record| record.detail.clone());
        assert_eq!(number(waiting.front()), Some(serde_json::json!({"number": 0})));
        assert_eq!(number(waiting.back()), Some(serde_json::json!({"number": CAPACITY - 1})));
    }

    #[tokio::test]
    async fn what_can_t_be_written_waits() {
        let trail = trail();
        trail.record(NewEvent::new(Kind::Logout, &Actor::NODE));
        trail.write_all().await;
        assert_eq!((trail.waiting(), trail.lost()), (1, 0));
    }

    #[tokio::test]
    async fn of_what_costs_a_stranger_nothing_a_few_a_second_are_taken() {
        let trail = trail();
        for _ in 0..10 * MAX_UNAUTHENTICATED_PER_SECOND {
            trail.record(NewEvent::new(Kind::ClientRefused, &Actor::NODE));
        }
        // The second may have changed in between.
        let taken = trail.waiting() as u64;
        assert!(
            (MAX_UNAUTHENTICATED_PER_SECOND..=2 * MAX_UNAUTHENTICATED_PER_SECOND).contains(&taken),
            "{taken}"
        );
        assert_eq!(trail.lost(), 10 * MAX_UNAUTHENTICATED_PER_SECOND - taken);

        let dropped = trail.lost();
        lock(&trail.0.anonymous).second = 0;
        trail.record(NewEvent::new(Kind::ClientRefused, &Actor::NODE));
        let told: Vec<_> = lock(&trail.0.waiting).iter().filter_map(|record| record.detail.clone()).collect();
        let told: u64 = told.iter().filter_map(|detail| detail["left_out_before"].as_u64()).sum();
        assert_eq!(told, dropped);
    }
}
