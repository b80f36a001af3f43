//! A private Postgres cluster, for when `DATABASE_URL` is not set. It is persistent and shared by all programs with the same
//! home folder; it is no throwaway test database.
//!
//! Every program that uses a cluster holds two things while it runs. The kernel releases both when it exits, even by
//! SIGKILL:
//!
//! - a shared lock on `postgres.lock`. A program that gets it exclusively is the only one, and may start Postgres;
//! - the write end of the pipe `postgres.fifo`, which Postgres' watchdog (a small `sh` script) reads. When the last write
//!   end is closed, the watchdog stops Postgres.
//!
//! Postgres itself holds a lock on the cluster's `PG_VERSION`, which tells whether it runs. The pid in `postmaster.pid` does
//! not, since pids are reused.

mod account;
mod binaries;
mod cluster_directory;
mod flock;
mod readiness_probe;
mod socket_settings_and_url;
mod watchdog;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::time::{Instant, sleep};

use binaries::Binaries;
use cluster_directory::DataDirectory;
use readiness_probe::Readiness;

const ROLE: &str = "dualauth";
const DATABASE: &str = "dualauth";
/// Time limit for starting, joining and stopping Postgres.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// Pause between two attempts or checks.
const PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Why the private Postgres is not available.
#[derive(Debug, thiserror::Error)]
pub enum PrivatePostgresError {
    /// No Postgres binaries in any of the usual directories.
    #[error(
        "DATABASE_URL is not set, and no Postgres was found here to start a private one: set DATABASE_URL, \
         or install postgresql (scripts/postgres does)"
    )]
    NoBinaries,
    /// No binaries of the cluster's major version.
    #[error(
        "{data_directory} was made by Postgres {version}, of which no binaries were found: install postgresql-{version}, \
         set DATABASE_URL, or move that folder away"
    )]
    NoBinariesOfVersion {
        /// The cluster's folder.
        data_directory: PathBuf,
        /// The major version it needs.
        version: u32,
    },
    /// A system call or command failed.
    #[error(
        "{doing} {path} for the private Postgres failed: {error}; set DATABASE_URL to use another database"
    )]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        error: io::Error,
    },
    /// Another account could open or replace the socket.
    #[error(
        "{0} is not owned by the account that runs Postgres, or others can enter it: remove it, or set DATABASE_URL"
    )]
    ForeignSocketDirectory(PathBuf),
    /// Another program held the lock file until the time limit, without a Postgres to join.
    #[error("timed out after {} s: {} is locked by another process", TIME_LIMIT.as_secs(), .0.display())]
    Busy(PathBuf),
    /// Postgres did not release its lock on the cluster within the time limit.
    #[error("timed out after {} s: the Postgres of {} has not stopped", TIME_LIMIT.as_secs(), .0.display())]
    NotStopped(PathBuf),
    /// `initdb` or Postgres failed.
    #[error("{doing} failed ({how}); {log} ends with:\n{log_end}")]
    Postgres {
        /// What was tried.
        doing: &'static str,
        /// The exit status, or why it failed.
        how: String,
        /// Postgres' log.
        log: PathBuf,
        /// The log's last lines.
        log_end: String,
    },
}

/// A running private Postgres, which runs at least until this value is dropped. [`stop`](Self::stop) waits until it has
/// stopped, dropping does not.
pub struct PrivatePostgres {
    data_directory: DataDirectory,
    socket_directory: PathBuf,
    lock: File,
    keep_alive: File,
    /// `None`: another program started it.
    watchdog: Option<Child>,
}

impl PrivatePostgres {
    /// Starts the cluster under `home`, which is created at the first start, or joins the programs that already use it.
    /// `settings` are Postgres' own, such as `("fsync", "off")`. They have no effect when another program has started it.
    ///
    /// # Errors
    /// When there are no suitable binaries, a folder or file can't be used, or Postgres does not start within 60 s.
    pub async fn start(
        home: &Path,
        settings: &[(&str, &str)],
    ) -> Result<PrivatePostgres, PrivatePostgresError> {
        // Before anything is created: in a container, whose files are read-only, that would be the error.
        if !home.exists() && !binaries::are_installed(home) {
            return Err(PrivatePostgresError::NoBinaries);
        }
        let home = make_home(home)?;
        let data_directory = DataDirectory::locate(&home).await?;
        let socket_directory = socket_settings_and_url::directory(&data_directory);
        let deadline = Instant::now() + TIME_LIMIT;
        while Instant::now() < deadline {
            let lock = data_directory.open_lock()?;
            if flock::exclusive(&lock).map_err(failed("locking", &data_directory.lock_path()))? {
                return Self::start_first(&home, data_directory, socket_directory, lock, settings).await;
            }
            // Shared locks are held by programs whose Postgres is ready. An exclusive one means that it is still starting.
            if flock::shared(&lock).map_err(failed("locking", &data_directory.lock_path()))?
                && let Some(keep_alive) = join(&data_directory, &socket_directory).await
            {
                return Ok(PrivatePostgres {
                    data_directory,
                    socket_directory,
                    lock,
                    keep_alive,
                    watchdog: None,
                });
            }
            drop(lock);
            sleep(PAUSE).await;
        }
        Err(PrivatePostgresError::Busy(data_directory.lock_path()))
    }

