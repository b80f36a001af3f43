//! Standard output, where a command says what came of it.

use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;

use rustix::fs::fstat;

use super::Failure;

/// What was to be said was not.
#[derive(Debug, thiserror::Error)]
#[error("standard output can't be written: {0}")]
struct OutputError(io::Error);

/// Says it, with a line's end behind it.
///
/// # Errors
/// When it can't be written: the disk is full, or nobody reads it.
pub(super) fn print_line(text: &str) -> Result<(), Failure> {
    writeln!(io::stdout(), "{text}").map_err(|error| OutputError(error).into())
}

/// Whether whoever read it has read enough.
pub(super) fn is_broken_pipe(failure: &Failure) -> bool {
    failure
        .downcast_ref::<OutputError>()
        .is_some_and(|OutputError(error)| error.kind() == ErrorKind::BrokenPipe)
}

/// Whether it leads nowhere: to `/dev/null`, which Rust also opens in its place when it was closed as the program began.
pub(super) fn is_dev_null() -> bool {
    let Ok(null) = std::fs::metadata("/dev/null") else { return false };
    fstat(io::stdout()).is_ok_and(|found| found.st_rdev == null.rdev())
}
