//! What is told of the machine: its system, processor and memory, and how busy others keep it. Linux tells all of it.

#[cfg(target_os = "linux")]
use procfs::{CpuInfo, Current, CurrentSI, KernelStats, LoadAverage, Meminfo};

/// What kind of processor it has.
#[cfg(target_os = "linux")]
pub(super) fn processor() -> Option<String> {
    CpuInfo::current().ok()?.model_name(0).map(str::to_owned)
}

/// How much memory it has, in bytes.
#[cfg(target_os = "linux")]
pub(super) fn memory() -> Option<u64> {
    Some(Meminfo::current().ok()?.mem_total)
}

/// How many wanted to run, on average over the last minute.
#[cfg(target_os = "linux")]
pub(super) fn load_average() -> Option<f64> {
    Some(LoadAverage::current().ok()?.one.into())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn processor() -> Option<String> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(super) fn memory() -> Option<u64> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(super) fn load_average() -> Option<f64> {
    None
}

/// The CPU time of all cores since it was switched on, and how much of that others had, whose host a virtual machine
/// shares; in the kernel's ticks (proc_stat(5)).
#[derive(Clone, Copy, Debug)]
pub(super) struct CpuTicks {
    all: u64,
    stolen: u64,
}

impl CpuTicks {
    /// Those until now. `None`: this system does not tell.
    #[cfg(target_os = "linux")]
    pub(super) fn now() -> Option<Self> {
        let cpu = KernelStats::current().ok()?.total;
        let stolen = cpu.steal?;
        // Those of guests are told as the users' as well.
        let all =
            cpu.user + cpu.nice + cpu.system + cpu.idle + cpu.iowait? + cpu.irq? + cpu.softirq? + stolen;
        Some(Self { all, stolen })
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn now() -> Option<Self> {
        None
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

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn what_others_have_taken_is_a_part_of_all() {
        let earlier = CpuTicks { all: 1_000, stolen: 10 };
        assert_eq!(earlier.stolen_until(CpuTicks { all: 1_200, stolen: 60 }), 0.25);
        assert_eq!(earlier.stolen_until(earlier), 0.0);
        let now = CpuTicks::now().expect("ticks");
        assert!(now.all > now.stolen, "{now:?}");
    }
}
