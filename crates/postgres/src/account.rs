//! The account that Postgres runs as. Postgres refuses to run as root, so root switches to an unprivileged account.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

const NOBODY: (u32, u32) = (65_534, 65_534);

#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    /// Uid and gid to switch to. `None`: the account of this process.
    switch_to: Option<(u32, u32)>,
}

impl Account {
    /// Root runs an existing cluster as its owner, a new one as `postgres` or `nobody`.
    pub(super) fn for_cluster(data_directory: &Path) -> Account {
        if !rustix::process::geteuid().is_root() {
            return Account { switch_to: None };
        }
        let ids = unprivileged_owner(data_directory)
            .or_else(|| passwd_entry("postgres"))
            .or_else(|| passwd_entry("nobody"))
            .unwrap_or(NOBODY);
        Account { switch_to: Some(ids) }
    }

    /// A command under this account. It does not inherit the working directory, which the account may be unable to enter, nor
    /// the environment, which may contain secrets and settings for another Postgres.
    pub(super) fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").env_clear().env("LC_ALL", "C");
        for name in ["PATH", "TZ", "LD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some((uid, gid)) = self.switch_to {
            command.uid(uid).gid(gid);
        }
        command
    }

    pub(super) fn uid(self) -> u32 {
        self.switch_to.map_or_else(|| rustix::process::geteuid().as_raw(), |(uid, _)| uid)
    }

    pub(super) fn chown(self, path: &Path) -> io::Result<()> {
        self.switch_to.map_or(Ok(()), |(uid, gid)| chown(path, Some(uid), Some(gid)))
    }

    pub(super) fn switches_user(self) -> bool {
        self.switch_to.is_some()
    }

    /// Whether the account can enter a directory. Tried with a process, since only the kernel knows all rules (ACLs, mounts).
    pub(super) async fn can_enter(self, directory: &Path) -> bool {
        let mut command = self.command("/bin/sh");
        command.args(["-c", r#"cd "$1""#, "sh"]).arg(directory).stdin(Stdio::null()).stderr(Stdio::null());
        command.status().await.is_ok_and(|status| status.success())
    }
}

fn unprivileged_owner(path: &Path) -> Option<(u32, u32)> {
    let metadata = path.metadata().ok()?;
    (metadata.uid() != 0).then_some((metadata.uid(), metadata.gid()))
}

fn passwd_entry(name: &str) -> Option<(u32, u32)> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        Some((id(fields.nth(1)?)?, id(fields.next()?)?))
    })
}

/// macOS writes the ids of `nobody` as -2.
fn id(field: &str) -> Option<u32> {
    field.parse().ok().or_else(|| field.parse::<i32>().ok().map(i32::cast_unsigned))
}
