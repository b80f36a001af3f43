//! Registers a credential (WebAuthn Level 3, section 7.1).

use uuid::Uuid;

use crate::challenges::ChallengeToken;

use super::PasskeyKind;
use super::authenticator_data::{AttestedCredential, AuthenticatorData};
use super::cbor::{self, CborMap};
use super::error::PasskeyError;
use super::public_key::{PasskeyAlgorithm, PasskeyPublicKey};
use super::relying_party::{Ceremony, RelyingParty, signed_message};
use super::response::{MAX_CREDENTIAL_ID, RegistrationResponse};

/// Maximum number of transports that are stored, and their maximum length. They are only hints, which nobody signs.
const MAX_TRANSPORTS: usize = 8;
const MAX_TRANSPORT: usize = 32;

/// A verified registration, to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedRegistration {
    /// The credential's id: 1 to 1,023 bytes.
    pub credential_id: Vec<u8>,
    /// The public key, as a COSE_Key.
    pub public_key: Vec<u8>,
    /// The algorithm of the public key.
    pub algorithm: PasskeyAlgorithm,
    /// What it is registered as.
    pub kind: PasskeyKind,
    /// The signature counter; 0 if the authenticator does not count.
    pub sign_count: u32,
    /// Whether the credential may be copied to other devices. Never changes.
    pub backup_eligible: bool,
    /// Whether it is copied now.
    pub backed_up: bool,
    /// How browsers reach the authenticator (section 5.8.4).
    pub transports: Vec<String>,
    /// The model of the authenticator, which is not attested.
    pub aaguid: Uuid,
}

impl RelyingParty {
    /// Verifies the answer to [`Self::creation_options`] with this token and kind. Whether the credential id is somebody's already is
    /// up to the database (step 26).
    ///
    /// # Errors
    /// The first check that fails.
    pub fn verify_registration(
        &self,
        answer: &RegistrationResponse,
        token: &ChallengeToken,
        kind: PasskeyKind,
    ) -> Result<VerifiedRegistration, PasskeyError> {
        let client_data = &answer.response.client_data_json.0;
        self.check_client_data(Ceremony::Registration, token, client_data)?;
        let attestation = Attestation::parse(&answer.response.attestation_object.0)?;
        let data = AuthenticatorData::parse(&attestation.authenticator_data)?;
        self.check_authenticator_data(&data, kind == PasskeyKind::Passkey)?;
        let credential = data.credential.as_ref().ok_or(PasskeyError::WrongFlags)?;
        check_credential_id(answer, credential)?;
        let public_key = PasskeyPublicKey::parse(credential.public_key)?;
        attestation.verify(&public_key, client_data)?;
        if kind == PasskeyKind::SecurityKey && data.backup_eligible() {
            return Err(PasskeyError::NotDeviceBound);
        }
        Ok(VerifiedRegistration {
            credential_id: credential.id.to_vec(),
            public_key: credential.public_key.to_vec(),
            algorithm: public_key.algorithm,
            kind,
            sign_count: data.sign_count,
            backup_eligible: data.backup_eligible(),
            backed_up: data.backed_up(),
            transports: transports(answer.response.transports.as_deref().unwrap_or_default()),
            aaguid: credential.aaguid,
        })
    }
}

fn check_credential_id(
    answer: &RegistrationResponse,
    credential: &AttestedCredential<'_>,
) -> Result<(), PasskeyError> {
    if credential.id.is_empty() || credential.id.len() > MAX_CREDENTIAL_ID {
        return Err(PasskeyError::CredentialIdLength);
    }
    if answer.id != answer.raw_id || answer.raw_id.0 != credential.id {
        return Err(PasskeyError::CredentialIdMismatch);
    }
    Ok(())
}

/// Sorted, once each. What can't be a transport is left out: an unknown one may be a new one.
fn transports(given: &[String]) -> Vec<String> {
    let is_transport = |text: &&String| {
        (1..=MAX_TRANSPORT).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let mut transports: Vec<_> = given.iter().filter(is_transport).cloned().collect();
    transports.sort();
    transports.dedup();
    transports.truncate(MAX_TRANSPORTS);
    transports
}

/// An attestation object (section 6.5). None is asked for, and none makes a credential worth more: who made the authenticator is not
/// checked.
struct Attestation {
    authenticator_data: Vec<u8>,
    format: String,
    statement: CborMap,
}

impl Attestation {
    fn parse(bytes: &[u8]) -> Result<Self, PasskeyError> {
        let object = CborMap::read_all(bytes)?;
        let parts = || {
            Some(Self {
                authenticator_data: object.named("authData")?.as_bytes()?.clone(),
                format: object.named("fmt")?.as_text()?.to_owned(),
                statement: CborMap::of_value(object.named("attStmt")?)?,
            })
        };
        parts().ok_or(PasskeyError::Malformed)
    }

    /// Verifies what can be verified without knowing manufacturers: no attestation (section 8.7), and self attestation, which browsers
    /// pass on although none was asked for (section 8.2). Other formats count as none.
    fn verify(&self, key: &PasskeyPublicKey, client_data: &[u8]) -> Result<(), PasskeyError> {
        let is_right = match self.format.as_str() {
            "none" => self.statement.len() == 0,
            "packed" if self.statement.named("x5c").is_none() => self.is_signed_by(key, client_data),
            _ => true,
        };
        if is_right { Ok(()) } else { Err(PasskeyError::InvalidAttestation) }
    }

    fn is_signed_by(&self, key: &PasskeyPublicKey, client_data: &[u8]) -> bool {
        let algorithm = self.statement.named("alg").and_then(cbor::integer);
        let signature = self.statement.named("sig").and_then(ciborium::Value::as_bytes);
        let message = signed_message(&self.authenticator_data, client_data);
        algorithm == Some(i64::from(key.algorithm.identifier()))
            && signature.is_some_and(|signature| key.verify(&message, signature).is_ok())
    }
}
