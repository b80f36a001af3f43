//! Which version this is, and which commit the program was built from.

use std::sync::{LazyLock, OnceLock};

/// The package's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Told by the program: were it compiled in here, each commit would have everything built again.
static COMMIT: OnceLock<&str> = OnceLock::new();

/// Says which commit the program was built from, before anybody asks. Only the first time counts.
pub fn set_commit(commit: &'static str) {
    let _ = COMMIT.set(commit);
}

/// The commit's full name in hexadecimal digits, or `unknown`.
pub fn commit() -> &'static str {
    COMMIT.get().unwrap_or(&"unknown")
}

/// Both, as in `1.2.3 (3f786850e387550fdab836ed7e6dc881de23001b)`.
pub fn with_commit() -> &'static str {
    static BOTH: LazyLock<String> = LazyLock::new(|| format!("{VERSION} ({})", commit()));
    &BOTH
}
