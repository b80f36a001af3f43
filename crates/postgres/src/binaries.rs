//! Finds Postgres' binaries. `scripts/postgres` searches the same directories.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::PrivatePostgresError;
use super::account::Account;
use super::cluster_directory::{DataDirectory, SHARED_HOME};

#[derive(Debug)]
pub(super) struct Binaries {
    directory: PathBuf,
}

impl Binaries {
    pub(super) async fn find_any(home: &Path, account: Account) -> Result<Binaries, PrivatePostgresError> {
        for directory in candidate_directories(home, account) {
            if version(&directory, account).await.is_some() {
                return Ok(Binaries { directory });
            }
        }
        Err(PrivatePostgresError::NoBinaries)
    }

    /// Finds the binaries of a major version: a cluster is readable by its own only.
    pub(super) async fn of_version(
        wanted: u32,
        home: &Path,
        data_directory: &DataDirectory,
    ) -> Result<Binaries, PrivatePostgresError> {
        for directory in candidate_directories(home, data_directory.account) {
            if version(&directory, data_directory.account).await == Some(wanted) {
                return Ok(Binaries { directory });
            }
        }
        Err(PrivatePostgresError::NoBinariesOfVersion {
            data_directory: data_directory.path.clone(),
            version: wanted,
        })
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.directory.join("initdb")
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.directory.join("postgres")
    }
}

/// Whether there are binaries of any version, for a cluster that is still to be created below `home`.
pub(super) fn are_installed(home: &Path) -> bool {
    !candidate_directories(home, Account::for_cluster(&home.join("postgres"))).is_empty()
}

fn candidate_directories(home: &Path, account: Account) -> Vec<PathBuf> {
    let mut candidate_directories: Vec<PathBuf> = std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .filter_map(|directory| std::path::absolute(directory).ok())
        .collect();
    candidate_directories.extend(newest_first("/usr/lib/postgresql", ""));
    candidate_directories.extend(newest_first("/opt/homebrew/opt", "postgresql"));
    candidate_directories.extend(newest_first("/usr/local/opt", "postgresql"));
    candidate_directories.extend(newest_first("/Applications/Postgres.app/Contents/Versions", ""));
    candidate_directories.push(home.join("pgsql/bin"));
    if account.switches_user() {
        candidate_directories.push(Path::new(SHARED_HOME).join("pgsql/bin"));
    }
    candidate_directories
        .retain(|directory| directory.join("initdb").is_file() && directory.join("postgres").is_file());
    candidate_directories
}

/// The `bin` directories below `parent`, such as `15/bin` or `postgresql@16/bin`, with the newest version first.
fn newest_first(parent: &str, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let number = name.strip_prefix(prefix)?.trim_start_matches('@').parse().unwrap_or(0);
            Some((number, entry.path().join("bin")))
        })
        .collect();
    found.sort_by_key(|(number, _)| Reverse(*number));
    found.into_iter().map(|(_, directory)| directory).collect()
}

/// The major version of the binaries. `None`: there are none, or the account may not run them.
async fn version(directory: &Path, account: Account) -> Option<u32> {
    let mut command = account.command(directory.join("postgres"));
    command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().await.ok()?;
    major(std::str::from_utf8(&output.stdout).ok()?)
}

/// The major version in `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)`, or in `… 19beta1`.
fn major(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(2)?;
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn the_major_version_is_read_from_what_postgres_prints() {
        assert_eq!(major("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18devel\n"), Some(18));
        assert_eq!(major("something else"), None);
    }
}
