//! What an access token says: its header and its claims, exactly these (RFC 9068, RFC 7519).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::auth::AuthError;
use crate::error::Problem;

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

/// The claims: these, no other, each once.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) aud: String,
    /// The user.
    pub(super) sub: Uuid,
    /// Seconds since 1970.
    pub(super) iat: i64,
    /// Seconds since 1970: not valid at that moment any more.
    pub(super) exp: i64,
    pub(super) jti: Uuid,
    /// The login.
    pub(super) sid: Uuid,
    pub(super) username: String,
    pub(super) roles: Vec<String>,
}

impl Claims {
    /// Whether they are from here and for here, and have not run out at `now` (seconds since 1970).
    ///
    /// # Errors
    /// [`AuthError::InvalidToken`], [`AuthError::TokenExpired`].
    pub(super) fn check(&self, iss: &str, aud: &str, now: i64) -> Result<(), AuthError> {
        if self.iss != iss || self.aud != aud || self.iat > now + LEEWAY {
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
