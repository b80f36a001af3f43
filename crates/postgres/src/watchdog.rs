//! The small `sh` between us and Postgres: it stops Postgres when the last program that uses it is gone.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{OFlags, fcntl_setfl};
use tokio::process::{Child, Command};

use super::binaries::Binaries;
use super::cluster::Cluster;
use super::{PrivatePostgresError, failed, socket};

/// Input is the pipe's reading end, output the lock that only Postgres shall keep. The signals are ignored because
/// whoever sends one to everybody (a terminal, a service manager) means us, and we may still need Postgres. SIGINT is
/// Postgres' fast shutdown; it is repeated, since one that comes before Postgres listens to it is lost.
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

/// Returns it with the pipe's writing end: while a program holds that, Postgres runs.
pub(super) async fn start(
    binaries: &Binaries,
    cluster: &Cluster,
    socket_directory: &Path,
    settings: &[(&str, &str)],
    running: File,
    log: &File,
) -> Result<(Child, File), PrivatePostgresError> {
    let path = cluster.fifo_path();
    let (reader, writer) = open_both_ends(&path).await.map_err(failed("making the pipe", &path))?;
    let mut command = cluster.account.command("/bin/sh");
    command
        .args(["-c", SCRIPT, "dualauth-postgres"])
        .arg(binaries.postgres())
        .arg("-D")
        .arg(&cluster.directory);
    for (name, value) in settings {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    // Last, since the last one counts.
    for setting in socket::settings(socket_directory) {
        command.arg("-c").arg(setting);
    }
    if let Some(pid) = cluster.postmaster_pid() {
        // Nobody holds the cluster's lock, so what wrote this number is dead. Postgres takes another process that got
        // the number since for a living postmaster, unless told so; the shared memory it still checks by itself.
        command.env("PG_GRANDPARENT_PID", pid.to_string());
    }
    let log = log.try_clone().map_err(failed("duplicating", &cluster.directory))?;
    command.stdin(reader).stdout(running).stderr(log).process_group(0);
    let child = command.spawn().map_err(failed("starting", &binaries.postgres()))?;
    Ok((child, writer))
}

/// Fails when nobody reads it.
pub(super) fn open_for_writing(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).custom_flags(non_blocking()).open(path)
}

pub(super) fn has_reader(mut keep_alive: &File) -> bool {
    keep_alive.write_all(b"\n").is_ok()
}

/// A new one each time: an old one may still have a reader.
async fn open_both_ends(path: &Path) -> io::Result<(File, File)> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The command, because macOS has no call that rustix could make for it.
    let status = Command::new("mkfifo").args(["-m", "600"]).arg(path).status().await?;
    if !status.success() {
        return Err(io::Error::other(format!("mkfifo: {status}")));
    }
    let reader = OpenOptions::new().read(true).custom_flags(non_blocking()).open(path)?;
    let writer = open_for_writing(path)?;
    fcntl_setfl(&reader, OFlags::empty())?;
    Ok((reader, writer))
}

/// Else opening one end waits for the other.
fn non_blocking() -> i32 {
    OFlags::NONBLOCK.bits().cast_signed()
}
