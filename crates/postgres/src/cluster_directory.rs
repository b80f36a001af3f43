//! The cluster's folder (`PGDATA`), the files beside it, and its creation by `initdb`.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::account::Account;
use super::binaries::Binaries;
use super::{DATABASE, PrivatePostgresError, ROLE, failed, flock};

/// Home of clusters that root runs, when the account of Postgres may not enter the actual home.
pub(super) const SHARED_HOME: &str = "/var/lib/dualauth";
const LOG_LINES_SHOWN: usize = 8;

#[derive(Debug)]
pub(super) struct DataDirectory {
    pub(super) path: PathBuf,
    pub(super) account: Account,
}

impl DataDirectory {
    /// `home/postgres`, or the target of that link.
    pub(super) async fn locate(home: &Path) -> Result<DataDirectory, PrivatePostgresError> {
        let link = home.join("postgres");
        let account = Account::for_cluster(&link);
        if account.switches_user() && !link.exists() && !account.can_enter(home).await {
            link_to_shared_home(&link)?;
        }
        let path = link.canonicalize().or_else(|_| link_target(&link)).unwrap_or(link);
        Ok(DataDirectory { path, account })
    }

    /// The major version of Postgres that created it. `None`: it does not exist yet.
    pub(super) fn version(&self) -> Result<Option<u32>, PrivatePostgresError> {
        let path = self.version_path();
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let unreadable = |_| failed("reading", &path)(ErrorKind::InvalidData.into());
                text.trim().parse().map(Some).map_err(unreadable)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("reading", &path)(error)),
        }
    }

    /// Creates it under another name first, so that a crash midway leaves nothing that looks like a cluster.
    pub(super) async fn create(
        &self,
        binaries: &Binaries,
        settings: &[(&str, &str)],
        lock: &File,
        log: &File,
    ) -> Result<(), PrivatePostgresError> {
        let new = self.sibling_path("new");
        remove_tree(&new).map_err(failed("removing", &new))?;
        DirBuilder::new().mode(0o700).create(&new).map_err(failed("creating", &new))?;
        self.account.chown(&new).map_err(failed("changing the owner of", &new))?;

        let mut initdb = self.account.command(binaries.initdb());
        initdb.args(["--encoding=UTF8", "--no-locale", "--auth=trust", "--username", ROLE]);
        if settings.contains(&("fsync", "off")) {
            initdb.arg("--no-sync");
        }
        initdb.arg("--pgdata").arg(&new);
        self.run("creating the cluster by initdb", initdb, lock, log).await?;

        let mut postgres = self.account.command("/bin/sh");
        postgres.args(["-c", r#"echo "CREATE DATABASE $0" | "$@""#, DATABASE]).arg(binaries.postgres());
        postgres.args(["--single", "-j", "-c", "exit_on_error=on", "-D"]).arg(&new).arg("template1");
        self.run("creating the database", postgres, lock, log).await?;

        std::fs::rename(&new, &self.path).map_err(failed("renaming", &new))
    }

    /// Runs a command that inherits the lock as its standard input: if this process is killed, the next start waits for it.
    async fn run(
        &self,
        doing: &'static str,
        mut command: Command,
        lock: &File,
        log: &File,
    ) -> Result<(), PrivatePostgresError> {
        let mut spawn = || {
            command.stdin(lock.try_clone()?).stdout(log.try_clone()?).stderr(log.try_clone()?);
            command.kill_on_drop(true).spawn()
        };
        let mut child = spawn().map_err(failed(doing, &self.path))?;
        let status = child.wait().await.map_err(failed(doing, &self.path))?;
        if status.success() { Ok(()) } else { Err(self.failure(doing, status.to_string())) }
    }

    pub(super) fn open_lock(&self) -> Result<File, PrivatePostgresError> {
        let path = self.lock_path();
        OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(failed("opening", &path))
    }

    /// Takes the lock that Postgres holds while it runs. `None`: it is running.
    pub(super) fn try_lock(&self) -> Result<Option<File>, PrivatePostgresError> {
        let path = self.version_path();
        let file = File::open(&path).map_err(failed("opening", &path))?;
        let is_locked = flock::exclusive(&file).map_err(failed("locking", &path))?;
        Ok(is_locked.then_some(file))
    }

    pub(super) fn is_running(&self) -> Result<bool, PrivatePostgresError> {
        Ok(self.try_lock()?.is_none())
    }

    pub(super) fn postmaster_pid(&self) -> Option<i32> {
        let text = std::fs::read_to_string(self.path.join("postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    /// Creates a new log, and keeps the previous one as `postgres.log.old`.
    pub(super) fn start_log(&self) -> Result<File, PrivatePostgresError> {
        let path = self.log_path();
        let _ = std::fs::rename(&path, self.sibling_path("log.old"));
        OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(failed("opening", &path))
    }

    pub(super) fn failure(&self, doing: &'static str, how: String) -> PrivatePostgresError {
        let log = self.log_path();
        let text = std::fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        let log_end = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
        PrivatePostgresError::Postgres { doing, how, log, log_end }
    }

    pub(super) fn lock_path(&self) -> PathBuf {
        self.sibling_path("lock")
    }

    pub(super) fn fifo_path(&self) -> PathBuf {
        self.sibling_path("fifo")
    }

    fn log_path(&self) -> PathBuf {
        self.sibling_path("log")
    }

    fn version_path(&self) -> PathBuf {
        self.path.join("PG_VERSION")
    }

    fn sibling_path(&self, extension: &str) -> PathBuf {
        self.path.with_extension(extension)
    }
}

/// The first 48 bits of SHA-256 in hexadecimal: stable between builds and versions of Rust, unlike the standard library's hash.
pub(super) fn short_hash(path: &Path) -> String {
    let hash = Sha256::digest(path.as_os_str().as_bytes());
    let bytes = hash.iter().take(6).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{bytes:012x}")
}

fn link_to_shared_home(link: &Path) -> Result<(), PrivatePostgresError> {
    let target = Path::new(SHARED_HOME).join(short_hash(link));
    // Even if the link exists: it may have been copied to a machine where its target is missing.
    std::fs::create_dir_all(&target).map_err(failed("creating", &target))?;
    for directory in [Path::new(SHARED_HOME), &target] {
        // Independent of the umask: another account has to enter it.
        let passable = Permissions::from_mode(0o755);
        std::fs::set_permissions(directory, passable).map_err(failed("opening", directory))?;
    }
    match symlink(target.join("postgres"), link) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed("linking", link)(error)),
        _ => Ok(()),
    }
}

fn link_target(link: &Path) -> io::Result<PathBuf> {
    Ok(link.with_file_name(std::fs::read_link(link)?))
}

fn remove_tree(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
