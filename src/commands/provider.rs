//! `provider check`: asks the providers of the settings whether a sign-in could work.

use clap::{Args, Subcommand};
use futures_util::future::join_all;

use super::{Failure, print_line};
use crate::app;
use crate::config::Config;
use crate::factors::provider::{Provider, ProviderError, ProviderReport};

/// From how many seconds on a clock is said to be wrong: ID tokens are refused from a minute on.
pub(super) const MOST_CLOCK_DIFFERENCE: i64 = 30;

#[derive(Subcommand)]
pub(super) enum ProviderCommand {
    /// Ask the providers in PROVIDERS for their discovery document and keys, and compare issuer and clock
    Check(CheckProviderArgs),
}

#[derive(Args)]
pub(super) struct CheckProviderArgs {
    /// The name of one of them. Default: all
    name: Option<String>,
}

pub(super) async fn manage(command: ProviderCommand, config: &Config) -> Result<(), Failure> {
    let ProviderCommand::Check(CheckProviderArgs { name }) = command;
    let providers = app::providers(config)?;
    let is_asked = |provider: &&_| name.as_deref().is_none_or(|name| Provider::name(provider) == name);
    let asked: Vec<_> = providers.iter().map(|provider| &**provider).filter(is_asked).collect();
    if asked.is_empty() {
        return Err(match name {
            Some(name) => format!("PROVIDERS has no provider {name:?}").into(),
            None => "there are no providers: PROVIDERS is not set".into(),
        });
    }
    let outcomes = join_all(asked.iter().map(|provider| provider.check())).await;
    let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    for (provider, outcome) in asked.iter().zip(outcomes) {
        print_line(&description(provider, &outcome))?;
    }
    match failed {
        0 => Ok(()),
        _ => Err(format!("providers that can't be used: {failed}").into()),
    }
}

fn description(provider: &Provider, outcome: &Result<ProviderReport, ProviderError>) -> String {
    let told = match outcome {
        Err(error) => vec![format!("can't be used: {error}")],
        Ok(ProviderReport { issuer, keys, clock_ahead }) => {
            let keys = keys.map(|keys| format!("keys that verify ID tokens: {keys}"));
            let clock = clock_ahead.map(|ahead| format!("clock ahead of ours by: {} s", ahead.num_seconds()));
            let wrong = is_clock_wrong(outcome).then(|| "Set this machine's clock by NTP.".to_owned());
            [Some(format!("issuer: {issuer}")), keys, clock, wrong].into_iter().flatten().collect()
        }
    };
    let callback = format!("callback URL, to be registered there: {}", provider.redirect_uri());
    let lines = told.into_iter().chain([callback]).map(|line| format!("\n  {line}"));
    format!("{} ({}){}", provider.name(), provider.title(), lines.collect::<String>())
}

/// Whether one of the two clocks is so wrong that ID tokens may be refused.
pub(super) fn is_clock_wrong(outcome: &Result<ProviderReport, ProviderError>) -> bool {
    let ahead = outcome.as_ref().ok().and_then(|report| report.clock_ahead);
    ahead.is_some_and(|ahead| ahead.num_seconds().abs() > MOST_CLOCK_DIFFERENCE)
}
