//! The authorization request (RFC 6749, section 4.1.1; PKCE, RFC 7636; OpenID Connect Core 1.0, section 3.1.2.1).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use url::Url;

use crate::config::{ProviderConfig, ProviderKind};
use crate::crypto::{random_bytes, sha256};
use crate::tokens::OpaqueToken;

/// What every `state` begins with.
pub const STATE_PREFIX: &str = "das_";

/// What is asked of a provider.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuthorizationRequest {
    /// Whether whoever is signed in there has to prove it anew.
    pub reauthenticate: bool,
}

/// Where the browser goes, and what has to be kept until it comes back.
#[derive(Debug)]
pub struct AuthorizationUrl {
    /// Where it goes.
    pub url: Url,
    /// `state`, by whose hash the callback is found.
    pub state: OpaqueToken,
    /// `nonce`, which the ID token repeats. `None`: there are no ID tokens at this provider.
    pub nonce: Option<String>,
    /// PKCE's `code_verifier`, which the code is bound to.
    pub verifier: SecretString,
}

/// The request at this endpoint.
pub(super) fn authorization_url(
    config: &ProviderConfig,
    endpoint: &Url,
    redirect_uri: &str,
    request: AuthorizationRequest,
) -> AuthorizationUrl {
    let state = OpaqueToken::generate(STATE_PREFIX);
    let nonce = (config.kind != ProviderKind::GitHub).then(random_text);
    let verifier = random_text();
    let challenge = URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
    let mut url = endpoint.clone();
    {
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &config.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &config.scopes.join(" "))
            .append_pair("state", state.reveal())
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        if let Some(nonce) = &nonce {
            query.append_pair("nonce", nonce);
        }
        if request.reauthenticate {
            query.append_pair("prompt", "login").append_pair("max_age", "0");
        }
        // Apple answers in no other way where an address is asked for.
        if config.kind == ProviderKind::Apple {
            query.append_pair("response_mode", "form_post");
        }
    }
    AuthorizationUrl { url, state, nonce, verifier: verifier.into() }
}

/// 256 random bits.
fn random_text() -> String {
    URL_SAFE_NO_PAD.encode(random_bytes::<32>())
}
