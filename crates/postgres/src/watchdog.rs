//! The watchdog: an `sh` script that runs Postgres, and stops it when the last program that uses it has exited.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{OFlags, fcntl_setfl};
use tokio::process::{Child, Command};

use super::binaries::Binaries;
use super::cluster_directory::DataDirectory;
use super::{PrivatePostgresError, failed, socket_settings_and_url};

/// Standard input is the read end of the pipe, standard output the lock that only Postgres shall hold. HUP, INT and TERM are
/// ignored: a terminal or a service manager that sends them to the whole group means the program, which may still need
/// Postgres. SIGINT is Postgres' fast shutdown. It is repeated, since one that arrives before Postgres handles it is lost.
const SCRIPT: &str = r#"
exec 3<&0 </dev/null
trap '' HUP INT TERM
"$@" 3<&- &
postgres=$!
exec >&2
{
    while read -r _; do :; done <&3
    exec 3<&-
    while kill -INT "$postgres"; do sleep 1; done
} 2>/dev/null &
watch=$!
exec 3<&-
wait "$postgres"
status=$?
kill -KILL "$watch"
exit "$status"
"#;

/// Starts the watchdog with Postgres. Returns it with the write end of the pipe: Postgres runs while a program holds one.
pub(super) async fn start(
    binaries: &Binaries,
    data_directory: &DataDirectory,
    socket_directory: &Path,
    settings: &[(&str, &str)],
    running: File,
    log: &File,
) -> Result<(Child, File), PrivatePostgresError> {
    let path = data_directory.fifo_path();
    let (reader, writer) = open_both_ends(&path).await.map_err(failed("creating the pipe", &path))?;
    let mut command = data_directory.account.command("/bin/sh");
    command
        .args(["-c", SCRIPT, "dualauth-postgres"])
        .arg(binaries.postgres())
        .arg("-D")
        .arg(&data_directory.path);
    for (name, value) in settings {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    // After the caller's settings: the last value of a setting wins.
    for setting in socket_settings_and_url::settings(socket_directory) {
        command.arg("-c").arg(setting);
    }
    if let Some(pid) = data_directory.postmaster_pid() {
        // We hold the cluster's lock, so the process that wrote this pid is dead. Postgres would take another process that has
        // the pid since then for a running postmaster, unless told here to ignore it. It still checks the shared memory.
        command.env("PG_GRANDPARENT_PID", pid.to_string());
    }
    let log = log.try_clone().map_err(failed("duplicating", &data_directory.path))?;
    command.stdin(reader).stdout(running).stderr(log).process_group(0);
    let child = command.spawn().map_err(failed("starting", &binaries.postgres()))?;
    Ok((child, writer))
}

/// Opens the write end of the pipe. Fails if no process has it open for reading.
pub(super) fn open_for_writing(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).custom_flags(non_blocking()).open(path)
}

pub(super) fn has_reader(mut keep_alive: &File) -> bool {
    keep_alive.write_all(b"\n").is_ok()
}

/// Creates a new pipe, since an old one may still have a reader, and opens both ends.
async fn open_both_ends(path: &Path) -> io::Result<(File, File)> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // By the command, because rustix has no `mkfifo` on macOS.
    let status = Command::new("mkfifo").args(["-m", "600"]).arg(path).status().await?;
    if !status.success() {
        return Err(io::Error::other(format!("mkfifo: {status}")));
    }
    let reader = OpenOptions::new().read(true).custom_flags(non_blocking()).open(path)?;
    let writer = open_for_writing(path)?;
    fcntl_setfl(&reader, OFlags::empty())?;
    Ok((reader, writer))
}

/// Without this flag, opening one end blocks until the other is open.
fn non_blocking() -> i32 {
    OFlags::NONBLOCK.bits().cast_signed()
}