    async fn start_first(
        home: &Path,
        data_directory: DataDirectory,
        socket_directory: PathBuf,
        lock: File,
        settings: &[(&str, &str)],
    ) -> Result<PrivatePostgres, PrivatePostgresError> {
        let log = data_directory.start_log()?;
        let binaries = match data_directory.version()? {
            Some(version) => Binaries::of_version(version, home, &data_directory).await?,
            None => {
                let binaries = Binaries::find_any(home, data_directory.account).await?;
                data_directory.create(&binaries, settings, &lock, &log).await?;
                binaries
            }
        };
        let running = wait_until_stopped(&data_directory, &socket_directory).await?;
        socket_settings_and_url::make_directory(&socket_directory, &data_directory)?;
        let (mut watchdog, keep_alive) =
            watchdog::start(&binaries, &data_directory, &socket_directory, settings, running, &log).await?;
        wait_until_ready(&data_directory, &socket_directory, &mut watchdog).await?;
        flock::downgrade(&lock).map_err(failed("locking", &data_directory.lock_path()))?;
        Ok(PrivatePostgres { data_directory, socket_directory, lock, keep_alive, watchdog: Some(watchdog) })
    }

    /// The URL of the cluster under `home`, if it is running. Starts and creates nothing.
    pub async fn running(home: &Path) -> Option<String> {
        let home = home.canonicalize().ok()?;
        if !home.join("postgres").exists() {
            return None;
        }
        let data_directory = DataDirectory::locate(&home).await.ok()?;
        let directory = socket_settings_and_url::directory(&data_directory);
        (readiness_probe::probe(&directory).await == Readiness::Ready)
            .then(|| socket_settings_and_url::url(&directory))
    }

    /// The connection URL, for sqlx and libpq. It spells out what libpq's environment variables could change.
    pub fn url(&self) -> String {
        socket_settings_and_url::url(&self.socket_directory)
    }

    /// The directory of the Unix socket. Only the account that runs Postgres, and root, can enter it.
    pub fn socket_directory(&self) -> &Path {
        &self.socket_directory
    }

    /// Stops Postgres and waits until it has stopped, unless another program still uses it.
    pub async fn stop(self) {
        let PrivatePostgres { data_directory, lock, keep_alive, watchdog, .. } = self;
        // The lock first: a program that starts meanwhile then waits until Postgres has stopped, instead of joining it.
        let last = flock::exclusive(&lock).unwrap_or(false);
        drop(keep_alive);
        if !last {
            return;
        }
        if let Err(error) = wait_until_unlocked(&data_directory).await {
            let (directory, pid) = (data_directory.path.display(), data_directory.postmaster_pid());
            tracing::warn!(%error, %directory, pid, "private Postgres did not stop in time");
        } else if let Some(mut watchdog) = watchdog {
            // It exits right after Postgres; waiting for it avoids a zombie process.
            let _ = tokio::time::timeout(TIME_LIMIT, watchdog.wait()).await;
        }
    }
}

fn make_home(home: &Path) -> Result<PathBuf, PrivatePostgresError> {
    std::fs::create_dir_all(home).map_err(failed("creating", home))?;
    home.canonicalize().map_err(failed("resolving", home))
}

/// Joins a running Postgres by opening the pipe. `None`: it is stopping.
async fn join(data_directory: &DataDirectory, socket_directory: &Path) -> Option<File> {
    let keep_alive = watchdog::open_for_writing(&data_directory.fifo_path()).ok()?;
    if readiness_probe::probe(socket_directory).await != Readiness::Ready {
        return None;
    }
    // The watchdog may have seen the end of the pipe just before it was opened here, and no longer read it.
    watchdog::has_reader(&keep_alive).then_some(keep_alive)
}

/// Stops a Postgres that killed programs have left running, and returns the lock on the cluster.
async fn wait_until_stopped(
    data_directory: &DataDirectory,
    socket_directory: &Path,
) -> Result<File, PrivatePostgresError> {
    // Its watchdog normally stops it, but may have been killed as well.
    if data_directory.is_running()? && readiness_probe::probe(socket_directory).await == Readiness::Ready {
        interrupt(data_directory);
    }
    wait_until_unlocked(data_directory).await
}

/// Only for a postmaster that has just responded: its pid file is then correct.
fn interrupt(data_directory: &DataDirectory) {
    let Some(pid) = data_directory.postmaster_pid().and_then(Pid::from_raw) else {
        return;
    };
    if let Err(error) = kill_process(pid, Signal::INT) {
        let directory = data_directory.path.display();
        tracing::warn!(%error, %directory, pid = pid.as_raw_nonzero().get(), "cannot send SIGINT to the private Postgres left by an earlier run");
    }
}

async fn wait_until_unlocked(data_directory: &DataDirectory) -> Result<File, PrivatePostgresError> {
    let deadline = Instant::now() + TIME_LIMIT;
    while Instant::now() < deadline {
        if let Some(lock) = data_directory.try_lock()? {
            return Ok(lock);
        }
        sleep(PAUSE).await;
    }
    Err(PrivatePostgresError::NotStopped(data_directory.path.clone()))
}

/// Waits through crash recovery, too. Each probe is a line in Postgres' log during recovery, so the pauses grow.
async fn wait_until_ready(
    data_directory: &DataDirectory,
    socket_directory: &Path,
    watchdog: &mut Child,
) -> Result<(), PrivatePostgresError> {
    let deadline = Instant::now() + TIME_LIMIT;
    let mut pause = PAUSE;
    while Instant::now() < deadline {
        if readiness_probe::probe(socket_directory).await == Readiness::Ready {
            return Ok(());
        }
        if let Ok(Some(status)) = watchdog.try_wait() {
            return Err(data_directory.failure("starting Postgres", status.to_string()));
        }
        sleep(pause).await;
        pause = (pause * 5 / 4).min(LONGEST_PAUSE);
    }
    Err(data_directory.failure("starting Postgres", format!("not ready after {} s", TIME_LIMIT.as_secs())))
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PrivatePostgresError {
    move |error| PrivatePostgresError::Io { doing, path: path.to_owned(), error }
}

#[cfg(test)]
mod tests;
