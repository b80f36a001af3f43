//! Facts about the machine: system, processor, memory, load average and steal time. Complete on Linux only.

#[cfg(target_os = "linux")]
use procfs::{CpuInfo, Current, CurrentSI, KernelStats, LoadAverage, Meminfo};

/// Model name of the processor.
#[cfg(target_os = "linux")]
pub(super) fn processor() -> Option<String> {
    CpuInfo::current().ok()?.model_name(0).map(str::to_owned)
}

/// Total memory, in bytes.
#[cfg(target_os = "linux")]
pub(super) fn memory() -> Option<u64> {
    Some(Meminfo::current().ok()?.mem_total)
}

/// Load average over the last minute.
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

/// CPU time of all cores since boot, and its part that the hypervisor gave to other virtual machines (steal), in ticks
/// (proc_stat(5)).
#[derive(Clone, Copy, Debug)]
pub(super) struct CpuTicks {
    all: u64,
    stolen: u64,
}

impl CpuTicks {
    /// Reads the current counters. `None`: unsupported system.
    #[cfg(target_os = "linux")]
    pub(super) fn now() -> Option<Self> {
        let cpu = KernelStats::current().ok()?.total;
        let stolen = cpu.steal?;
        // Without `guest`, which `user` includes.
        let all =
            cpu.user + cpu.nice + cpu.system + cpu.idle + cpu.iowait? + cpu.irq? + cpu.softirq? + stolen;
        Some(Self { all, stolen })
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn now() -> Option<Self> {
        None
    }

    /// Stolen part of the CPU time until `later`, from 0 to 1.
    pub(super) fn stolen_until(self, later: Self) -> f64 {
        (later.stolen - self.stolen) as f64 / (later.all - self.all).max(1) as f64
    }
}

/// Name and release of the kernel.
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
