//! Last-seen times of logins: collected in memory and written to Postgres in batches.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use hashlink::DefaultHashBuilder;
use tokio::time::Instant;
use uuid::Uuid;

use crate::config::Lifetimes;
use crate::database::{ConnectionPool, DatabaseError};

use super::login::Login;
use super::store;

/// Maximum number of logins that one statement updates.
const BATCH: usize = 1_000;

/// Upper bound for the interval at which the writer checks for due updates. Frequent checks spread a busy node's
/// writes evenly over time.
const TICK: Duration = Duration::from_secs(1);

/// How long written times are kept in memory: the longest time for which a look-up that started before the write may
/// still be running.
const LONGEST_LOOK_UP: Duration = Duration::from_secs(10);

/// When each login was last used, as long as a look-up might still read an older time from Postgres.
#[derive(Debug, Default)]
pub(super) struct Activity(Mutex<PendingUses>);

#[derive(Debug, Default)]
struct PendingUses {
    /// Times that are not yet written.
    new: HashMap<Uuid, DateTime<Utc>, DefaultHashBuilder>,
    /// Logins in `new` with the time of their first unwritten use, oldest first: `[0]` without and `[1]` with
    /// "remember me".
    waiting: [VecDeque<(Instant, Uuid)>; 2],
    writing: Vec<LastUse>,
    /// Times that were written recently: `[0]` is the current period, `[1]` the one before (see `LONGEST_LOOK_UP`).
    written: [HashMap<Uuid, DateTime<Utc>, DefaultHashBuilder>; 2],
    turned: Option<Instant>,
}

/// The last use of a login, and when its first unwritten use was recorded.
#[derive(Clone, Copy, Debug)]
struct LastUse {
    login: Uuid,
    remember_me: bool,
    seen: DateTime<Utc>,
    since: Instant,
}

impl Activity {
    pub(super) fn record(&self, login: Uuid, remember_me: bool, now: DateTime<Utc>) {
        let PendingUses { new, waiting, .. } = &mut *self.lock();
        match new.entry(login) {
            Entry::Occupied(mut noted) => {
                noted.insert(now);
            }
            Entry::Vacant(place) => {
                place.insert(now);
                waiting[usize::from(remember_me)].push_back((Instant::now(), login));
            }
        }
    }

    pub(super) fn seen(&self, login: Uuid) -> Option<DateTime<Utc>> {
        let notes = self.lock();
        let writing = || notes.writing.iter().find(|using| using.login == login).map(|using| using.seen);
        let written = || notes.written.iter().find_map(|written| written.get(&login).copied());
        notes.new.get(&login).copied().or_else(writing).or_else(written)
    }

    /// Returns the login with its last-seen time and idle expiry as they will be after the pending write.
    pub(super) fn overlay(&self, mut login: Login, lifetimes: &Lifetimes) -> Login {
        if let Some(seen) = self.seen(login.id).filter(|seen| *seen > login.last_seen_at) {
            let idle = lifetimes.of_login(login.remember_me).idle;
            login.last_seen_at = seen;
            login.idle_expires_at = login.idle_expires_at.max(login.expires_at.min(seen + idle));
        }
        login
    }

