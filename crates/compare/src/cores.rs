//! CPU affinity: servers run on one half of the cores, the load generator and Postgres on the other.

use std::thread;

use super::CompareError;

/// Runs work on a thread of its own, so that pinning to cores does not affect the caller's thread.
///
/// # Errors
/// The error of the work, and [`CompareError::Generator`] when it panics.
pub(super) fn run_on_own_thread<T: Send>(
    work: impl FnOnce() -> Result<T, CompareError> + Send,
) -> Result<T, CompareError> {
    thread::scope(|scope| scope.spawn(work).join().map_err(|_| CompareError::Generator)?)
}

/// Core numbers by purpose. The load generator and Postgres never share a core with a server, if there is more than one core.
#[derive(Clone, Debug)]
pub(super) struct Cores {
    /// The first half, at least one.
    pub(super) servers: Vec<usize>,
    /// The second half. With a single core, the same one.
    pub(super) load: Vec<usize>,
}

impl Cores {
    /// Splits the cores that this process may use.
    pub(super) fn split() -> Self {
        let all = available_cores();
        let (servers, load) = all.split_at(all.len().div_ceil(2));
        let load = if load.is_empty() { servers } else { load };
        Self { servers: servers.to_vec(), load: load.to_vec() }
    }

    /// Pins this thread, and threads and processes that it starts from now on, to the cores of the load.
    pub(super) fn pin_load(&self) {
        pin_to(&self.load);
    }

    /// Runs work on a thread that is pinned to one server core, which a process started there inherits. `None`: it panicked.
    pub(super) fn on_server_core<T: Send>(
        &self,
        number: usize,
        work: impl FnOnce() -> T + Send,
    ) -> Option<T> {
        let core = self.servers[number % self.servers.len()];
        let pinned = || {
            pin_to(&[core]);
            work()
        };
        thread::scope(|scope| scope.spawn(pinned).join().ok())
    }
}

#[cfg(target_os = "linux")]
fn available_cores() -> Vec<usize> {
    use rustix::thread::{CpuSet, sched_getaffinity};
    let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect();
    if cores.is_empty() { vec![0] } else { cores }
}

/// Best effort: without affinity the kernel schedules freely, and intervals become wider.
#[cfg(target_os = "linux")]
fn pin_to(cores: &[usize]) {
    let mut set = rustix::thread::CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    let _ = rustix::thread::sched_setaffinity(None, &set);
}

#[cfg(not(target_os = "linux"))]
fn available_cores() -> Vec<usize> {
    (0..thread::available_parallelism().map_or(1, std::num::NonZero::get)).collect()
}

#[cfg(not(target_os = "linux"))]
fn pin_to(_: &[usize]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_s_core_is_left_out() {
        let cores = Cores::split();
        assert!(!cores.servers.is_empty() && !cores.load.is_empty());
        assert_eq!(cores.on_server_core(7, || 1), Some(1));
    }
}
