//! The options of both ceremonies, as JSON for `parseCreationOptionsFromJSON()` and `parseRequestOptionsFromJSON()` (WebAuthn
//! Level 3, sections 5.1.9 and 5.1.10).

use serde::Serialize;

use crate::challenges::ChallengeToken;
use crate::users::UserIdAndName;

use super::base64url::Base64UrlBytes;
use super::public_key::PasskeyAlgorithm;
use super::relying_party::{Ceremony, RelyingParty};
use super::response::MAX_CREDENTIAL_ID;
use super::{PasskeyKind, StoredPasskey};

const PUBLIC_KEY: &str = "public-key";

/// `PublicKeyCredentialCreationOptionsJSON`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreationOptions {
    rp: RelyingPartyEntity,
    user: UserEntity,
    challenge: Base64UrlBytes<32>,
    pub_key_cred_params: Vec<CredentialParameters>,
    /// In milliseconds.
    timeout: u64,
    exclude_credentials: Vec<CredentialDescriptor>,
    authenticator_selection: AuthenticatorSelection,
    hints: &'static [&'static str],
    attestation: &'static str,
}

/// `PublicKeyCredentialRequestOptionsJSON`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestOptions {
    challenge: Base64UrlBytes<32>,
    /// In milliseconds.
    timeout: u64,
    rp_id: String,
    allow_credentials: Vec<CredentialDescriptor>,
    user_verification: &'static str,
}

#[derive(Debug, Serialize)]
struct RelyingPartyEntity {
    id: String,
    name: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct UserEntity {
    id: Base64UrlBytes<16>,
    name: String,
    display_name: String,
}

#[derive(Debug, Serialize)]
struct CredentialParameters {
    #[serde(rename = "type")]
    credential_type: &'static str,
    alg: i32,
}

#[derive(Debug, Serialize)]
struct CredentialDescriptor {
    #[serde(rename = "type")]
    credential_type: &'static str,
    id: Base64UrlBytes<MAX_CREDENTIAL_ID>,
    transports: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AuthenticatorSelection {
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticator_attachment: Option<&'static str>,
    resident_key: &'static str,
    /// For browsers of Level 1, which don't know `residentKey`.
    require_resident_key: bool,
    user_verification: &'static str,
}

impl AuthenticatorSelection {
    fn of(kind: PasskeyKind) -> Self {
        match kind {
            PasskeyKind::Passkey => Self {
                authenticator_attachment: None,
                resident_key: "required",
                require_resident_key: true,
                user_verification: "required",
            },
            PasskeyKind::SecurityKey => Self {
                authenticator_attachment: Some("cross-platform"),
                resident_key: "discouraged",
                require_resident_key: false,
                user_verification: "discouraged",
            },
        }
    }
}

impl CredentialDescriptor {
    fn of(passkey: &StoredPasskey) -> Self {
        Self {
            credential_type: PUBLIC_KEY,
            id: Base64UrlBytes(passkey.credential_id.clone()),
            transports: passkey.transports.clone(),
        }
    }
}

impl RelyingParty {
    fn timeout_millis(&self) -> u64 {
        u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX)
    }

    /// Options to register a credential. `registered` are all that the user has: an authenticator that holds one of them makes no
    /// other, which would take its place there.
    pub fn creation_options(
        &self,
        token: &ChallengeToken,
        user: &UserIdAndName,
        kind: PasskeyKind,
        registered: &[StoredPasskey],
    ) -> CreationOptions {
        let parameters = |algorithm: PasskeyAlgorithm| CredentialParameters {
            credential_type: PUBLIC_KEY,
            alg: algorithm.identifier(),
        };
        CreationOptions {
            rp: RelyingPartyEntity { id: self.id.clone(), name: self.id.clone() },
            user: UserEntity {
                id: Base64UrlBytes(user.id.as_bytes().to_vec()),
                name: user.username.clone(),
                display_name: user.username.clone(),
            },
            challenge: Base64UrlBytes(self.challenge(Ceremony::Registration, token)),
            pub_key_cred_params: PasskeyAlgorithm::OFFERED.into_iter().map(parameters).collect(),
            timeout: self.timeout_millis(),
            exclude_credentials: registered.iter().map(CredentialDescriptor::of).collect(),
            authenticator_selection: AuthenticatorSelection::of(kind),
            hints: match kind {
                PasskeyKind::Passkey => &[],
                PasskeyKind::SecurityKey => &["security-key"],
            },
            attestation: "none",
        }
    }

    /// Options to use one of the credentials in `allowed`, or, if that is empty, any passkey without a name.
    pub fn request_options(&self, token: &ChallengeToken, allowed: &[StoredPasskey]) -> RequestOptions {
        let has = |kind| allowed.iter().any(|passkey| passkey.kind == kind);
        RequestOptions {
            challenge: Base64UrlBytes(self.challenge(Ceremony::Assertion, token)),
            timeout: self.timeout_millis(),
            rp_id: self.id.clone(),
            allow_credentials: allowed.iter().map(CredentialDescriptor::of).collect(),
            user_verification: match (has(PasskeyKind::Passkey), has(PasskeyKind::SecurityKey)) {
                (_, false) => "required",
                (true, true) => "preferred",
                (false, true) => "discouraged",
            },
        }
    }
}
