//! The token request: a code becomes tokens (RFC 6749, section 4.1.3; OpenID Connect Core 1.0, section 3.1.3).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::apple;
use super::error::{ProviderError, excerpt};
use super::http_client::{ProviderHttpClient, ProviderRequest, Step};
use super::identity::ProviderTokens;
use crate::config::{ProviderConfig, ProviderCredential};

/// What a code is exchanged with.
pub(super) struct TokenRequest<'a> {
    pub(super) endpoint: &'a Url,
    /// Whether the secret goes into the body, instead of the header `Authorization`.
    pub(super) secret_in_body: bool,
    pub(super) redirect_uri: &'a str,
    pub(super) code: &'a str,
    pub(super) verifier: &'a SecretString,
    pub(super) now: DateTime<Utc>,
}

/// The tokens (RFC 6749, section 5.1), or the error: GitHub sends that with status 200.
#[derive(Deserialize, Serialize)]
pub(super) struct TokenAnswer {
    #[serde(skip_serializing)]
    error: Option<String>,
    pub(super) access_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing)]
    pub(super) id_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

impl TokenAnswer {
    /// The tokens as they are kept, with `store_tokens`.
    pub(super) fn kept(&self, config: &ProviderConfig) -> Option<ProviderTokens> {
        let json = config.store_tokens.then(|| serde_json::to_string(self).ok())?;
        json.map(ProviderTokens::new)
    }

    /// The access token.
    ///
    /// # Errors
    /// [`ProviderError::Malformed`] without one.
    pub(super) fn access_token(&self) -> Result<&str, ProviderError> {
        self.access_token.as_deref().ok_or_else(|| missing("access_token"))
    }

    /// The ID token.
    ///
    /// # Errors
    /// [`ProviderError::Malformed`] without one.
    pub(super) fn id_token(&self) -> Result<&str, ProviderError> {
        self.id_token.as_deref().ok_or_else(|| missing("id_token"))
    }
}

fn missing(name: &str) -> ProviderError {
    ProviderError::Malformed { step: Step::Token, what: format!("no {name}") }
}

/// Exchanges the code.
///
/// # Errors
/// [`ProviderError`].
pub(super) async fn exchange(
    client: &ProviderHttpClient,
    config: &ProviderConfig,
    request: &TokenRequest<'_>,
    deadline: Instant,
) -> Result<TokenAnswer, ProviderError> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", request.code)
        .append_pair("redirect_uri", request.redirect_uri)
        .append_pair("code_verifier", request.verifier.expose_secret());
    let secret = match &config.credential {
        ProviderCredential::None => None,
        ProviderCredential::Secret(secret) => Some(Zeroizing::new(secret.expose_secret().to_owned())),
        ProviderCredential::AppleKey(key) => Some(apple::client_secret(config, key, request.now)?),
    };
    let authorization = match secret {
        Some(secret) if !request.secret_in_body => Some(basic(&config.client_id, &secret)),
        secret => {
            form.append_pair("client_id", &config.client_id);
            if let Some(secret) = secret {
                form.append_pair("client_secret", &secret);
            }
            None
        }
    };
    let form = Some(Zeroizing::new(form.finish()));
    let asked = ProviderRequest { step: Step::Token, url: request.endpoint.clone(), authorization, form };
    let answer = client.send(asked, deadline).await?;
    match (answer.status, answer.json::<TokenAnswer>()) {
        (_, Ok(TokenAnswer { error: Some(error), .. })) => Err(ProviderError::Refused(excerpt(&error))),
        (200, tokens) => tokens,
        (status, _) => Err(ProviderError::Status { step: Step::Token, status }),
    }
}

/// HTTP Basic, each half encoded as in a form (RFC 6749, section 2.3.1).
fn basic(client_id: &str, secret: &str) -> Zeroizing<String> {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Zeroizing::new(format!("{}:{}", encode(client_id), encode(secret)));
    Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}
