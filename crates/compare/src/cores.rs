//! Which cores are whose: servers on some, the load and Postgres on the others.

use std::thread;

use super::CompareError;

/// Does something where cores may be chosen: whose thread this is keeps theirs.
///
/// # Errors
/// What it gives, and [`CompareError::GeneratorLimit`] when it panics.
pub(super) fn run_on_own_thread<T: Send>(
    work: impl FnOnce() -> Result<T, CompareError> + Send,
) -> Result<T, CompareError> {
    thread::scope(|scope| scope.spawn(work).join().map_err(|_| CompareError::Generator)?)
}

/// Who runs where. Requests are made and Postgres runs beside the servers, never in their place.
#[derive(Clone, Debug)]
pub(super) struct Cores {
    /// The first half, one at least.
    pub(super) servers: Vec<usize>,
    /// The others. On a machine with a single core, the same.
    pub(super) load: Vec<usize>,
}

impl Cores {
    /// Of this machine, as far as this process may use them.
    pub(super) fn split() -> Self {
        let all = available_cores();
        let (servers, load) = all.split_at(all.len().div_ceil(2));
        let load = if load.is_empty() { servers } else { load };
        Self { servers: servers.to_vec(), load: load.to_vec() }
    }

    /// Keeps this thread, and what it starts from now on, to the cores that are for the load.
    pub(super) fn pin_load(&self) {
        pin_to(&self.load);
    }

    /// Does something on the core of a server, so that a process that is started there stays there. `None`: it panicked.
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

/// Where that can't be done the kernel decides, and the intervals tell how much it mattered.
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
