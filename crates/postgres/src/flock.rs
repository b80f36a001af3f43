//! Locks that the kernel drops with their last holder, and that children inherit (`flock`).

use std::fs::File;
use std::io;

use rustix::fs::{FlockOperation, flock};

/// `false`: another has it.
pub(super) fn exclusive(file: &File) -> io::Result<bool> {
    attempt(file, FlockOperation::NonBlockingLockExclusive)
}

/// `false`: another has it exclusively.
pub(super) fn shared(file: &File) -> io::Result<bool> {
    attempt(file, FlockOperation::NonBlockingLockShared)
}

/// From exclusive to shared. `std` leaves open what locking twice does.
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
