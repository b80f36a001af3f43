//! The threads that compute password hashes, and their bounded queue.
//!
//! Separate threads, since a server's have a low priority: a burst of sign-ins should hardly affect requests without
//! a password.
//!
//! Thread pool libraries don't offer what is needed here: a lower priority, memory for hashing kept ready per thread,
//! and queue slots that are released when the request is cancelled.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use super::PasswordError;
use super::workspace::{HashCounterAndLargeHashLock, Workspace};

/// The priority of the threads relative to other work of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadPriority {
    /// Low, for a server: requests of signed-in users come first.
    Low,
    /// Normal, for a command that waits for the hash.
    Normal,
}

/// The `nice` value of a server's threads. With 10, a thread of normal priority gets nine times as much CPU time.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Time limit for waiting and computing. The queue is bounded, but not the machine's other load, which has priority.
/// Attempts that take longer are rejected as if the queue were full.
const PATIENCE: Duration = Duration::from_secs(5);

/// Number of attempts per thread that may proceed to Postgres and hashing: enough to keep the thread busy while
/// others wait for Postgres.
const TURNS_PER_THREAD: usize = 4;

/// Current load and totals of password hashing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Attempts that hold a slot in the queue and are not being computed.
    pub waiting: usize,
    /// Attempts that are being computed.
    pub running: usize,
    /// Number of argon2 computations since the start.
    pub computed: u64,
    /// Number of attempts rejected since the start because the queue was full.
    pub refused: u64,
}

type Job = Box<dyn FnOnce(&mut Workspace) + Send>;

/// The threads and their queue.
pub(super) struct Pool {
    capacity: usize,
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    jobs: mpsc::Sender<Job>,
    running: Arc<AtomicUsize>,
    refused: AtomicU64,
    /// Whether a full queue was logged, and its recovery not yet.
    is_full: AtomicBool,
    shared: Arc<HashCounterAndLargeHashLock>,
}

impl Pool {
    /// Starts this number of threads. Each allows this number of queued attempts, and keeps memory for this number of
    /// argon2 blocks.
    pub(super) fn start(
        threads: usize,
        queue_per_thread: usize,
        blocks: usize,
        niceness: ThreadPriority,
    ) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let (queue, shared) = (Arc::new(Mutex::new(queue)), Arc::<HashCounterAndLargeHashLock>::default());
        let running = Arc::<AtomicUsize>::default();
        for number in 0..threads {
            let (queue, running) = (Arc::clone(&queue), Arc::clone(&running));
            let workspace = Workspace::new(blocks, Arc::clone(&shared));
            let name = format!("hash-{number}");
            thread::Builder::new().name(name).spawn(move || {
                if niceness == ThreadPriority::Low {
                    lower_thread_priority();
                }
                run_worker(&queue, &running, workspace);
            })?;
        }
        let capacity = threads * (1 + queue_per_thread);
        let places = Arc::new(Semaphore::new(capacity));
        let turns = Arc::new(Semaphore::new(threads * TURNS_PER_THREAD));
        Ok(Self {
            capacity,
            places,
            turns,
            jobs,
            running,
            refused: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
            shared,
        })
    }

    /// Whether there is a free slot, which another attempt may take at any time.
    pub(super) fn has_room(&self) -> bool {
        let has_room = self.places.available_permits() > 0;
        if !has_room {
            self.refuse();
        }
        has_room
    }

    /// Takes a slot in the queue, if one is free.
    pub(super) fn acquire_ticket(&self) -> Option<QueuePermit> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.refuse();
            return None;
        };
        if self.is_full.load(Relaxed) && self.places.available_permits() > self.capacity / 2 {
            self.is_full.store(false, Relaxed);
            let refused = self.refused.load(Relaxed);
            tracing::info!(refused, "password hashing queue has room again");
        }
        let turns = Arc::clone(&self.turns);
        Some(QueuePermit { place: Arc::new(place), turns, jobs: self.jobs.clone() })
    }

    fn refuse(&self) {
        self.refused.fetch_add(1, Relaxed);
        if !self.is_full.swap(true, Relaxed) {
            tracing::warn!("password hashing queue full: sign-ins are answered with 503");
        }
    }

    pub(super) fn load(&self) -> Load {
        let running = self.running.load(Relaxed);
        let taken = self.capacity.saturating_sub(self.places.available_permits());
        Load {
            waiting: taken.saturating_sub(running),
            running,
            computed: self.shared.computed.load(Relaxed),
            refused: self.refused.load(Relaxed),
        }
    }
}

/// A slot in the queue, released when all clones are dropped.
pub(super) struct QueuePermit {
    place: Arc<OwnedSemaphorePermit>,
    turns: Arc<Semaphore>,
    jobs: mpsc::Sender<Job>,
}

impl QueuePermit {
    /// Waits until few attempts are ahead. The attempt counts as ahead of others until the permit is dropped.
    pub(super) async fn wait_for_turn(&self) -> Result<OwnedSemaphorePermit, PasswordError> {
        let turn = timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        turn.map_err(|_| PasswordError::QueueFull)?.map_err(|error| PasswordError::Failed(error.to_string()))
    }

