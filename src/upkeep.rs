//! A node's background tasks: one that panics or ends is logged, counted and restarted. And the loops of those that delete
//! expired rows.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::database::DatabaseError;
use crate::metrics::Metrics;
use crate::telemetry;

/// Time before a stopped task is restarted. It doubles with each stop, and starts again from `first` after a run that
/// was longer than `longest`.
#[derive(Clone, Copy, Debug)]
struct Pauses {
    first: Duration,
    longest: Duration,
}

const PAUSES: Pauses = Pauses { first: Duration::from_secs(1), longest: Duration::from_secs(60) };

/// Time between two runs of a task that deletes expired rows.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Runs a sweep at intervals, for as long as it is polled. `what` says in the log what it deletes.
pub async fn sweep_at_intervals<F>(what: &'static str, mut sweep: impl FnMut() -> F)
where
    F: Future<Output = Result<(), DatabaseError>>,
{
    let mut ticks = interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = sweep().await {
            tracing::warn!(%error, "sweep of {what} failed; will retry");
        }
    }
}

/// Deletes rows until a statement finds fewer than `batch`, and pauses so that it is busy for at most half of the time.
/// `delete` returns how many it found.
///
/// # Errors
/// If a statement fails.
pub async fn delete_in_batches<F>(batch: i64, mut delete: impl FnMut() -> F) -> Result<(), DatabaseError>
where
    F: Future<Output = Result<u64, DatabaseError>>,
{
    loop {
        let began = Instant::now();
        if delete().await? < batch.unsigned_abs() {
            return Ok(());
        }
        sleep(began.elapsed()).await;
    }
}

/// The background tasks of a node.
pub struct Upkeep {
    tasks: JoinSet<()>,
    stopped: TasksAwaitingRestart,
    metrics: Metrics,
    pauses: Pauses,
}

impl fmt::Debug for Upkeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upkeep").field("stopped", &self.stopped).finish_non_exhaustive()
    }
}

impl Upkeep {
    /// Without tasks yet.
    pub fn new(metrics: Metrics) -> Self {
        Self::with(metrics, PAUSES)
    }

    fn with(metrics: Metrics, pauses: Pauses) -> Self {
        Self { tasks: JoinSet::new(), stopped: TasksAwaitingRestart::default(), metrics, pauses }
    }

    /// Starts a task, which is not supposed to end, and restarts it whenever it does.
    pub fn supervise<T>(&mut self, task: &'static str, begin: impl FnMut() -> T + Send + 'static)
    where
        T: Future<Output = ()> + Send + 'static,
    {
        self.metrics.upkeep_task(task);
        let supervisor = Supervisor {
            task,
            stopped: self.stopped.clone(),
            metrics: self.metrics.clone(),
            pauses: self.pauses,
        };
        self.tasks.spawn(supervisor.run_supervised(begin));
    }

    /// The tasks that are stopped, kept up to date.
    pub fn tasks_awaiting_restart(&self) -> TasksAwaitingRestart {
        self.stopped.clone()
    }

