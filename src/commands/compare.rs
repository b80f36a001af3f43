//! `compare`: benchmarks sessions and JWTs side by side on this machine.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::runtime::Handle;
use url::Url;

use super::{Failure, print_line};
use crate::config::Config;
use crate::web::LastReport;
use dualauth_compare::target::Target;
use dualauth_compare::{Check, Options, Plan, TerminalProgressBar, bare, other_service};

#[derive(Args)]
pub(super) struct CompareArgs {
    /// The most important measurements only, in under two minutes, with wider confidence intervals
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// All measurements, in less than an hour (the default)
    #[arg(long)]
    full: bool,
    /// Inject known costs, and check that each is detected
    #[arg(long, conflicts_with_all = ["url", "target"])]
    self_check: bool,
    /// Measure a dualauth that is already running, as far as possible from outside. Leaves an account there
    #[arg(long, value_name = "URL", conflicts_with = "target")]
    url: Option<Url>,
    /// Measure another system as well; see docs/comparing.md for the format
    #[arg(long, value_name = "FILE")]
    target: Option<PathBuf>,
    /// The folder for comparison.json, .md, .html and .textbook.json; by default .data/compare, from which /compare shows the last run
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Serve the bare baseline handler at this address. Used by `compare` itself
    #[arg(long, hide = true, value_name = "ADDRESS")]
    bare: Option<SocketAddr>,
    /// Serve the other service, whose revocation delay is measured, at this address. Used by `compare` itself
    #[arg(long, hide = true, value_name = "ADDRESS", conflicts_with = "bare")]
    other_service: Option<SocketAddr>,
    /// Additional CPU time per response of the baseline, in microseconds
    #[arg(long, hide = true, value_name = "MICROSECONDS", default_value_t = 0, requires = "bare")]
    spin: u64,
}

pub(super) async fn manage(command: CompareArgs, config: &Config) -> Result<(), Failure> {
    if let Some(listen) = command.bare {
        return Ok(bare::serve(listen, Duration::from_micros(command.spin)).await?);
    }
    if let Some(listen) = command.other_service {
        return Ok(other_service::serve(listen).await?);
    }
    let target = command.target.as_deref().map(Target::read).transpose()?;
    let out = command.out.unwrap_or_else(|| LastReport::folder(&config.data_folder));
    let options = Options {
        plan: if command.quick || command.self_check { Plan::quick() } else { Plan::full() },
        url: command.url,
        target,
        program: std::env::current_exe()?,
        folder: config.data_folder.join("compare-run"),
    };
    let runtime = Handle::current();
    if command.self_check {
        return check(options, runtime).await;
    }
    let measuring = move || dualauth_compare::run(&options, &runtime, &TerminalProgressBar::shown());
    let report = tokio::task::spawn_blocking(measuring).await??;
    report.write(&out)?;
    print_line(&report.to_text())?;
    print_line(&format!("{}: comparison.json, .md, .html and .textbook.json", out.display()))
}

async fn check(options: Options, runtime: Handle) -> Result<(), Failure> {
    let checking = move || dualauth_compare::self_check(&options, &runtime, &TerminalProgressBar::shown());
    let checks = tokio::task::spawn_blocking(checking).await??;
    for check in &checks {
        let Check { what, injected, unit, found, without, is_conclusive, .. } = check;
        let verdict = match (check.is_passed(), is_conclusive) {
            (true, _) => "ok     ",
            (false, true) => "missed ",
            (false, false) => "unclear",
        };
        print_line(&format!(
            "{verdict} {what} of {injected} {unit}: found {found:.2}, and {without:.2} without it"
        ))?;
    }
    match checks.iter().all(Check::is_passed) {
        true => Ok(()),
        false if checks.iter().any(|check| !check.is_conclusive) => {
            Err("inconclusive, because other processes use this machine too much: try again".into())
        }
        false => Err("the comparison missed an injected cost: its figures are not reliable".into()),
    }
}
