//! Doctor: checks of resource limits: open files, and memory for password hashes.

use rustix::process::{Resource, getrlimit};

use super::Finding;
use crate::config::Config;

/// The lowest acceptable limit of open files: each client connection needs one.
const LEAST_FILES: u64 = 1_024;

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let needed = config.passwords.concurrency as u64 * u64::from(config.passwords.argon2.m_cost()) * 1_024;
    vec![files(getrlimit(Resource::Nofile).current), memory(needed, machine_memory())]
}

fn files(limit: Option<u64>) -> Finding {
    match limit {
        Some(limit) if limit < LEAST_FILES => Finding::warning(
            format!("Only {limit} files may be open at once, and each client connection is one."),
            "Raise the limit: `ulimit -n 65536`, or LimitNOFILE=65536 under systemd.",
        ),
        Some(limit) => Finding::ok(format!("{limit} files may be open at once")),
        None => Finding::ok("any number of files may be open at once"),
    }
}

fn memory(needed: u64, available: Option<u64>) -> Finding {
    const MIB: u64 = 1_024 * 1_024;
    let Some(available) = available else {
        return Finding::skipped("memory for password hashes", "The system's memory size is unknown.");
    };
    let (hashes, all) = (needed / MIB, available / MIB);
    let what = format!("concurrent password hashes need {hashes} of {all} MiB");
    let advice = "Lower HASH_CONCURRENCY: sign-ins then wait a little, instead of the service being killed.";
    match needed {
        _ if needed >= available => Finding::problem(what, advice),
        _ if needed > available / 2 => Finding::warning(what, advice),
        _ => Finding::ok(what),
    }
}

/// The memory available to this process in bytes: the machine's, or the limit of its control group.
fn machine_memory() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let total = total.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1_024;
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|limit| limit.trim().parse().ok());
    Some(total.min(group.unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn too_few_files_and_too_little_memory_are_found() {
        assert_eq!(files(Some(256)).level, Level::Warning);
        assert_eq!(files(Some(1_024)).level, Level::Ok);
        assert_eq!(files(None).level, Level::Ok);
        for (needed, available, level) in [
            (400, Some(1_000), Level::Ok),
            (501, Some(1_000), Level::Warning),
            (1_000, Some(1_000), Level::Problem),
            (1, None, Level::Skipped),
        ] {
            assert_eq!(memory(needed, available).level, level);
        }
    }
}
