//! Build script: has SQL checked offline, and finds the Git commit that is built.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    // sqlx's macros check queries against .sqlx, not the database in DATABASE_URL. `scripts/queries` overrides this.
    println!("cargo::rustc-env=SQLX_OFFLINE=true");

    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let log = match git_folder(&root).map(|git| (reflog(&root, &git), git)) {
        Some((Some(log), _)) => log,
        Some((None, git)) => write_reflog(&head_commit(&root, &git).unwrap_or_default())?,
        None => write_reflog(&packaged_commit(&root).unwrap_or_default())?,
    };
    println!("cargo::rustc-env=HEAD_REFLOG={}", log.display());
    Ok(())
}

/// The Git directory of this checkout. Not one of a parent folder: that repository vendors this one.
fn git_folder(root: &Path) -> Option<PathBuf> {
    let git = root.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    // In a worktree or submodule, .git is a file with the path.
    let named = fs::read_to_string(&git).ok()?;
    println!("cargo::rerun-if-changed=.git");
    Some(root.join(named.strip_prefix("gitdir:")?.trim()))
}

/// The reflog of HEAD, as a path for `src/commit.rs`. No `rerun-if-changed`: the compiler tracks the included file.
fn reflog(root: &Path, git: &Path) -> Option<PathBuf> {
    let log = git.join("logs/HEAD");
    let is_empty = fs::metadata(&log).ok()?.len() == 0;
    // Relative to src, so that a moved or copied checkout reads its own.
    let relative = log.strip_prefix(root).map(|path| Path::new("..").join(path));
    (!is_empty).then(|| relative.unwrap_or(log))
}

/// For repositories without a reflog (`core.logAllRefUpdates`). Branches are files below refs/heads, or lines of packed-refs.
fn head_commit(root: &Path, git: &Path) -> Option<String> {
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

/// The commit in a crate made by `cargo package`: `"sha1": "…"`.
fn packaged_commit(root: &Path) -> Option<String> {
    let written = fs::read_to_string(root.join(".cargo_vcs_info.json")).ok()?;
    let (_, rest) = written.split_once("\"sha1\"")?;
    rest.split('"').nth(1).map(str::to_owned)
}

/// A reflog with this commit alone.
fn write_reflog(commit: &str) -> Result<PathBuf, Box<dyn Error>> {
    let log = Path::new(&env::var("OUT_DIR")?).join("HEAD");
    fs::write(&log, format!(" {}\n", commit.trim()))?;
    Ok(log)
}
