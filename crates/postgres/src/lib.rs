//! A private Postgres cluster of the program's own, for when `DATABASE_URL` is not set.
//!
//! Every program on a cluster holds two things for as long as it lives, and the kernel takes both back however it
//! ends, SIGKILL included:
//!
//! - a shared lock on `postgres.lock`. Who gets it exclusively is the only one here, and may start Postgres;
//! - the writing end of the pipe `postgres.fifo`, whose reader is Postgres' guardian (a small `sh`). When the last
//!   writer is gone the guardian stops Postgres.
//!
//! Postgres itself holds a lock on the cluster's `PG_VERSION`. That tells whether one is alive; a process number in
//! `postmaster.pid` does not, since numbers are used again.

mod account;
mod binaries;
mod cluster;
mod flock;
mod guardian;
mod socket;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::time::{Instant, sleep};

use binaries::Binaries;
use cluster::Cluster;
use socket::Answer;

const ROLE: &str = "dualauth";
const DATABASE: &str = "dualauth";
const TIME_LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Why there is no private Postgres.
#[derive(Debug, thiserror::Error)]
pub enum PrivatePostgresError {
    /// None in any of the places looked at.
    #[error(
        "DATABASE_URL is not set, and no Postgres was found here to start a private one: set DATABASE_URL, \
         or install postgresql (scripts/postgres does)"
    )]
    NoBinaries,
    /// The cluster needs another major version than those found.
    #[error(
        "{cluster} was made by Postgres {version}, of which no binaries were found: install postgresql-{version}, \
         set DATABASE_URL, or move that folder away"
    )]
    NoBinariesOfVersion {
        /// Its folder.
        cluster: PathBuf,
        /// The major version it needs.
        version: u32,
    },
    /// The system refused something.
    #[error(
        "{doing} {path}: {error}. A private Postgres is to be there; set DATABASE_URL to use another database"
    )]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The refusal.
        error: io::Error,
    },
    /// Somebody else could open or replace the socket.
    #[error("{0} is no directory of this program's own: remove it, or set DATABASE_URL")]
    ForeignSocketDirectory(PathBuf),
    /// Another program had the cluster all the time.
    #[error("{0} is held by a program that neither gets Postgres running nor ends")]
    Busy(PathBuf),
    /// `initdb` or Postgres failed.
    #[error("{doing} failed ({how}); {log} ends with:\n{log_end}")]
    Postgres {
        /// What was tried.
        doing: &'static str,
        /// How it ended.
        how: String,
        /// Postgres' log.
        log: PathBuf,
        /// The log's last lines.
        log_end: String,
    },
}

/// A Postgres that runs at least as long as this value lives. Dropped without [`stop`](Self::stop), it is stopped all
/// the same, but nobody waits for it.
pub struct PrivatePostgres {
    cluster: Cluster,
    socket_directory: PathBuf,
    lock: File,
    keep_alive: File,
    /// `None`: another program started it.
    guardian: Option<Child>,
}

impl PrivatePostgres {
    /// Starts the cluster under `home`, made at the first start, or joins the programs that already use it.
    /// `settings` are Postgres' own, such as `("fsync", "off")`; they count for whoever starts it.
    pub async fn start(
        home: &Path,
        settings: &[(&str, &str)],
    ) -> Result<PrivatePostgres, PrivatePostgresError> {
        // Before anything is created: in a container, whose files are read-only, that would be the error.
        if !home.exists() && !binaries::are_installed(home) {
            return Err(PrivatePostgresError::NoBinaries);
        }
        let home = make_home(home)?;
        let cluster = Cluster::locate(&home).await?;
        let socket_directory = socket::directory(&cluster);
        let deadline = Instant::now() + TIME_LIMIT;
        while Instant::now() < deadline {
            let lock = cluster.open_lock()?;
            if flock::exclusive(&lock).map_err(failed("locking", &cluster.lock_path()))? {
                return Self::start_first(&home, cluster, socket_directory, lock, settings).await;
            }
            // Shared while another has it shared, too: that one's Postgres is ready. Else it is still starting.
            if flock::shared(&lock).map_err(failed("locking", &cluster.lock_path()))?
                && let Some(keep_alive) = join(&cluster, &socket_directory).await
            {
                return Ok(PrivatePostgres { cluster, socket_directory, lock, keep_alive, guardian: None });
            }
            drop(lock);
            sleep(PAUSE).await;
        }
        Err(PrivatePostgresError::Busy(cluster.lock_path()))
    }

    async fn start_first(
        home: &Path,
        cluster: Cluster,
        socket_directory: PathBuf,
        lock: File,
        settings: &[(&str, &str)],
    ) -> Result<PrivatePostgres, PrivatePostgresError> {
        let log = cluster.start_log()?;
        let binaries = match cluster.version()? {
            Some(version) => Binaries::of_version(version, home, &cluster).await?,
            None => {
                let binaries = Binaries::best(home, cluster.account).await?;
                cluster.create(&binaries, settings, &lock, &log).await?;
                binaries
            }
        };
        let running = wait_until_stopped(&cluster, &socket_directory).await?;
        socket::make_directory(&socket_directory, &cluster)?;
        let (mut guardian, keep_alive) =
            guardian::start(&binaries, &cluster, &socket_directory, settings, running, &log).await?;
        wait_until_ready(&cluster, &socket_directory, &mut guardian).await?;
        flock::downgrade(&lock).map_err(failed("locking", &cluster.lock_path()))?;
        Ok(PrivatePostgres { cluster, socket_directory, lock, keep_alive, guardian: Some(guardian) })
    }

