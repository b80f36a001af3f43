//! This machine: which cores are whose, and the CPU time and memory that processes use, as the kernel counts them.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::thread;

use super::CompareError;

/// Does something where cores may be chosen: whose thread this is keeps theirs.
///
/// # Errors
/// What it gives, and [`CompareError::Generator`] when it panics.
pub(super) fn on_a_thread_of_its_own<T: Send>(
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
    pub(super) fn share_out() -> Self {
        let all = allowed();
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
fn allowed() -> Vec<usize> {
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
fn allowed() -> Vec<usize> {
    (0..thread::available_parallelism().map_or(1, std::num::NonZero::get)).collect()
}

#[cfg(not(target_os = "linux"))]
fn pin_to(_: &[usize]) {}

/// The CPU time of processes by their numbers, in nanoseconds.
pub(super) type Cpu = HashMap<u32, u64>;

/// All processes of a moment, by who started them.
pub(super) struct Processes(HashMap<u32, Vec<u32>>);

impl Processes {
    /// Those of now. `None`: this system does not tell.
    pub(super) fn look() -> Option<Self> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        let names =
            fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        for pid in names.filter_map(|name| name.parse::<u32>().ok()) {
            if let Some(parent) = parent_of(pid) {
                children.entry(parent).or_default().push(pid);
            }
        }
        Some(Self(children))
    }

    /// The CPU time of one and of all that it started.
    pub(super) fn cpu_of_tree(&self, root: u32) -> Option<Cpu> {
        self.tree(root).into_iter().map(|pid| Some((pid, cpu_of_process(pid)?))).collect()
    }

    /// What one and all that it started hold in memory, in bytes, less what they share with others.
    pub(super) fn memory_of_tree(&self, root: u32) -> Option<u64> {
        self.tree(root).into_iter().map(memory_of_process).sum()
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

/// The CPU time of this thread, in nanoseconds.
pub(super) fn cpu_of_this_thread() -> Option<u64> {
    cpu_of_thread(Path::new("/proc/thread-self"))
}

/// Of a process that has ended in the meantime there is nothing to count.
fn cpu_of_process(pid: u32) -> Option<u64> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Some(0) };
    threads.filter_map(Result::ok).map(|thread| cpu_of_thread(&thread.path()).or(Some(0))).sum()
}

/// In nanoseconds, where the time of the day would be too coarse.
fn cpu_of_thread(folder: &Path) -> Option<u64> {
    let line = fs::read_to_string(folder.join("schedstat")).ok()?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn memory_of_process(pid: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
    rollup.map_or(Some(0), |rollup| Some(field(&rollup, "Pss:")? * 1_024))
}

/// Who started a process.
pub(super) fn parent_of(pid: u32) -> Option<u32> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the program's name, which may have any character, and the state.
    let (_, line) = line.rsplit_once(')')?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// What kind of processor it has.
pub(super) fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().to_owned())
}

/// How much memory it has, in bytes.
pub(super) fn memory() -> Option<u64> {
    Some(field(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")? * 1_024)
}

/// How many wanted to run, on average over the last minute.
pub(super) fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_ascii_whitespace().next()?.parse().ok()
}

/// The CPU time of all cores since it was switched on, and how much of that others had, whose host a virtual machine
/// shares; in the kernel's ticks (proc_stat(5)).
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticks {
    all: u64,
    stolen: u64,
}

impl Ticks {
    /// Those until now. `None`: this system does not tell.
    pub(super) fn now() -> Option<Self> {
        let text = fs::read_to_string("/proc/stat").ok()?;
        let ticks = text.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
        // Those of guests, which are behind these, are told as the users' as well.
        let ticks: Vec<u64> = ticks.take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self { all: ticks.iter().sum(), stolen: *ticks.get(7)? })
    }

    /// The part that was taken until later.
    pub(super) fn stolen_until(self, later: Self) -> f64 {
        (later.stolen - self.stolen) as f64 / (later.all - self.all).max(1) as f64
    }
}

/// The system's name and version.
pub(super) fn system() -> String {
    let names = rustix::system::uname();
    let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
    format!("{} {}", text(names.sysname()), text(names.release()))
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
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
            let look = || Processes::look().expect("processes");
            while look().tree(id).len() < 2 {
                thread::yield_now();
            }
            let (cpu, memory) = (look().cpu_of_tree(id), look().memory_of_tree(id));
            child.kill().expect("it ends");
            child.wait().expect("it ended");
            (cpu.expect("a time").into_values().sum::<u64>(), memory.expect("a size"))
        };
        let (cpu, memory) = busy();
        assert!(cpu > 0 && memory > 10_000, "{cpu} ns, {memory} bytes");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_others_have_taken_is_a_part_of_all() {
        let earlier = Ticks { all: 1_000, stolen: 10 };
        assert_eq!(earlier.stolen_until(Ticks { all: 1_200, stolen: 60 }), 0.25);
        assert_eq!(earlier.stolen_until(earlier), 0.0);
        let now = Ticks::now().expect("ticks");
        assert!(now.all > now.stolen, "{now:?}");
    }

    #[test]
    fn nobody_s_core_is_left_out() {
        let cores = Cores::share_out();
        assert!(!cores.servers.is_empty() && !cores.load.is_empty());
        assert_eq!(cores.on_server_core(7, || 1), Some(1));
    }
}
