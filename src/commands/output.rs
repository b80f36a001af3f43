//! Standard output, where a command says what came of it.

use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;

use rustix::fs::{OFlags, fcntl_getfl, fstat};

use super::Failure;

/// What was to be said was not.
#[derive(Debug, thiserror::Error)]
#[error("standard output can't be written: {0}")]
struct Unsaid(io::Error);

/// Says it, with a line's end behind it.
///
/// # Errors
/// When it can't be written: the disk is full, or nobody reads it.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    writeln!(io::stdout(), "{text}").map_err(|error| Unsaid(error).into())
}

/// Whether whoever read it has read enough.
pub(super) fn is_no_longer_read(failure: &Failure) -> bool {
    failure.downcast_ref::<Unsaid>().is_some_and(|Unsaid(error)| error.kind() == ErrorKind::BrokenPipe)
}

/// Whether it was closed when the program began. Rust has opened `/dev/null` in its place then, to read and to write, which a
/// shell's `>/dev/null` does not.
pub(super) fn is_closed() -> bool {
    let stdout = io::stdout();
    let Ok(null) = std::fs::metadata("/dev/null") else { return false };
    let is_null =
        fstat(&stdout).is_ok_and(|found| found.st_rdev == null.rdev() && found.st_ino == null.ino());
    is_null && fcntl_getfl(&stdout).is_ok_and(|flags| flags.contains(OFlags::RDWR))
}
