//! Sign in with Apple: the client's secret is a JWT that it signs with its key.

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use zeroize::Zeroizing;

use super::error::ProviderError;
use super::http_client::Step;
use crate::config::{AppleKey, ProviderConfig};

/// How long one lives. It is used at once, and Apple allows six months.
const LIFETIME: TimeDelta = TimeDelta::minutes(5);

#[derive(Serialize)]
struct ClientSecretClaims<'a> {
    iss: &'a str,
    iat: i64,
    exp: i64,
    aud: &'a str,
    sub: &'a str,
}

/// A client secret.
///
/// # Errors
/// When the key does not sign, which the start has tried.
pub(super) fn client_secret(
    config: &ProviderConfig,
    key: &AppleKey,
    now: DateTime<Utc>,
) -> Result<Zeroizing<String>, ProviderError> {
    let claims = ClientSecretClaims {
        iss: &key.team_id,
        iat: now.timestamp(),
        exp: (now + LIFETIME).timestamp(),
        aud: &config.issuer,
        sub: &config.client_id,
    };
    let header = Header { kid: Some(key.key_id.clone()), ..Header::new(Algorithm::ES256) };
    EncodingKey::from_ec_pem(key.pem.reveal())
        .and_then(|signing| jsonwebtoken::encode(&header, &claims, &signing))
        .map(Zeroizing::new)
        .map_err(|error| ProviderError::Malformed { step: Step::Token, what: error.to_string() })
}
