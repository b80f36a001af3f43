//! Header and claims of an access token (RFC 9068, RFC 7519), and their validation.

use std::collections::HashSet;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use crate::VerifyError;

/// The media type of an access token (RFC 9068, section 2.1).
pub(crate) const TYPE: &str = "at+jwt";

/// The tolerated clock skew for `iat` and `nbf`, in seconds: dualauth's clock may be ahead.
const LEEWAY: i64 = 5;

/// The JOSE header. No other members are accepted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    pub(crate) alg: String,
    pub(crate) typ: String,
    pub(crate) kid: String,
}

/// The claims of a verified access token.
///
/// A [`Verifier`](crate::Verifier) makes them. They can also be deserialised, for tests of what uses them: this verifies nothing.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Claims {
    /// The issuer: the one that the verifier expects.
    pub iss: String,
    aud: Audience,
    /// The user's id.
    pub sub: Uuid,
    /// Issued at, in seconds since 1970.
    pub iat: i64,
    /// Expiry, in seconds since 1970: from that second on the token is not valid.
    pub exp: i64,
    #[serde(default, deserialize_with = "non_null")]
    nbf: Option<i64>,
    /// The token's id.
    pub jti: Uuid,
    /// The login's id. All tokens of a sign-in have the same.
    pub sid: Uuid,
    /// The user's name.
    pub username: String,
    /// The user's roles.
    pub roles: Vec<String>,
    /// The client that the token was issued to (RFC 9068, section 2.2).
    #[serde(default, deserialize_with = "non_null")]
    pub client_id: Option<String>,
    /// When the user last authenticated, in seconds since 1970 (OpenID Connect Core, section 2). `None`: unknown.
    #[serde(default, deserialize_with = "non_null")]
    pub auth_time: Option<i64>,
    /// The assurance level: `aal1`, or `aal2` for two factors. `None`: unknown. A later dualauth may know more.
    #[serde(default, deserialize_with = "non_null")]
    pub acr: Option<String>,
    /// The authentication methods (RFC 8176). Empty: unknown.
    #[serde(default)]
    pub amr: Vec<String>,
    #[serde(flatten)]
    _unknown: Unknown,
}

impl Claims {
    /// Whether the user has this role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own == role)
    }

    /// Checks whether it was issued by this issuer for this audience. The error says by and for whom it was, for a log.
    pub(crate) fn check_audience(&self, issuer: &str, audience: &str) -> Result<(), String> {
        if self.iss == issuer && self.aud.contains(audience) {
            return Ok(());
        }
        Err(format!("iss {:?}, aud {:?}", self.iss, self.aud))
    }

    /// Validates issuer, audience and times at `now` (seconds since 1970).
    pub(crate) fn check(&self, issuer: &str, audience: &str, now: i64) -> Result<(), VerifyError> {
        let begins = self.nbf.unwrap_or(self.iat).max(self.iat);
        if self.check_audience(issuer, audience).is_err() || begins > now.saturating_add(LEEWAY) {
            return Err(VerifyError::InvalidToken);
        }
        // No leeway for `exp`: revocations are remembered until then.
        if now >= self.exp { Err(VerifyError::TokenExpired) } else { Ok(()) }
    }
}

/// The audience (RFC 7519, section 4.1.3): a string for one, an array for several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    /// An array of one never matches: dualauth writes that as a string.
    fn contains(&self, audience: &str) -> bool {
        match self {
            Self::One(name) => name == audience,
            Self::Several(names) => names.len() > 1 && names.iter().any(|name| name == audience),
        }
    }
}

/// Deserialises an optional claim that must not be `null`.
fn non_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Claims that this version does not know. They are ignored, but a repeated one is an error.
#[derive(Clone, Debug, Default)]
struct Unknown;

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

/// Decodes a part of a token: base64url without padding of a JSON object. Checks for the `{`, because serde would also
/// accept an array of the members.
pub(crate) fn decode<T: DeserializeOwned>(part: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode(part).ok()?;
    json.trim_ascii_start().starts_with(b"{").then(|| serde_json::from_slice(&json).ok()).flatten()
}
