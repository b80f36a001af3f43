//! CPU time and memory of processes, from `/proc`. On systems other than Linux nothing is known.

use std::collections::HashMap;
use std::time::Duration;

#[cfg(target_os = "linux")]
use procfs::process::{Process, all_processes};
use rustix::time::{ClockId, clock_gettime};

/// CPU time of processes by pid, in nanoseconds.
pub(super) type Cpu = HashMap<u32, u64>;

/// The children of each process, by pid, at a moment.
pub(super) struct ProcessSnapshot(HashMap<u32, Vec<u32>>);

impl ProcessSnapshot {
    /// Takes a snapshot of all processes. `None`: unsupported system.
    pub(super) fn snapshot() -> Option<Self> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for (pid, parent) in pids_with_parent()? {
            children.entry(parent).or_default().push(pid);
        }
        Some(Self(children))
    }

    /// CPU time of a process and its descendants. One that has exited since the snapshot counts as zero.
    pub(super) fn cpu_of_tree(&self, root: u32) -> Cpu {
        let tree = self.tree(root).into_iter();
        tree.map(|pid| (pid, cpu_of_process(pid).unwrap_or_default())).collect()
    }

    /// Memory of a process and its descendants, in bytes, with a proportional share of shared pages (PSS).
    pub(super) fn memory_of_tree(&self, root: u32) -> u64 {
        self.tree(root).into_iter().filter_map(memory_of_process).sum()
    }

    fn tree(&self, root: u32) -> Vec<u32> {
        let mut found = vec![root];
        let mut at = 0;
        while let Some(pid) = found.get(at) {
            found.extend(self.0.get(pid).into_iter().flatten());
            at += 1;
        }
        found
    }
}

/// CPU time of the calling thread.
pub(super) fn cpu_of_this_thread() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(used.tv_sec.unsigned_abs(), u32::try_from(used.tv_nsec).unwrap_or_default())
}

#[cfg(target_os = "linux")]
fn pids_with_parent() -> Option<impl Iterator<Item = (u32, u32)>> {
    let parent = |process: Process| parent_in(&process).map(|parent| (process.pid().unsigned_abs(), parent));
    Some(all_processes().ok()?.flatten().filter_map(parent))
}

#[cfg(target_os = "linux")]
fn parent_in(process: &Process) -> Option<u32> {
    process.stat().ok()?.ppid.try_into().ok()
}

#[cfg(target_os = "linux")]
fn process(pid: u32) -> Option<Process> {
    Process::new(pid.try_into().ok()?).ok()
}

/// The parent's pid. `None`: the process has exited, or the system is unsupported.
#[cfg(target_os = "linux")]
pub(super) fn parent_of(pid: u32) -> Option<u32> {
    parent_in(&process(pid)?)
}

/// In nanoseconds, from `schedstat` (proc_pid_schedstat(5)): `stat` counts in ticks, which is too coarse.
#[cfg(target_os = "linux")]
fn cpu_of_process(pid: u32) -> Option<u64> {
    let threads = process(pid)?.tasks().ok()?.flatten();
    Some(threads.filter_map(|thread| thread.schedstat().ok()).map(|thread| thread.sum_exec_runtime).sum())
}

/// Proportional set size (PSS), in bytes.
#[cfg(target_os = "linux")]
fn memory_of_process(pid: u32) -> Option<u64> {
    let rollup = process(pid)?.smaps_rollup().ok()?.memory_map_rollup;
    rollup.into_iter().next()?.extension.map.get("Pss").copied()
}

#[cfg(not(target_os = "linux"))]
fn pids_with_parent() -> Option<std::iter::Empty<(u32, u32)>> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(super) fn parent_of(_: u32) -> Option<u32> {
    None
}

#[cfg(not(target_os = "linux"))]
fn cpu_of_process(_: u32) -> Option<u64> {
    None
}

#[cfg(not(target_os = "linux"))]
fn memory_of_process(_: u32) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_process_and_its_children_use_is_counted() {
        let busy = || {
            let mut child = std::process::Command::new("sh")
                .args(["-c", "sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; read _' & wait"])
                .stdin(std::process::Stdio::piped())
                .spawn()
                .expect("a shell");
            let id = child.id();
            let snapshot = || ProcessSnapshot::snapshot().expect("processes");
            while snapshot().tree(id).len() < 2 {
                std::thread::yield_now();
            }
            let (cpu, memory) = (snapshot().cpu_of_tree(id), snapshot().memory_of_tree(id));
            child.kill().expect("it ends");
            child.wait().expect("it ended");
            (cpu.into_values().sum::<u64>(), memory)
        };
        let (cpu, memory) = busy();
        assert!(cpu > 0 && memory > 10_000, "{cpu} ns, {memory} bytes");
    }
}
