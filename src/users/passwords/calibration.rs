//! What argon2id takes on this machine, and settings for a given time.

use std::time::{Duration, Instant};

use argon2::Params;
use futures_util::future::try_join_all;

use crate::config::PasswordConfig;

use super::{PasswordError, PasswordHasher, ThreadPriority};

/// The least that OWASP recommends: no proposal goes below it.
pub const LEAST_MEMORY_KIB: u32 = 19_456;
/// The same.
pub const LEAST_ITERATIONS: u32 = 2;

/// The most memory that is proposed, which is RFC 9106's second recommendation (section 4): every hash that is computed
/// at the same time takes as much. What more time buys beyond it is iterations.
const MOST_MEMORY_KIB: u32 = 64 * 1024;

/// How many hashes each thread computes to be measured. The first are not counted: memory is met for the first time.
const UNCOUNTED: usize = 1;
const COUNTED: usize = 5;

/// What some settings cost here.
#[derive(Clone, Debug)]
pub struct MeasuredCost {
    /// The settings.
    pub params: Params,
    /// What a hash takes while as many others are computed as ever are.
    pub time: Duration,
}

/// Measures these settings with all threads busy, as they are when it matters.
///
/// # Errors
/// When the machine gives no thread or no memory.
pub async fn measure(params: Params, concurrency: usize) -> Result<MeasuredCost, PasswordError> {
    let config = PasswordConfig { min_length: 0, argon2: params.clone(), concurrency };
    let hasher = PasswordHasher::new(&config, ThreadPriority::GivesWay)?;
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

/// The settings that should take about so long, if these took as long as was measured.
pub fn settings_for(target: Duration, measured: &MeasuredCost) -> Params {
    // Time goes with memory times iterations, as long as both are of the same order.
    let measured_work = f64::from(measured.params.m_cost()) * f64::from(measured.params.t_cost());
    let work = measured_work * target.as_secs_f64() / measured.time.as_secs_f64().max(1e-6);
    let memory = (work / f64::from(LEAST_ITERATIONS)).clamp(LEAST_MEMORY_KIB.into(), MOST_MEMORY_KIB.into());
    // Whole MiB, but for OWASP's own figure.
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
