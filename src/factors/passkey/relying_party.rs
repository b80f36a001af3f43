//! The service as browsers and authenticators know it: its relying party id, its origins, and its challenges.

use std::time::Duration;

use crate::challenges::ChallengeToken;
use crate::crypto::{AppSecret, MacKey, sha256};

use super::authenticator_data::AuthenticatorData;
use super::client_data::ExpectedClientData;
use super::error::PasskeyError;

/// A relying party (WebAuthn Level 3, section 4).
pub struct RelyingParty {
    pub(super) id: String,
    id_hash: [u8; 32],
    origins: Vec<String>,
    challenges: MacKey,
    /// How long a browser waits: as long as the challenge lives.
    pub(super) timeout: Duration,
}

/// The two ceremonies. An answer to the challenge of one is none to the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ceremony {
    Registration,
    Assertion,
}

impl Ceremony {
    /// The `type` of client data.
    pub(super) fn client_data_type(self) -> &'static str {
        match self {
            Self::Registration => "webauthn.create",
            Self::Assertion => "webauthn.get",
        }
    }
}

impl RelyingParty {
    /// `id` is `PASSKEY_RP_ID`, `origins` are `PASSKEY_ORIGINS`, serialized, `timeout` is `CHALLENGE_TTL`.
    pub fn new(id: String, origins: Vec<String>, secret: &AppSecret, timeout: Duration) -> Self {
        let id_hash = sha256(id.as_bytes());
        Self { id, id_hash, origins, challenges: MacKey::derive(secret, "passkey challenges"), timeout }
    }

    /// The relying party id: a domain.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The origins where passkeys may be used.
    pub fn origins(&self) -> &[String] {
        &self.origins
    }

    /// What the authenticator signs, 32 bytes: a MAC of the ceremony and of the challenge's token, so that nothing has to be stored.
    pub(super) fn challenge(&self, ceremony: Ceremony, token: &ChallengeToken) -> Vec<u8> {
        self.challenges.sign(&mac_input(ceremony, token)).to_vec()
    }

    pub(super) fn check_client_data(
        &self,
        ceremony: Ceremony,
        token: &ChallengeToken,
        json: &[u8],
    ) -> Result<(), PasskeyError> {
        let challenges = &self.challenges.sign_with_each(&mac_input(ceremony, token));
        let ceremony = ceremony.client_data_type();
        ExpectedClientData { ceremony, challenges, origins: &self.origins }.check(json)
    }

    pub(super) fn check_authenticator_data(
        &self,
        data: &AuthenticatorData<'_>,
        needs_verified_user: bool,
    ) -> Result<(), PasskeyError> {
        data.check(&self.id_hash, needs_verified_user)
    }
}

fn mac_input(ceremony: Ceremony, token: &ChallengeToken) -> Vec<u8> {
    [ceremony.client_data_type().as_bytes(), b"\0", &token.hash()].concat()
}

/// What an authenticator signs in both ceremonies (sections 6.3.3 and 6.5.4).
pub(super) fn signed_message(authenticator_data: &[u8], client_data_json: &[u8]) -> Vec<u8> {
    [authenticator_data, &sha256(client_data_json)].concat()
}
