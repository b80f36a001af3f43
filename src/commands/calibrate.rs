//! `hash calibrate`: measures Argon2id on this machine, and proposes parameters for a target duration.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Failure, print_line};
use crate::config::Config;
use crate::users::calibration::{LEAST_ITERATIONS, LEAST_MEMORY_KIB, MeasuredCost, measure, settings_for};

/// The durations for which parameters are proposed, in milliseconds.
const TARGETS: [u64; 3] = [50, 100, 250];

#[derive(Subcommand)]
pub(super) enum HashCommand {
    /// Measure Argon2id on this machine, and propose settings
    Calibrate(CalibrateArgs),
}

#[derive(Args)]
pub(super) struct CalibrateArgs {
    /// How long a hash may take, in milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=2_000))]
    target: u64,
}

pub(super) async fn run(command: HashCommand, config: &Config) -> Result<(), Failure> {
    let HashCommand::Calibrate(CalibrateArgs { target }) = command;
    let concurrency = config.passwords.concurrency;
    let least = argon2::Params::new(LEAST_MEMORY_KIB, LEAST_ITERATIONS, 1, None)?;
    let least = measure(least, concurrency).await?;
    print_line(&head(concurrency))?;
    print_line(&row(&least, concurrency, "the minimum that OWASP recommends"))?;
    print_line(&row(
        &measure(config.passwords.argon2.clone(), concurrency).await?,
        concurrency,
        "the current settings",
    ))?;
    let mut proposed = least.clone();
    let mut targets = TARGETS.to_vec();
    targets.push(target);
    targets.sort_unstable();
    targets.dedup();
    for millis in targets {
        let settings = settings_for(Duration::from_millis(millis), &least);
        let measured = measure(settings, concurrency).await?;
        print_line(&row(&measured, concurrency, &format!("for {millis} ms")))?;
        if millis == target {
            proposed = measured;
        }
    }
    print_line(&lines(&proposed, target))
}

/// Everything but the settings is a comment, so that the output can be pasted into `.env`.
fn head(concurrency: usize) -> String {
    format!(
        "# argon2id on this machine, {concurrency} at a time (HASH_CONCURRENCY). Each sign-in computes one, with a wrong \
         password as well.\n#\n#{:>12}{:>12}{:>12}{:>17}{:>12}",
        "memory", "iterations", "a hash", "sign-ins/second", "all memory"
    )
}

fn row(measured: &MeasuredCost, concurrency: usize, note: &str) -> String {
    let MeasuredCost { params, time } = measured;
    let mebibytes = |kibibytes: f64| format!("{:.0} MiB", kibibytes / 1024.0);
    let memory = f64::from(params.m_cost());
    format!(
        "#{:>12}{:>12}{:>12}{:>17.0}{:>12}   {note}",
        mebibytes(memory),
        params.t_cost(),
        format!("{:.0} ms", time.as_secs_f64() * 1000.0),
        concurrency as f64 / time.as_secs_f64(),
        mebibytes(memory * concurrency as f64),
    )
}

fn lines(MeasuredCost { params, .. }: &MeasuredCost, target: u64) -> String {
    format!(
        "#\n# For {target} ms:\nARGON2_MEMORY_KIB={}\nARGON2_ITERATIONS={}\nARGON2_PARALLELISM={}",
        params.m_cost(),
        params.t_cost(),
        params.p_cost()
    )
}
