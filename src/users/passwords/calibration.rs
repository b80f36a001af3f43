//! Measures the cost of argon2id on this machine, and proposes settings for a given time.

use std::time::{Duration, Instant};

use argon2::Params;
use futures_util::future::try_join_all;

use crate::config::PasswordConfig;

use super::{PasswordError, PasswordHasher, ThreadPriority};

/// OWASP's minimum recommendation: lower settings are never proposed.
pub const LEAST_MEMORY_KIB: u32 = 19_456;
/// OWASP's minimum recommendation.
pub const LEAST_ITERATIONS: u32 = 2;

/// Maximum proposed memory: the second recommendation of RFC 9106 (section 4). Each concurrent hash needs this much.
/// For a longer time, iterations are added.
const MOST_MEMORY_KIB: u32 = 64 * 1024;

/// Number of warm-up hashes per thread, which are not measured: the first one touches its memory for the first time.
const UNCOUNTED: usize = 1;
const COUNTED: usize = 5;

/// The measured cost of settings.
#[derive(Clone, Debug)]
pub struct MeasuredCost {
    /// The settings.
    pub params: Params,
    /// Time per hash while all threads are busy.
    pub time: Duration,
}

/// Measures settings with all threads busy, as under full load.
///
/// # Errors
/// When a thread can't be started or memory can't be allocated.
pub async fn measure(params: Params, concurrency: usize) -> Result<MeasuredCost, PasswordError> {
    let config = PasswordConfig { min_length: 0, argon2: params.clone(), concurrency };
    let hasher = PasswordHasher::new(&config, ThreadPriority::Low)?;
    let mut times = Vec::new();
    for round in 0..UNCOUNTED + COUNTED {
        let began = Instant::now();
        try_join_all((0..concurrency).map(|_| hasher.hash("correct horse battery staple"))).await?;
        if round >= UNCOUNTED {
            times.push(began.elapsed());
        }
    }
    times.sort();
    Ok(MeasuredCost { params, time: times[COUNTED / 2] })
}

/// Settings for about this time, scaled from measured ones.
pub fn settings_for(target: Duration, measured: &MeasuredCost) -> Params {
    // Time is proportional to memory times iterations, as long as they are of the same order of magnitude.
    let measured_work = f64::from(measured.params.m_cost()) * f64::from(measured.params.t_cost());
    let work = measured_work * target.as_secs_f64() / measured.time.as_secs_f64().max(1e-6);
    let memory = (work / f64::from(LEAST_ITERATIONS)).clamp(LEAST_MEMORY_KIB.into(), MOST_MEMORY_KIB.into());
    // In whole MiB, except for OWASP's minimum.
    let memory = (memory as u32 / 1024 * 1024).max(LEAST_MEMORY_KIB);
    let most =
        (1..).take_while(|iterations| PasswordConfig::check_argon2(memory, *iterations).is_ok()).last();
    let iterations = (work / f64::from(memory)).round() as u32;
    let iterations = iterations.clamp(LEAST_ITERATIONS, most.unwrap_or(LEAST_ITERATIONS));
    Params::new(memory, iterations, 1, None).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(millis: u64, measured_millis: u64) -> (u32, u32) {
        let params = Params::new(LEAST_MEMORY_KIB, LEAST_ITERATIONS, 1, None).expect("valid");
        let measured = MeasuredCost { params, time: Duration::from_millis(measured_millis) };
        let settings = settings_for(Duration::from_millis(millis), &measured);
        assert_eq!(settings.p_cost(), 1);
        (settings.m_cost(), settings.t_cost())
    }

    #[test]
    fn more_time_buys_memory_first_and_then_iterations() {
        assert_eq!(settings(20, 20), (19_456, 2));
        assert_eq!(settings(40, 20), (38_912, 2));
        assert_eq!(settings(100, 20), (65_536, 3));
        assert_eq!(settings(1_000, 20), (65_536, 30));
    }

    #[test]
    fn nothing_is_proposed_below_what_owasp_recommends_or_beyond_what_is_accepted() {
        assert_eq!(settings(1, 20), (19_456, 2));
        assert_eq!(settings(100, 5_000), (19_456, 2));
        assert_eq!(settings(3_600_000, 1), (65_536, 64));
        assert_eq!(settings(100, 0), (65_536, 64));
    }
}
