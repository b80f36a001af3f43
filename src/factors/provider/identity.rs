//! What comes out of every provider: who signed in, and what the provider says about them.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ProviderError;
use super::id_token::{IdTokenClaims, ProfileClaims, to_time};
use crate::config::{ProviderConfig, ProviderKind};
use crate::users::check_email;

/// Who signed in at a provider. The account is found by `issuer` and `subject` alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderIdentity {
    /// The provider's name in the settings.
    pub provider: String,
    /// Who says so.
    pub issuer: String,
    /// Who it is there: never given to somebody else.
    pub subject: String,
    /// Their address, if the provider says that it has verified it.
    pub email: Option<String>,
    /// What they are called there. Anybody may be called that tomorrow.
    pub preferred_username: Option<String>,
    /// When they last proved themselves there.
    pub auth_time: Option<DateTime<Utc>>,
    /// How strongly: the claim `acr`.
    pub acr: Option<String>,
    /// By what: the claim `amr`.
    pub amr: Vec<String>,
    /// Whether `aal2_acr` or `aal2_amr` of the settings take that for both factors.
    pub proves_both_factors: bool,
    /// The provider's tokens, with `store_tokens`.
    pub tokens: Option<ProviderTokens>,
}

/// A provider's tokens, as its token endpoint gave them: JSON.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderTokens(String);

impl ProviderTokens {
    pub(super) fn new(json: String) -> Self {
        Self(json)
    }

    /// The JSON, to be sealed.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ProviderTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProviderTokens([redacted])")
    }
}

impl ProviderIdentity {
    /// Of an ID token and, if the provider tells more there, its userinfo endpoint.
    pub(super) fn of_claims(config: &ProviderConfig, claims: IdTokenClaims, more: ProfileClaims) -> Self {
        let IdTokenClaims { iss, sub, auth_time, acr, amr, profile, .. } = claims;
        let acr = acr.and_then(into_text);
        let amr = into_texts(amr);
        let proves_both_factors = acr.as_ref().is_some_and(|acr| config.aal2_acr.contains(acr))
            || amr.iter().any(|method| config.aal2_amr.contains(method));
        Self {
            provider: config.name.clone(),
            issuer: iss,
            subject: sub,
            email: verified_email(config.kind, &profile).or_else(|| verified_email(config.kind, &more)),
            preferred_username: [profile, more].into_iter().find_map(|of| into_text(of.preferred_username?)),
            auth_time: auth_time.as_ref().and_then(Value::as_number).and_then(to_time),
            acr,
            amr,
            proves_both_factors,
            tokens: None,
        }
    }

    /// Checks that they proved themselves anew since then, if that was asked for.
    ///
    /// # Errors
    /// [`ProviderError::NotReauthenticated`].
    pub(super) fn authenticated_since(self, since: Option<DateTime<Utc>>) -> Result<Self, ProviderError> {
        let Some(since) = since else { return Ok(self) };
        match self.auth_time {
            Some(at) if at >= since => Ok(self),
            _ => Err(ProviderError::NotReauthenticated),
        }
    }
}

/// The address, if it is said to be verified, and is one that an account may have. At Microsoft a tenant's administrator may write any
/// address: only `xms_edov` says that it is theirs. What is denied by one claim is not made good by another.
fn verified_email(kind: ProviderKind, profile: &ProfileClaims) -> Option<String> {
    let ProfileClaims { email, email_verified, xms_edov, .. } = profile;
    let is_verified = match kind {
        ProviderKind::Microsoft => {
            email_verified.as_ref().is_none_or(is_true) && xms_edov.as_ref().is_some_and(is_set)
        }
        _ => email_verified.as_ref().is_some_and(is_true),
    };
    let email = email.as_ref()?.as_str().filter(|_| is_verified)?;
    check_email(email).is_ok().then(|| email.to_owned())
}

/// Apple writes it as a string.
fn is_true(value: &Value) -> bool {
    matches!(value, Value::Bool(true)) || value == "true"
}

/// `xms_edov`, which Microsoft also writes as a number.
fn is_set(value: &Value) -> bool {
    is_true(value) || value == "1" || value.as_u64() == Some(1)
}

fn into_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn into_texts(value: Option<Value>) -> Vec<String> {
    match value {
        Some(Value::Array(values)) => values.into_iter().filter_map(into_text).collect(),
        _ => Vec::new(),
    }
}
