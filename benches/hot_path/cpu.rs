//! Cores, and the CPU time and memory that processes use, as the kernel counts them.

use std::fs;
use std::path::Path;

use anyhow::Context;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Who runs where.
pub(crate) struct Cores {
    /// One: as many workers as cores are started, and cost per request is the subject.
    pub(crate) servers: CpuSet,
    /// The others, if there are any.
    pub(crate) load: CpuSet,
}

impl Cores {
    pub(crate) fn of_this_machine() -> anyhow::Result<Self> {
        let all = sched_getaffinity(None)?;
        let first = (0..CpuSet::MAX_CPU).find(|core| all.is_set(*core)).context("a core")?;
        let mut servers = CpuSet::new();
        servers.set(first);
        let mut load = all;
        if all.count() > 1 {
            load.unset(first);
        }
        Ok(Self { servers, load })
    }
}

/// Keeps this thread, and those it starts from now on, to these cores.
pub(crate) fn pin_to(cores: &CpuSet) -> anyhow::Result<()> {
    sched_setaffinity(None, cores).context("choosing cores")
}

/// The CPU time of all threads of a process, in nanoseconds.
pub(crate) fn of_process(pid: u32) -> anyhow::Result<u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))?;
    threads.map(|thread| of_thread(&thread?.path())).sum()
}

/// The CPU time of all children of a process that run now, in nanoseconds.
pub(crate) fn of_children(parent: u32) -> anyhow::Result<u64> {
    let names = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let pids = names.filter_map(|name| name.parse::<u32>().ok());
    let children = pids.filter(|pid| parent_of(*pid).is_ok_and(|found| found == parent));
    children.map(of_process).sum()
}

pub(crate) fn parent_of(pid: u32) -> anyhow::Result<u32> {
    field(&fs::read_to_string(format!("/proc/{pid}/status"))?, "PPid:")
}

/// What a process holds in memory, in KiB.
pub(crate) fn resident(pid: u32) -> anyhow::Result<u32> {
    field(&fs::read_to_string(format!("/proc/{pid}/status"))?, "VmRSS:")
}

/// The most that it ever held, in KiB.
pub(crate) fn peak_resident(pid: u32) -> anyhow::Result<u32> {
    field(&fs::read_to_string(format!("/proc/{pid}/status"))?, "VmHWM:")
}

fn of_thread(folder: &Path) -> anyhow::Result<u64> {
    // A thread that ended between the listing and here is one that was idle.
    let Ok(line) = fs::read_to_string(folder.join("schedstat")) else { return Ok(0) };
    let nanoseconds = line.split_ascii_whitespace().next().context("an empty schedstat")?;
    nanoseconds.parse().context("schedstat's first number")
}

fn field(status: &str, name: &str) -> anyhow::Result<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_ascii_whitespace().next());
    number.and_then(|number| number.parse().ok()).with_context(|| format!("no {name} in a process' status"))
}
