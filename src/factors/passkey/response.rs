//! What a browser answers: `PublicKeyCredential.toJSON()` (WebAuthn Level 3, section 5.1). Members that are not known are ignored,
//! since browsers add some.

use serde::Deserialize;
use serde_json::Value;

use super::base64url::Base64UrlBytes;
use super::error::PasskeyAttemptError;

/// Maximum length of a credential id (section 4). One more is read, so that the check is in one place.
pub(super) const MAX_CREDENTIAL_ID: usize = 1_023;
type CredentialId = Base64UrlBytes<{ MAX_CREDENTIAL_ID + 1 }>;

/// Maximum lengths in bytes, below what a request body can hold. Real ones are much shorter, except for attestations with
/// certificates.
type ClientDataJson = Base64UrlBytes<4_096>;
type AttestationObject = Base64UrlBytes<8_192>;
type AuthenticatorDataBytes = Base64UrlBytes<4_096>;
type Signature = Base64UrlBytes<1_024>;
/// A user handle has 64 bytes at most (section 5.4.3).
type UserHandle = Base64UrlBytes<64>;

/// The only type of credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum CredentialType {
    /// `public-key`.
    #[serde(rename = "public-key")]
    PublicKey,
}

/// The answer to creation options: `RegistrationResponseJSON`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationResponse {
    pub(super) id: CredentialId,
    pub(super) raw_id: CredentialId,
    #[serde(rename = "type")]
    pub(super) _credential_type: CredentialType,
    pub(super) response: AttestationResponse,
}

/// `AuthenticatorAttestationResponseJSON`. Its `authenticatorData`, `publicKey` and `publicKeyAlgorithm` repeat what is in the
/// attestation object, and are not read.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttestationResponse {
    #[serde(rename = "clientDataJSON")]
    pub(super) client_data_json: ClientDataJson,
    pub(super) attestation_object: AttestationObject,
    pub(super) transports: Option<Vec<String>>,
}

/// The answer to request options: `AuthenticationResponseJSON`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssertionResponse {
    pub(super) id: CredentialId,
    pub(super) raw_id: CredentialId,
    #[serde(rename = "type")]
    pub(super) _credential_type: CredentialType,
    pub(super) response: AuthenticatorAssertion,
}

/// `AuthenticatorAssertionResponseJSON`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuthenticatorAssertion {
    #[serde(rename = "clientDataJSON")]
    pub(super) client_data_json: ClientDataJson,
    pub(super) authenticator_data: AuthenticatorDataBytes,
    pub(super) signature: Signature,
    pub(super) user_handle: Option<UserHandle>,
}

impl RegistrationResponse {
    /// Reads the JSON.
    pub(super) fn read(json: &Value) -> Result<Self, PasskeyAttemptError> {
        Self::deserialize(json).map_err(|_| PasskeyAttemptError::Malformed)
    }
}

impl AssertionResponse {
    /// Reads the JSON.
    pub(super) fn read(json: &Value) -> Result<Self, PasskeyAttemptError> {
        Self::deserialize(json).map_err(|_| PasskeyAttemptError::Malformed)
    }

    /// The id of the credential that signed, by which it is looked up.
    pub fn credential_id(&self) -> &[u8] {
        &self.raw_id.0
    }
}