    /// Runs `work` on one of the threads.
    pub(super) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Workspace) -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let gone = || PasswordError::Failed("a hashing thread panicked".to_owned());
        let (reply, answer) = oneshot::channel();
        let place = Arc::clone(&self.place);
        let job = move |workspace: &mut Workspace| {
            // Held until the work ends, even if the client disconnects meanwhile.
            let _place = place;
            // Skip the work of a client that has disconnected.
            if !reply.is_closed() {
                let _ = reply.send(work(workspace));
            }
        };
        self.jobs.send(Box::new(job)).map_err(|_| gone())?;
        // On timeout the receiver is dropped, and the job is skipped.
        let answer = timeout(PATIENCE, answer).await.map_err(|_| PasswordError::QueueFull)?;
        answer.map_err(|_| gone())
    }
}

/// Worker loop; ends when the channel is closed.
fn run_worker(queue: &Mutex<mpsc::Receiver<Job>>, running: &AtomicUsize, mut workspace: Workspace) {
    while let Some(job) = next_job(queue) {
        running.fetch_add(1, Relaxed);
        // A panic must not end the thread.
        let _ = catch_unwind(AssertUnwindSafe(|| job(&mut workspace)));
        running.fetch_sub(1, Relaxed);
    }
}

fn next_job(queue: &Mutex<mpsc::Receiver<Job>>) -> Option<Job> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Only on Linux are priorities per thread; elsewhere this would slow down the whole program.
#[cfg(target_os = "linux")]
fn lower_thread_priority() {
    // Lowering the priority is always allowed. If it fails nevertheless, hashing runs at normal priority.
    let _ = rustix::process::nice(NICENESS);
}

#[cfg(not(target_os = "linux"))]
fn lower_thread_priority() {}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: usize = 5;

    /// Keeps the only thread busy until the sender is dropped.
    async fn held_up(pool: &Pool) -> mpsc::Sender<()> {
        let (release, held) = mpsc::channel::<()>();
        let ticket = pool.acquire_ticket().expect("a place");
        let (started, has_started) = oneshot::channel();
        tokio::spawn(async move {
            let work = move |_: &mut Workspace| {
                let _ = started.send(());
                let _ = held.recv();
            };
            ticket.compute(work).await
        });
        has_started.await.expect("it starts");
        release
    }

    async fn until(condition: impl Fn() -> bool) {
        let waiting = async {
            while !condition() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it comes to pass");
    }

    #[tokio::test]
    async fn a_full_queue_turns_away_at_once_and_counts_it() {
        let pool = Pool::start(1, QUEUE, 64, ThreadPriority::Normal).expect("a thread");
        let release = held_up(&pool).await;
        let waiting: Vec<_> = (0..QUEUE).map(|_| pool.acquire_ticket().expect("a place")).collect();
        assert!(pool.acquire_ticket().is_none());
        let full = Load { waiting: QUEUE, running: 1, computed: 0, refused: 1 };
        assert_eq!(pool.load(), full);

        drop((release, waiting));
        until(|| pool.load() == Load { waiting: 0, running: 0, ..full }).await;
        assert!(pool.acquire_ticket().is_some());
    }

    #[tokio::test]
    async fn a_client_that_leaves_does_not_free_its_place_while_its_hash_is_computed() {
        let pool = Pool::start(1, QUEUE, 64, ThreadPriority::Normal).expect("a thread");
        let (release, held) = mpsc::channel::<()>();
        let (started, has_started) = oneshot::channel();
        let ticket = pool.acquire_ticket().expect("a place");
        let client = tokio::spawn(async move {
            let work = move |_: &mut Workspace| {
                let _ = started.send(());
                held.recv()
            };
            ticket.compute(work).await
        });
        has_started.await.expect("it starts");
        client.abort();
        assert!(client.await.is_err_and(|end| end.is_cancelled()));
        assert_eq!(pool.places.available_permits(), pool.capacity - 1);

        drop(release);
        until(|| pool.places.available_permits() == pool.capacity).await;
    }

    #[tokio::test]
    async fn who_left_before_their_turn_costs_nothing() {
        let pool = Pool::start(1, QUEUE, 64, ThreadPriority::Normal).expect("a thread");
        let release = held_up(&pool).await;
        let ticket = pool.acquire_ticket().expect("a place");
        let (done, was_done) = mpsc::channel();
        let abandoned = ticket.compute(move |_| done.send(()));
        assert!(tokio::time::timeout(Duration::from_millis(1), abandoned).await.is_err());

        drop((release, ticket));
        until(|| pool.places.available_permits() == pool.capacity).await;
        assert!(was_done.try_recv().is_err(), "nobody waits for it");
    }

    #[tokio::test]
    async fn a_job_that_panics_takes_no_thread_with_it() {
        let pool = Pool::start(1, QUEUE, 64, ThreadPriority::Normal).expect("a thread");
        let ticket = pool.acquire_ticket().expect("a place");
        assert!(ticket.compute(|_| panic!("on purpose")).await.is_err());
        assert_eq!(ticket.compute(|_| 1).await.expect("an answer"), 1);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_servers_threads_give_way_and_nobody_else_does() {
        let niceness = || rustix::process::getpriority_process(None).expect("a priority");
        let before = niceness();
        for (of_whom, expected) in
            [(ThreadPriority::Low, (before + NICENESS).min(19)), (ThreadPriority::Normal, before)]
        {
            let pool = Pool::start(1, QUEUE, 64, of_whom).expect("a thread");
            let of_thread = pool.acquire_ticket().expect("a place").compute(move |_| niceness()).await;
            assert_eq!((of_thread.expect("an answer"), niceness()), (expected, before), "{of_whom:?}");
        }
    }
}
