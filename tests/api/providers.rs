//! Sign-in providers: what is asked of them, what is believed of what they say, and what they may cost.

mod changed_settings;
mod commands;
mod github_and_apple;
mod id_tokens;
mod identities;
mod kinds;
mod limits;
mod link_tries;
mod linking;
mod outward;
mod sign_in;
pub mod signing;

use std::sync::Arc;

use dualauth::clock::Clock;
use dualauth::config::Config;
use dualauth::factors::provider::{
    AuthorizationRequest, AuthorizationUrl, Provider, ProviderCallback, ProviderError, ProviderIdentity,
    Providers,
};
use dualauth::metrics::Metrics;
use serde_json::{Value, json};

use crate::support::{
    program::folder,
    server::beginning,
    stub_provider::{StubProvider, signer},
};

const CLIENT: &str = "our client";
const SECRET: &str = "hunter2 & more";

/// The settings of a provider, in a file of their own. `client_id` is [`CLIENT`].
pub fn provider_file(issuer: &str, secret: &str, more: &str) -> String {
    let folder = folder();
    std::fs::write(folder.join("secret"), secret).expect("a file");
    let file = folder.join("providers.toml");
    let text = format!(
        "[stub]\nissuer = \"{issuer}\"\nclient_id = \"{CLIENT}\"\nclient_secret_file = \"secret\"\n{more}"
    );
    std::fs::write(&file, text).expect("a file");
    file.to_str().expect("a path").to_owned()
}

fn provider_of(file: &str, clock: &Clock) -> Arc<Provider> {
    let config = Config::from_vars(|name| (name == "PROVIDERS").then(|| file.to_owned())).expect("settings");
    let metrics = Metrics::new().expect("metrics");
    let providers = Providers::new(&config.providers, "https://auth.example.com", clock, &metrics);
    Arc::clone(providers.expect("roots").get("stub").expect("it is there"))
}

/// A provider that says what the test likes, and our side of it.
struct Trial {
    stub: StubProvider,
    provider: Arc<Provider>,
    clock: Clock,
}

impl Trial {
    async fn new() -> Self {
        Self::with("").await
    }

    /// With these lines more in the settings.
    async fn with(more: &str) -> Self {
        Self::at("", more).await
    }

    /// With an issuer that has a path.
    async fn at(path: &str, more: &str) -> Self {
        Self::by(SECRET, path, more).await
    }

    /// With another secret.
    async fn by(secret: &str, path: &str, more: &str) -> Self {
        let stub = StubProvider::start().await;
        let clock = Clock::manual(beginning());
        let provider = provider_of(&provider_file(&format!("{}{path}", stub.url()), secret, more), &clock);
        Self { stub, provider, clock }
    }

    async fn begin(&self) -> AuthorizationUrl {
        self.provider.authorization(AuthorizationRequest::default()).await.expect("a URL")
    }

    /// Claims as they must be.
    fn claims(&self, nonce: &str) -> Value {
        let now = self.clock.now().timestamp();
        json!({
            "iss": self.stub.url(), "sub": "17", "aud": CLIENT, "nonce": nonce, "iat": now, "exp": now + 300,
            "email": "ada@example.com", "email_verified": true,
        })
    }

    /// A sign-in whose ID token has these claims, once they were changed.
    async fn sign_in(&self, change: impl FnOnce(&mut Value)) -> Result<ProviderIdentity, ProviderError> {
        let header = json!({ "alg": "ES256", "kid": signer().kid() });
        self.sign_in_by(change, |claims| signer().token(&header, claims)).await
    }

    /// The same, where the test makes the token as well.
    async fn sign_in_by(
        &self,
        change: impl FnOnce(&mut Value),
        token: impl FnOnce(&Value) -> String,
    ) -> Result<ProviderIdentity, ProviderError> {
        let begun = self.begin().await;
        let mut claims = self.claims(begun.nonce.as_deref().unwrap_or_default());
        change(&mut claims);
        self.stub.json("/token", json!({ "access_token": "at", "id_token": token(&claims) }));
        self.come_back(&begun, None).await
    }

    async fn come_back(
        &self,
        begun: &AuthorizationUrl,
        issuer: Option<&str>,
    ) -> Result<ProviderIdentity, ProviderError> {
        self.provider.identify(callback(begun, issuer)).await
    }
}

fn callback<'a>(begun: &'a AuthorizationUrl, issuer: Option<&'a str>) -> ProviderCallback<'a> {
    let (verifier, nonce) = (&begun.verifier, begun.nonce.as_deref());
    ProviderCallback { code: "the code", issuer, verifier, nonce, authenticated_since: None }
}

/// Why it failed, as the log says it.
#[track_caller]
fn reason<T: std::fmt::Debug>(outcome: Result<T, ProviderError>) -> String {
    outcome.expect_err("a failure").to_string()
}
