//! What the compiler has to know: that queries are checked without a database, and where it is written which commit this is.

#![expect(clippy::print_stdout, reason = "this is how Cargo is told")]

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    // Against .sqlx, whatever database DATABASE_URL or .env name. `scripts/queries` goes past it.
    println!("cargo::rustc-env=SQLX_OFFLINE=true");

    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let log = match git_folder(&root).map(|git| (log_of(&root, &git), git)) {
        Some((Some(log), _)) => log,
        Some((None, git)) => write_log(&checked_out(&root, &git).unwrap_or_default())?,
        None => write_log(&packaged(&root).unwrap_or_default())?,
    };
    println!("cargo::rustc-env=HEAD_LOG={}", log.display());
    Ok(())
}

/// Where git keeps what it knows of this checkout. Not of one around it: there, this is only a part of something else.
fn git_folder(root: &Path) -> Option<PathBuf> {
    let git = root.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    // A worktree or a submodule has a file that names it.
    let named = fs::read_to_string(&git).ok()?;
    println!("cargo::rerun-if-changed=.git");
    Some(root.join(named.strip_prefix("gitdir:")?.trim()))
}

/// What git writes down of each commit that is checked out or made, as `src/commit.rs` names it. The build need not run anew
/// when it changes: the compiler looks.
fn log_of(root: &Path, git: &Path) -> Option<PathBuf> {
    let log = git.join("logs/HEAD");
    let is_empty = fs::metadata(&log).ok()?.len() == 0;
    // As seen from there: whoever moves or copies the checkout takes it along.
    let relative = log.strip_prefix(root).map(|path| Path::new("..").join(path));
    (!is_empty).then(|| relative.unwrap_or(log))
}

/// Asks git itself, which may have been told to keep no such log. References may be in a file each, or in one together.
fn checked_out(root: &Path, git: &Path) -> Option<String> {
    let common = fs::read_to_string(git.join("commondir"));
    let common = common.map_or_else(|_| git.to_owned(), |path| git.join(path.trim()));
    for path in [git.join("HEAD"), common.join("refs/heads"), common.join("packed-refs")] {
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    let asked =
        Command::new("git").args(["rev-parse", "--verify", "HEAD"]).current_dir(root).output().ok()?;
    String::from_utf8(asked.stdout).ok().filter(|_| asked.status.success())
}

/// The commit that `cargo package` has written down: `"sha1": "…"`.
fn packaged(root: &Path) -> Option<String> {
    let written = fs::read_to_string(root.join(".cargo_vcs_info.json")).ok()?;
    let (_, rest) = written.split_once("\"sha1\"")?;
    rest.split('"').nth(1).map(str::to_owned)
}

/// As git would write it.
fn write_log(commit: &str) -> Result<PathBuf, Box<dyn Error>> {
    let log = Path::new(&env::var("OUT_DIR")?).join("HEAD");
    fs::write(&log, format!(" {}\n", commit.trim()))?;
    Ok(log)
}
