//! `doctor`: checks the configuration, database, keys, mails and site for common mistakes, and gives advice. It changes nothing,
//! and prints no secret.

mod database;
mod mail;
mod origins;
mod passkeys;
mod resource_limits;
mod second_factors;
mod secrets;
mod settings;
mod signing_keys_at_startup;
mod site;

use clap::Args;
use url::Url;

use super::{Failure, print_line};
use crate::clock::Clock;
use crate::config::{Config, ConfigError};

#[derive(Args)]
pub(super) struct DoctorArgs {
    /// Also probe the running service at this http or https URL, as clients do. Default: PUBLIC_URL, if it answers
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Ok,
    Warning,
    Problem,
    Skipped,
}

/// The result of one check.
#[derive(Debug)]
pub(super) struct Finding {
    level: Level,
    what: String,
    /// What to do about it, or why the check was skipped.
    advice: Option<String>,
}

impl Finding {
    fn ok(what: impl Into<String>) -> Self {
        Self { level: Level::Ok, what: what.into(), advice: None }
    }

    fn warning(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Warning, what: what.into(), advice: Some(advice.into()) }
    }

    fn problem(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Problem, what: what.into(), advice: Some(advice.into()) }
    }

    fn skipped(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { level: Level::Skipped, what: what.into(), advice: Some(why.into()) }
    }

    fn print(&self) -> Result<(), Failure> {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Problem => "problem",
            Level::Skipped => "skipped",
        };
        print_line(&format!("{level:<9}{}", self.what))?;
        self.advice.as_ref().map_or(Ok(()), |advice| print_line(&format!("{:<9}{advice}", "")))
    }
}

/// Runs every check, and prints the findings. Fails if there is a problem.
pub(super) async fn run(args: DoctorArgs, config: Result<Config, ConfigError>) -> Result<(), Failure> {
    let findings = match &config {
        Ok(config) => check(&args, config).await,
        Err(error) => config_error_findings(error),
    };
    findings.iter().try_for_each(Finding::print)?;
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (problems, warnings) = (count(Level::Problem), count(Level::Warning));
    match problems {
        0 => print_line(&format!("no problems, warnings: {warnings}")),
        _ => Err(format!("problems: {problems}, warnings: {warnings}").into()),
    }
}

async fn check(args: &DoctorArgs, config: &Config) -> Vec<Finding> {
    let clock = Clock::system();
    let mut findings = settings::check(config);
    findings.extend(secrets::check(config));
    findings.extend(resource_limits::check(config));
    let (database_findings, pools) = database::check(config, &clock).await;
    findings.extend(database_findings);
    match pools {
        Some(pools) => {
            findings.extend(signing_keys_at_startup::check(config, &pools, &clock).await);
            findings.extend(passkeys::check_stored(config, &pools.requests).await);
            findings.extend(second_factors::check(config, &pools.requests).await);
            pools.close().await;
        }
        None => findings.push(Finding::skipped("signing keys", "The database could not be checked.")),
    }
    findings.extend(passkeys::check(config));
    findings.extend(mail::check(config).await);
    findings.extend(site::check(args.url.as_ref(), config).await);
    findings
}

fn config_error_findings(error: &ConfigError) -> Vec<Finding> {
    let advice = "The service does not start with this. See README.md and .env.example for the settings.";
    let problems = error.lines().iter().map(|line| Finding::problem(line, advice));
    let rest = Finding::skipped("everything else", "The settings must be valid first.");
    problems.chain([rest]).collect()
}

/// Likely mistakes in the settings, one line each, which the service also logs at startup.
pub(super) fn likely_mistakes(config: &Config) -> Vec<String> {
    let mistakes = settings::likely_mistakes(config).into_iter();
    mistakes.map(|mistake| format!("{} {}", mistake.what, mistake.advice.unwrap_or_default())).collect()
}