    /// Aborts all tasks.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// The tasks of a node that have stopped and wait for their restart.
#[derive(Clone, Debug, Default)]
pub struct TasksAwaitingRestart(Arc<Mutex<BTreeSet<&'static str>>>);

impl TasksAwaitingRestart {
    /// Their names, in alphabetical order; empty while all tasks are running.
    pub fn names(&self) -> Vec<&'static str> {
        self.lock().iter().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<&'static str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Supervisor {
    task: &'static str,
    stopped: TasksAwaitingRestart,
    metrics: Metrics,
    pauses: Pauses,
}

impl Supervisor {
    async fn run_supervised<T: Future<Output = ()>>(self, mut begin: impl FnMut() -> T) {
        let mut pause = self.pauses.first;
        loop {
            let began = Instant::now();
            let run = AssertUnwindSafe(async { begin().await }).catch_unwind();
            let cause = match run.await {
                Ok(()) => "the task ended".to_owned(),
                Err(panic) => telemetry::panic_message(&*panic),
            };
            if began.elapsed() > self.pauses.longest {
                pause = self.pauses.first;
            }
            self.wait_before_restart(&cause, pause).await;
            pause = (pause * 2).min(self.pauses.longest);
        }
    }

    async fn wait_before_restart(&self, cause: &str, pause: Duration) {
        let Self { task, stopped, metrics, .. } = self;
        tracing::error!(task, cause, seconds = pause.as_secs_f64(), "background task stopped; restarting");
        stopped.lock().insert(task);
        sleep(pause).await;
        metrics.upkeep_restarted(task);
        stopped.lock().remove(task);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const SOON: Duration = Duration::from_millis(1);
    const NEVER: Duration = Duration::from_secs(3_600);

    fn upkeep(first: Duration, longest: Duration) -> Upkeep {
        Upkeep::with(Metrics::new().expect("names of their own"), Pauses { first, longest })
    }

    async fn eventually(is_so: impl Fn() -> bool) {
        let waiting = async {
            while !is_so() {
                sleep(SOON).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it comes");
    }

    /// The number of starts, and a task that panics or ends the first `times` times and then runs on.
    fn fails(
        times: usize,
        panics: bool,
    ) -> (Arc<AtomicUsize>, impl FnMut() -> futures_util::future::BoxFuture<'static, ()>) {
        let begun = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&begun);
        let begin = move || {
            let number = count.fetch_add(1, Ordering::SeqCst);
            async move {
                match number < times {
                    true if panics => panic!("on purpose"),
                    true => {}
                    false => std::future::pending().await,
                }
            }
            .boxed()
        };
        (begun, begin)
    }

    #[tokio::test]
    async fn a_task_that_panics_or_ends_is_begun_again_and_counted() {
        for panics in [true, false] {
            let mut upkeep = upkeep(SOON, SOON);
            let (begun, begin) = fails(3, panics);
            upkeep.supervise("walk", begin);
            eventually(|| begun.load(Ordering::SeqCst) == 4).await;
            assert_eq!(upkeep.metrics.upkeep_restarts("walk"), 3);
            assert_eq!(upkeep.tasks_awaiting_restart().names(), Vec::<&str>::new());
        }
    }

    #[tokio::test]
    async fn a_task_that_cannot_even_be_begun_is_begun_again() {
        let mut upkeep = upkeep(SOON, SOON);
        let begin = || -> std::future::Pending<()> { panic!("on purpose") };
        upkeep.supervise("walk", begin);
        eventually(|| upkeep.metrics.upkeep_restarts("walk") > 2).await;
    }

    #[tokio::test]
    async fn a_task_that_does_not_run_is_down_and_the_others_are_not() {
        let mut upkeep = upkeep(NEVER, NEVER);
        upkeep.supervise("sleep", std::future::pending::<()>);
        upkeep.supervise("walk", fails(1, true).1);
        let stopped = upkeep.tasks_awaiting_restart();
        eventually(|| stopped.names() == ["walk"]).await;
        assert_eq!(upkeep.metrics.upkeep_restarts("walk"), 0, "it is not begun again yet");
    }

    #[tokio::test]
    async fn each_pause_is_longer_than_the_one_before() {
        let mut upkeep = upkeep(Duration::from_millis(10), NEVER);
        let (begun, begin) = fails(5, true);
        let began = Instant::now();
        upkeep.supervise("walk", begin);
        eventually(|| begun.load(Ordering::SeqCst) == 6).await;
        let least = Duration::from_millis(10 + 20 + 40 + 80 + 160);
        assert!(began.elapsed() >= least, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn what_is_stopped_is_not_begun_again() {
        let mut upkeep = upkeep(SOON, SOON);
        let (begun, begin) = fails(usize::MAX, true);
        upkeep.supervise("walk", begin);
        eventually(|| begun.load(Ordering::SeqCst) > 1).await;
        upkeep.stop().await;
        let before = begun.load(Ordering::SeqCst);
        sleep(SOON * 20).await;
        assert_eq!(begun.load(Ordering::SeqCst), before);
    }
}
