//! The discovery document (OpenID Connect Discovery 1.0, section 4).

use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use super::error::{ProviderError, excerpt};
use super::expected_issuer::ExpectedIssuer;
use super::http_client::{ProviderAnswer, ProviderHttpClient, ProviderRequest, Step};

/// What a provider says about itself, as far as it matters here (section 3).
#[derive(Debug, Deserialize)]
pub(super) struct DiscoveryDocument {
    issuer: String,
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    pub(super) jwks_uri: Url,
    pub(super) userinfo_endpoint: Option<Url>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Whether each callback has `iss` (RFC 9207, section 3).
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

impl DiscoveryDocument {
    /// Whether the client's secret goes into the body: only where the header is not announced. Without a word, it is the header.
    pub(super) fn wants_secret_in_body(&self) -> bool {
        let announced = |methods: &Vec<String>, name: &str| methods.iter().any(|method| method == name);
        self.token_endpoint_auth_methods_supported.as_ref().is_some_and(|methods| {
            announced(methods, "client_secret_post") && !announced(methods, "client_secret_basic")
        })
    }
}

/// Loads the document of this issuer.
///
/// # Errors
/// [`ProviderError`], also when it is of another issuer, or has an endpoint that is not https.
pub(super) async fn load(
    client: &ProviderHttpClient,
    issuer: &Url,
    expected: &ExpectedIssuer,
    deadline: Instant,
) -> Result<(DiscoveryDocument, ProviderAnswer), ProviderError> {
    let answer = client.send(ProviderRequest::get(Step::Discovery, url(issuer)), deadline).await?;
    let document: DiscoveryDocument = answer.ok()?;
    if document.issuer != expected.in_discovery() {
        let expected = expected.in_discovery().to_owned();
        return Err(ProviderError::OtherIssuer { expected, found: excerpt(&document.issuer) });
    }
    client.check_scheme("authorization_endpoint", &document.authorization_endpoint)?;
    client.check_scheme("token_endpoint", &document.token_endpoint)?;
    client.check_scheme("jwks_uri", &document.jwks_uri)?;
    if let Some(userinfo) = &document.userinfo_endpoint {
        client.check_scheme("userinfo_endpoint", userinfo)?;
    }
    Ok((document, answer))
}

/// Section 4: the path is added to the issuer's, whose last slash is left out.
fn url(issuer: &Url) -> Url {
    let path = issuer.path().strip_suffix('/').unwrap_or(issuer.path());
    let mut url = issuer.clone();
    url.set_path(&format!("{path}/.well-known/openid-configuration"));
    url
}