    /// The URL of the cluster under `home`, if somebody runs it at the moment. Starts nothing, and makes nothing.
    pub async fn running(home: &Path) -> Option<String> {
        let home = home.canonicalize().ok()?;
        if !home.join("postgres").exists() {
            return None;
        }
        let cluster = Cluster::locate(&home).await.ok()?;
        let directory = socket::directory(&cluster);
        (socket::ask(&directory).await == Answer::Ready).then(|| socket::url(&directory))
    }

    /// For sqlx and libpq alike. What libpq's variables in the environment could change is spelled out.
    pub fn url(&self) -> String {
        socket::url(&self.socket_directory)
    }

    /// Nobody but the account that runs Postgres, and root, can enter it.
    pub fn socket_directory(&self) -> &Path {
        &self.socket_directory
    }

    /// Stops Postgres and waits for it, unless another program uses it too: then that one does.
    pub async fn stop(self) {
        let PrivatePostgres { cluster, lock, keep_alive, guardian, .. } = self;
        // First the lock: who starts meanwhile then waits for the end instead of joining it.
        let last = flock::exclusive(&lock).unwrap_or(false);
        drop(keep_alive);
        if !last {
            return;
        }
        if let Err(error) = wait_until_unlocked(&cluster).await {
            tracing::warn!(%error, "the private Postgres was told to stop and still runs");
        } else if let Some(mut guardian) = guardian {
            // It ends right behind Postgres; waiting leaves no zombie to a program that goes on.
            let _ = tokio::time::timeout(TIME_LIMIT, guardian.wait()).await;
        }
    }
}

fn make_home(home: &Path) -> Result<PathBuf, PrivatePostgresError> {
    std::fs::create_dir_all(home).map_err(failed("creating", home))?;
    home.canonicalize().map_err(failed("finding", home))
}

/// `None`: it turned out to be on its way out.
async fn join(cluster: &Cluster, socket_directory: &Path) -> Option<File> {
    let keep_alive = guardian::open_for_writing(&cluster.fifo_path()).ok()?;
    if socket::ask(socket_directory).await != Answer::Ready {
        return None;
    }
    // The guardian may have seen the end just before the pipe was opened; then nobody reads it now.
    guardian::is_read(&keep_alive).then_some(keep_alive)
}

/// Waits for the end of a Postgres left by programs that were killed, and returns its lock.
async fn wait_until_stopped(
    cluster: &Cluster,
    socket_directory: &Path,
) -> Result<File, PrivatePostgresError> {
    // Its guardian stops it as a rule, but may have been killed as well.
    if cluster.is_running()? && socket::ask(socket_directory).await == Answer::Ready {
        interrupt(cluster);
    }
    wait_until_unlocked(cluster).await
}

/// Only for a postmaster that has just answered: then its process number is right.
fn interrupt(cluster: &Cluster) {
    let Some(pid) = cluster.postmaster_pid().and_then(Pid::from_raw) else {
        return;
    };
    if let Err(error) = kill_process(pid, Signal::INT) {
        tracing::warn!(%error, "an abandoned private Postgres can't be stopped");
    }
}

async fn wait_until_unlocked(cluster: &Cluster) -> Result<File, PrivatePostgresError> {
    let deadline = Instant::now() + TIME_LIMIT;
    while Instant::now() < deadline {
        if let Some(lock) = cluster.try_lock()? {
            return Ok(lock);
        }
        sleep(PAUSE).await;
    }
    Err(PrivatePostgresError::Busy(cluster.directory.clone()))
}

/// Also through the recovery that follows a crash. Each question is a line in Postgres' log while it recovers, so they
/// become fewer.
async fn wait_until_ready(
    cluster: &Cluster,
    socket_directory: &Path,
    guardian: &mut Child,
) -> Result<(), PrivatePostgresError> {
    let deadline = Instant::now() + TIME_LIMIT;
    let mut pause = PAUSE;
    while Instant::now() < deadline {
        if socket::ask(socket_directory).await == Answer::Ready {
            return Ok(());
        }
        if let Ok(Some(status)) = guardian.try_wait() {
            return Err(cluster.failure("starting Postgres", status.to_string()));
        }
        sleep(pause).await;
        pause = (pause * 5 / 4).min(LONGEST_PAUSE);
    }
    Err(cluster.failure("starting Postgres", format!("not ready after {} s", TIME_LIMIT.as_secs())))
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PrivatePostgresError {
    move |error| PrivatePostgresError::Io { doing, path: path.to_owned(), error }
}

#[cfg(test)]
mod tests;
