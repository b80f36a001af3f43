//! Doctor: asks the providers that users may sign in with.

use futures_util::future::join_all;

use super::Finding;
use crate::app;
use crate::commands::provider::is_clock_wrong;
use crate::config::Config;
use crate::factors::provider::{Provider, ProviderError, ProviderReport};

pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let providers = match app::providers(config) {
        Ok(providers) => providers,
        Err(error) => {
            return vec![Finding::problem(error.to_string(), "The service does not start with this.")];
        }
    };
    if config.providers.is_empty() {
        return vec![Finding::ok("there are no sign-in providers: PROVIDERS is not set")];
    }
    let asked = providers.iter().map(async |provider| finding(provider, &provider.check().await));
    let mut findings = join_all(asked).await;
    findings.extend(callbacks(config));
    findings
}

fn finding(provider: &Provider, outcome: &Result<ProviderReport, ProviderError>) -> Finding {
    let name = provider.name();
    match outcome {
        Err(error) => Finding::problem(
            format!("the provider {name} can't be used: {error}"),
            "Is its issuer in PROVIDERS right, and may this machine connect to it? Until then nobody signs in by it.",
        ),
        Ok(_) if is_clock_wrong(outcome) => Finding::warning(
            format!(
                "the clock of the provider {name} differs from this machine's: ID tokens may be refused."
            ),
            "Set this machine's clock by NTP.",
        ),
        Ok(_) => Finding::ok(format!("the provider {name} answers")),
    }
}

fn callbacks(config: &Config) -> Option<Finding> {
    config.public_url.is_none().then(|| {
        Finding::warning(
            "PROVIDERS is set, but PUBLIC_URL is not: providers send browsers to the machine of whoever uses them.",
            "Set PUBLIC_URL to the URL that clients use.",
        )
    })
}
