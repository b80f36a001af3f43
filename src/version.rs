//! The version of the program, and the Git commit it was built from.

use std::sync::{LazyLock, OnceLock};

/// The package's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Set by `main`: a commit compiled into the library would have the library rebuilt at every commit.
static COMMIT: OnceLock<&str> = OnceLock::new();

/// Sets the commit, once, before it is read.
pub fn set_commit(commit: &'static str) {
    let _ = COMMIT.set(commit);
}

/// The commit's full hash in hexadecimal, or `unknown`.
pub fn commit() -> &'static str {
    COMMIT.get().unwrap_or(&"unknown")
}

/// Version and commit, as in `1.2.3 (3f786850e387550fdab836ed7e6dc881de23001b)`.
pub fn with_commit() -> &'static str {
    static BOTH: LazyLock<String> = LazyLock::new(|| format!("{VERSION} ({})", commit()));
    &BOTH
}
