//! Header and claims of an access token (RFC 9068, RFC 7519), and their validation.

use std::collections::HashSet;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use jsonwebtoken::Algorithm;
use serde::de::{DeserializeOwned, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::auth::{Audience, AuthError};
use crate::error::Problem;
use crate::logins::{Acr, Amr, Authentication};

/// The media type of an access token (RFC 9068, section 2.1).
pub(super) const TYPE: &str = "at+jwt";

/// The tolerated clock skew for `iat` and `nbf`, in seconds: another node's clock may be ahead.
const LEEWAY: i64 = 5;

/// The JOSE header. No other members are accepted.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) alg: Algorithm,
    pub(super) typ: String,
    pub(super) kid: String,
}

/// The claims, each at most once. Unknown claims are accepted, since a node of a later version may have signed them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) aud: Audience,
    /// The user's id.
    pub(super) sub: Uuid,
    /// Issued at, in seconds since 1970.
    pub(super) iat: i64,
    /// Expiry, in seconds since 1970: from that second on the token is not valid.
    pub(super) exp: i64,
    /// Not valid before, in seconds since 1970. This version issues none.
    #[serde(default, deserialize_with = "non_null", skip_serializing_if = "Option::is_none")]
    pub(super) nbf: Option<i64>,
    pub(super) jti: Uuid,
    /// The login's id.
    pub(super) sid: Uuid,
    /// The client that the token was issued to (RFC 9068, section 2.2). Tokens of earlier versions have none.
    #[serde(default, deserialize_with = "non_null", skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<String>,
    /// When the user last authenticated, in seconds since 1970 (OpenID Connect Core, section 2). Tokens of earlier versions
    /// have neither this nor `acr` and `amr`: one factor, at an unknown time.
    #[serde(default, deserialize_with = "non_null", skip_serializing_if = "Option::is_none")]
    pub(super) auth_time: Option<i64>,
    /// The assurance level.
    #[serde(default)]
    pub(super) acr: Acr,
    /// The authentication methods (RFC 8176).
    #[serde(default)]
    pub(super) amr: Amr,
    pub(super) username: String,
    pub(super) roles: Vec<String>,
    #[serde(flatten, skip_serializing)]
    #[expect(dead_code, reason = "only its deserialisation matters: it rejects repeated claims")]
    pub(super) unknown: Unknown,
}

/// Deserialises an optional claim that must not be `null`.
fn non_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Claims that this version does not know. They are ignored, but a repeated one is an error.
#[derive(Debug, Default)]
pub(super) struct Unknown;

impl<'de> Deserialize<'de> for Unknown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EachOnce)
    }
}

struct EachOnce;

impl<'de> Visitor<'de> for EachOnce {
    type Value = Unknown;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("claims, each once")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut claims: A) -> Result<Unknown, A::Error> {
        let mut names = HashSet::new();
        while let Some((name, IgnoredAny)) = claims.next_entry::<String, _>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a claim is repeated"));
            }
        }
        Ok(Unknown)
    }
}

impl Claims {
    /// How and when the user authenticated.
    pub(super) fn authentication(&self) -> Authentication {
        let time = self.auth_time.and_then(|time| DateTime::from_timestamp(time, 0));
        Authentication { amr: self.amr, acr: self.acr, time }
    }

    /// Validates issuer, audience and times at `now` (seconds since 1970).
    ///
    /// # Errors
    /// [`AuthError::InvalidToken`], [`AuthError::TokenExpired`].
    pub(super) fn check(&self, iss: &str, aud: &Audience, now: i64) -> Result<(), AuthError> {
        let begins = self.nbf.unwrap_or(self.iat).max(self.iat);
        if self.iss != iss || !self.aud.overlaps(aud) || begins > now + LEEWAY {
            return Err(AuthError::InvalidToken);
        }
        // No leeway for `exp`: a longer life would break the revocation bounds.
        if now >= self.exp { Err(AuthError::TokenExpired) } else { Ok(()) }
    }
}

/// Encodes a part of a token: base64url of its JSON (RFC 7515, section 2).
///
/// # Errors
/// `internal` if the part can't be serialised.
pub(super) fn encode(part: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_vec(part).map(|json| URL_SAFE_NO_PAD.encode(json)).map_err(Problem::internal)
}

/// Decodes a part of a token: base64url without padding of a JSON object. Checks for the `{`, because serde would also
/// accept an array of the members.
pub(super) fn decode<T: DeserializeOwned>(part: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode(part).ok()?;
    json.trim_ascii_start().starts_with(b"{").then(|| serde_json::from_slice(&json).ok()).flatten()
}