    /// Writes due updates for as long as it is polled.
    pub(super) async fn run_writer(&self, pool: &ConnectionPool, lifetimes: &Lifetimes) {
        // The last-seen time must reach Postgres within the idle time, however short that is.
        let shortest = lifetimes.last_seen_interval(false).min(lifetimes.last_seen_interval(true));
        let mut ticks = tokio::time::interval(TICK.min(shortest / 2));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let is_due =
                |since: Instant, remember_me| since.elapsed() >= lifetimes.last_seen_interval(remember_me);
            self.write(pool, lifetimes, is_due).await;
        }
    }

    /// Writes everything that is pending. For the shutdown, when a batch of [`Self::run_writer`] may have been
    /// interrupted.
    pub(super) async fn write_all(&self, pool: &ConnectionPool, lifetimes: &Lifetimes) {
        self.put_back();
        self.write(pool, lifetimes, |_, _| true).await;
    }

    async fn write(
        &self,
        pool: &ConnectionPool,
        lifetimes: &Lifetimes,
        is_due: impl Fn(Instant, bool) -> bool,
    ) {
        loop {
            let batch = self.take(&is_due);
            if batch.is_empty() {
                return;
            }
            if let Err(error) = write(pool, &batch, lifetimes).await {
                tracing::warn!(%error, logins = batch.len(), "writing last-seen times of logins failed; will retry");
                // They are retried at the next tick, together with whatever else is due then.
                return self.put_back();
            }
            self.done();
        }
    }

    /// Takes the next due updates, at most [`BATCH`] so that the lock is held only for a short time.
    fn take(&self, is_due: impl Fn(Instant, bool) -> bool) -> Vec<LastUse> {
        let PendingUses { new, waiting, writing, .. } = &mut *self.lock();
        writing.clear();
        for (queue, remember_me) in waiting.iter_mut().zip([false, true]) {
            while writing.len() < BATCH
                && let Some((since, login)) = queue.pop_front_if(|(since, _)| is_due(*since, remember_me))
            {
                let seen = new.remove(&login);
                writing.extend(seen.map(|seen| LastUse { login, remember_me, seen, since }));
            }
        }
        // Nodes that update the same logins at once lock the rows in the same order: no deadlock.
        writing.sort_unstable_by_key(|using| using.login);
        writing.clone()
    }

    /// Queues the failed batch again, except for logins that were used again in the meantime.
    fn put_back(&self) {
        let PendingUses { new, waiting, writing, .. } = &mut *self.lock();
        for LastUse { login, remember_me, seen, since } in writing.drain(..) {
            if let Entry::Vacant(place) = new.entry(login) {
                place.insert(seen);
                waiting[usize::from(remember_me)].push_front((since, login));
            }
        }
    }

    fn done(&self) {
        let PendingUses { writing, written: [lately, earlier], turned, .. } = &mut *self.lock();
        if turned.is_none_or(|turned| turned.elapsed() >= LONGEST_LOOK_UP) {
            *turned = Some(Instant::now());
            *earlier = std::mem::take(lately);
        }
        lately.extend(writing.drain(..).map(|using| (using.login, using.seen)));
    }

    fn lock(&self) -> MutexGuard<'_, PendingUses> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write(pool: &ConnectionPool, batch: &[LastUse], lifetimes: &Lifetimes) -> Result<(), DatabaseError> {
    let (logins, times): (Vec<_>, Vec<_>) = batch.iter().map(|using| (using.login, using.seen)).unzip();
    store::touch(pool, &logins, &times, lifetimes).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).expect("a time")
    }

    fn login(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    /// Takes the logins of one kind (without or with "remember me") that have been recorded before this call.
    fn taken(activity: &Activity, remembered: bool) -> Vec<(u128, DateTime<Utc>)> {
        let now = Instant::now();
        let batch = activity.take(|since, remember_me| since <= now && remember_me == remembered);
        batch.iter().map(|using| (using.login.as_u128(), using.seen)).collect()
    }

    #[test]
    fn each_kind_is_written_at_its_own_time_and_what_is_used_again_with_its_last_use() {
        let activity = Activity::default();
        activity.record(login(2), false, at(1));
        activity.record(login(9), true, at(1));
        activity.record(login(1), false, at(2));
        activity.record(login(2), false, at(3));
        assert_eq!(taken(&activity, false), [(1, at(2)), (2, at(3))]);
        activity.done();
        assert_eq!(taken(&activity, false), []);
        assert_eq!(taken(&activity, true), [(9, at(1))]);
    }

    #[test]
    fn what_waits_since_a_moment_ago_is_not_due() {
        let activity = Activity::default();
        activity.record(login(1), false, at(1));
        let between = Instant::now();
        while Instant::now() == between {
            std::hint::spin_loop();
        }
        activity.record(login(2), false, at(2));
        // The time of the first unwritten use counts: later uses do not postpone the write.
        activity.record(login(1), false, at(3));
        let batch = activity.take(|since, _| since <= between);
        assert_eq!(
            batch.iter().map(|using| (using.login, using.seen)).collect::<Vec<_>>(),
            [(login(1), at(3))]
        );
    }

    #[test]
    fn a_batch_has_a_thousand_and_is_in_order() {
        let activity = Activity::default();
        for number in (0..2_500).rev() {
            activity.record(login(number), number % 2 == 0, at(1));
        }
        let batches: Vec<_> = std::iter::from_fn(|| {
            let batch = activity.take(|_, _| true);
            activity.done();
            (!batch.is_empty()).then_some(batch)
        })
        .collect();
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [1_000, 1_000, 500]);
        assert!(batches.iter().all(|batch| batch.is_sorted_by_key(|using| using.login)));
    }

    #[test]
    fn what_could_not_be_written_is_first_in_line_and_no_use_gets_lost() {
        let activity = Activity::default();
        activity.record(login(1), false, at(1));
        activity.record(login(2), false, at(1));
        assert_eq!(taken(&activity, false).len(), 2);
        // Used again while the batch is being written.
        activity.record(login(2), false, at(5));
        activity.record(login(3), false, at(5));
        assert_eq!((activity.seen(login(1)), activity.seen(login(2))), (Some(at(1)), Some(at(5))));
        activity.put_back();
        assert_eq!(taken(&activity, false), [(1, at(1)), (2, at(5)), (3, at(5))]);
    }

    #[test]
    fn what_was_written_a_moment_ago_is_known_still() {
        let activity = Activity::default();
        for number in 1..4 {
            activity.record(login(number), false, at(1));
            taken(&activity, false);
            activity.done();
        }
        assert!((1..4).all(|number| activity.seen(login(number)) == Some(at(1))));
        assert_eq!(activity.seen(login(4)), None);
    }
}
