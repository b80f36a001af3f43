//! Standard output of commands.

use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;

use chrono::{DateTime, SecondsFormat, Utc};
use rustix::fs::fstat;

use super::Failure;

/// Writing to standard output failed.
#[derive(Debug, thiserror::Error)]
#[error("standard output can't be written: {0}")]
struct OutputError(io::Error);

/// Prints a line to standard output.
///
/// # Errors
/// If it can't be written, for example to a full disk or a closed pipe.
pub(super) fn print_line(text: &str) -> Result<(), Failure> {
    writeln!(io::stdout(), "{text}").map_err(|error| OutputError(error).into())
}

/// Returns `true` if the failure is a broken pipe: the reader has closed it.
pub(super) fn is_broken_pipe(failure: &Failure) -> bool {
    failure
        .downcast_ref::<OutputError>()
        .is_some_and(|OutputError(error)| error.kind() == ErrorKind::BrokenPipe)
}

/// Returns `true` if standard output is `/dev/null`, which Rust also opens if it was closed at the program's start.
pub(super) fn is_dev_null() -> bool {
    let Ok(null) = std::fs::metadata("/dev/null") else { return false };
    fstat(io::stdout()).is_ok_and(|found| found.st_rdev == null.rdev())
}

/// A time as RFC 3339, to the second.
pub(super) fn to_seconds(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
