//! What the browser says about a ceremony, and the authenticator signs: client data (WebAuthn Level 3, section 5.8.1).

use serde::Deserialize;

use super::base64url::Base64UrlBytes;
use super::error::PasskeyError;

/// `CollectedClientData`. Members that are not known are ignored, as the standard demands.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    #[serde(rename = "type")]
    ceremony: String,
    challenge: Base64UrlBytes<64>,
    origin: String,
    cross_origin: Option<bool>,
    top_origin: Option<String>,
}

/// What client data must say.
#[derive(Debug)]
pub(super) struct ExpectedClientData<'a> {
    /// `webauthn.create` or `webauthn.get`.
    pub(super) ceremony: &'a str,
    /// The challenge, under each secret in use.
    pub(super) challenges: &'a [Vec<u8>],
    pub(super) origins: &'a [String],
}

impl ExpectedClientData<'_> {
    /// Section 7.1, steps 5 to 11, and section 7.2, steps 9 to 14. The origins come from the settings alone.
    pub(super) fn check(&self, json: &[u8]) -> Result<(), PasskeyError> {
        let data: ClientData = serde_json::from_slice(json).map_err(|_| PasskeyError::Malformed)?;
        if data.ceremony != self.ceremony {
            return Err(PasskeyError::WrongCeremony);
        }
        if !self.challenges.contains(&data.challenge.0) {
            return Err(PasskeyError::WrongChallenge);
        }
        if !self.origins.contains(&data.origin) {
            return Err(PasskeyError::WrongOrigin);
        }
        // No page of the service is meant to be framed. A `topOrigin` alone would claim both.
        if data.cross_origin == Some(true) || data.top_origin.is_some() {
            return Err(PasskeyError::CrossOrigin);
        }
        Ok(())
    }
}
