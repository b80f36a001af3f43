//! What an access token says: its header, exactly this, and its claims (RFC 9068, RFC 7519).

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

/// How far another node's clock may be ahead of this one's when it dates a token, in seconds.
const LEEWAY: i64 = 5;

/// The header: these three members, no other.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) alg: Algorithm,
    pub(super) typ: String,
    pub(super) kid: String,
}

/// The claims: these, each once. A node of a later version may have signed others beside them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) aud: Audience,
    /// The user.
    pub(super) sub: Uuid,
    /// Seconds since 1970.
    pub(super) iat: i64,
    /// Seconds since 1970: not valid at that moment any more.
    pub(super) exp: i64,
    /// Seconds since 1970: not valid before. Ours have none.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub(super) nbf: Option<i64>,
    pub(super) jti: Uuid,
    /// The login.
    pub(super) sid: Uuid,
    /// The application that signs people in here (RFC 9068, section 2.2). Tokens of versions before have none.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<String>,
    /// When the login was last proved (OpenID Connect Core, section 2). This, `acr` and `amr` tokens of versions before don't have:
    /// such a login was proved by one factor, nobody knows when.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub(super) auth_time: Option<i64>,
    /// What the proofs of the login come to.
    #[serde(default)]
    pub(super) acr: Acr,
    /// In which ways the login was proved (RFC 8176).
    #[serde(default)]
    pub(super) amr: Amr,
    pub(super) username: String,
    pub(super) roles: Vec<String>,
    #[serde(flatten, skip_serializing)]
    #[expect(dead_code, reason = "it is there to be read from a token, each claim once")]
    pub(super) unknown: Unknown,
}

/// Not null: that would be a claim without a value.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Claims that this version does not know. Nothing is kept of them; each may be there once.
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
    /// How the login was proved.
    pub(super) fn authentication(&self) -> Authentication {
        let time = self.auth_time.and_then(|time| DateTime::from_timestamp(time, 0));
        Authentication { amr: self.amr, acr: self.acr, time }
    }

    /// Whether they are from here and for here, and have not run out at `now` (seconds since 1970).
    ///
    /// # Errors
    /// [`AuthError::InvalidToken`], [`AuthError::TokenExpired`].
    pub(super) fn check(&self, iss: &str, aud: &Audience, now: i64) -> Result<(), AuthError> {
        let begins = self.nbf.unwrap_or(self.iat).max(self.iat);
        if self.iss != iss || !self.aud.overlaps(aud) || begins > now + LEEWAY {
            return Err(AuthError::InvalidToken);
        }
        // No leeway here: a token's last second is its last second.
        if now >= self.exp { Err(AuthError::TokenExpired) } else { Ok(()) }
    }
}

/// A part of a token (RFC 7515, section 2).
///
/// # Errors
/// `internal` when it does not serialise.
pub(super) fn encode(part: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_vec(part).map(|json| URL_SAFE_NO_PAD.encode(json)).map_err(Problem::internal)
}

/// base64url without padding, of a JSON object: serde would take an array of the members for one.
pub(super) fn decode<T: DeserializeOwned>(part: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode(part).ok()?;
    json.trim_ascii_start().starts_with(b"{").then(|| serde_json::from_slice(&json).ok()).flatten()
}
