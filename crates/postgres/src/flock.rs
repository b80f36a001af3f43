//! File locks by `flock(2)`: child processes inherit them, and the kernel releases them with their last holder.

use std::fs::File;
use std::io;

use rustix::fs::{FlockOperation, flock};

/// Tries to lock exclusively. `false`: another process holds the lock.
pub(super) fn exclusive(file: &File) -> io::Result<bool> {
    attempt(file, FlockOperation::NonBlockingLockExclusive)
}

/// Tries to lock shared. `false`: another process holds the lock exclusively.
pub(super) fn shared(file: &File) -> io::Result<bool> {
    attempt(file, FlockOperation::NonBlockingLockShared)
}

/// From exclusive to shared. Not by `File::lock_shared`, which leaves unspecified what locking twice does.
pub(super) fn downgrade(file: &File) -> io::Result<()> {
    Ok(flock(file, FlockOperation::LockShared)?)
}

fn attempt(file: &File, operation: FlockOperation) -> io::Result<bool> {
    match flock(file, operation) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
