//! The userinfo endpoint (OpenID Connect Core 1.0, section 5.3): where providers tell an address that is not in the ID token.

use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use super::error::ProviderError;
use super::http_client::{ProviderHttpClient, ProviderRequest, Step};
use super::id_token::ProfileClaims;

#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    #[serde(flatten)]
    profile: ProfileClaims,
}

/// What it says about this subject.
///
/// # Errors
/// [`ProviderError`], also when it is about another one (section 5.3.2).
pub(super) async fn load(
    client: &ProviderHttpClient,
    endpoint: &Url,
    access_token: &str,
    subject: &str,
    deadline: Instant,
) -> Result<ProfileClaims, ProviderError> {
    let request = ProviderRequest::bearer(Step::UserInfo, endpoint.clone(), access_token);
    let UserInfo { sub, profile } = client.send(request, deadline).await?.ok()?;
    if sub == subject { Ok(profile) } else { Err(ProviderError::OtherSubject) }
}
