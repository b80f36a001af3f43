//! Request and response bodies of factors.

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::{ChallengeAnswer, rfc3339, rfc3339_or_null};
use crate::error::Problem;
use crate::factors::passkey::{EnrolledPasskey, ListedPasskey};
use crate::factors::provider::StoredIdentity;
use crate::factors::second_factor::{Factors, ListedTotp};
use crate::factors::totp::EnrolledTotp;

/// Enrols a factor.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"challenge": "dac_…", "code": "123456", "name": "Phone"}))]
pub(super) struct EnrolFactorRequest {
    /// A challenge for `factor`.
    #[schema(value_type = String, format = Password)]
    challenge: SecretString,
    /// With `totp`: the first code of the authenticator, six digits. Spaces and dashes are ignored. With a provider: the code in
    /// the fragment of `return_to`.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    code: Option<SecretString>,
    /// With `passkey` or `security_key`: what the browser's `navigator.credentials.create()` gave for the challenge's options,
    /// `PublicKeyCredential.toJSON()` (Web Authentication Level 3).
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    passkey: Option<Value>,
    /// The factor's name in the list.
    #[serde(default)]
    #[schema(max_length = 64)]
    name: Option<String>,
}

impl EnrolFactorRequest {
    /// The proof, and the name.
    ///
    /// # Errors
    /// `validation_failed`: no proof, or two.
    pub(super) fn parts(self) -> Result<(ChallengeAnswer, Option<String>), Problem> {
        Ok((ChallengeAnswer::new(self.challenge, self.code, self.passkey)?, self.name))
    }
}

/// An authenticator.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e", "name": "Phone", "created_at": "2026-11-21T09:40:00.000000Z",
    "last_used_at": null,
}))]
pub(super) struct TotpBody {
    /// Its id, as in `DELETE /account/factors/{id}`.
    id: Uuid,
    /// The name that the user gave it.
    name: String,
    /// When it was enrolled.
    #[serde(serialize_with = "rfc3339")]
    created_at: DateTime<Utc>,
    /// When a code of it was last used, after its enrolment.
    #[serde(serialize_with = "rfc3339_or_null")]
    #[schema(required = true)]
    last_used_at: Option<DateTime<Utc>>,
}

impl From<ListedTotp> for TotpBody {
    fn from(totp: ListedTotp) -> Self {
        let ListedTotp { id, name, created_at, last_used_at } = totp;
        Self { id, name, created_at, last_used_at }
    }
}

/// A passkey or security key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e", "kind": "passkey", "name": "Phone", "synced": true,
    "created_at": "2026-11-21T09:40:00.000000Z", "last_used_at": null,
}))]
pub(super) struct PasskeyBody {
    /// Its id, as in `DELETE /account/factors/{id}`.
    id: Uuid,
    /// What it was registered as: both factors (`passkey`), or a second one (`security_key`).
    #[schema(pattern = "^(passkey|security_key)$")]
    kind: &'static str,
    /// The name that the user gave it.
    name: String,
    /// Whether it may be copied to other devices.
    synced: bool,
    /// When it was enrolled.
    #[serde(serialize_with = "rfc3339")]
    created_at: DateTime<Utc>,
    /// When it was last used, after its enrolment.
    #[serde(serialize_with = "rfc3339_or_null")]
    #[schema(required = true)]
    last_used_at: Option<DateTime<Utc>>,
}

impl From<ListedPasskey> for PasskeyBody {
    fn from(passkey: ListedPasskey) -> Self {
        let ListedPasskey { id, kind, name, synced, created_at, last_used_at, .. } = passkey;
        Self { id, kind: kind.as_str(), name, synced, created_at, last_used_at }
    }
}

/// An identity at a provider.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e", "provider": "google", "email": "ada@example.com",
    "created_at": "2026-11-21T09:40:00.000000Z", "last_used_at": null,
}))]
pub(super) struct LinkedProviderBody {
    /// Its id, as in `DELETE /account/factors/{id}`.
    id: Uuid,
    /// The provider's name.
    provider: String,
    /// The address there when it was last used, if the provider had verified it.
    #[schema(required = true)]
    email: Option<String>,
    /// When it was linked.
    #[serde(serialize_with = "rfc3339")]
    created_at: DateTime<Utc>,
    /// When somebody last signed in by it.
    #[serde(serialize_with = "rfc3339_or_null")]
    #[schema(required = true)]
    last_used_at: Option<DateTime<Utc>>,
}

impl From<StoredIdentity> for LinkedProviderBody {
    fn from(identity: StoredIdentity) -> Self {
        let StoredIdentity { id, provider, email, created_at, last_used_at, .. } = identity;
        Self { id, provider, email, created_at, last_used_at }
    }
}

/// A factor that was enrolled: an authenticator, a passkey or security key, or an identity at a provider.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum EnrolledFactorBody {
    /// A passkey or security key.
    Passkey(EnrolledPasskeyBody),
    /// An authenticator.
    Totp(EnrolledTotpBody),
    /// An identity at a provider.
    Provider(LinkedProviderBody),
}

/// An authenticator that was enrolled.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EnrolledTotpBody {
    /// The authenticator.
    #[serde(flatten)]
    totp: TotpBody,
    /// Ten recovery codes, when it turned two-step sign-in on. Shown once; each takes the place of a second factor, once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, min_items = 10, max_items = 10)]
    recovery_codes: Vec<String>,
}

/// A passkey or security key that was enrolled.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EnrolledPasskeyBody {
    /// The passkey or security key.
    #[serde(flatten)]
    passkey: PasskeyBody,
    /// Ten recovery codes, when it turned two-step sign-in on. Shown once; each takes the place of a second factor, once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, min_items = 10, max_items = 10)]
    recovery_codes: Vec<String>,
}

impl From<EnrolledTotp> for EnrolledFactorBody {
    fn from(enrolled: EnrolledTotp) -> Self {
        let recovery_codes = shown(&enrolled.recovery_codes);
        Self::Totp(EnrolledTotpBody { totp: enrolled.totp.into(), recovery_codes })
    }
}

impl From<EnrolledPasskey> for EnrolledFactorBody {
    fn from(enrolled: EnrolledPasskey) -> Self {
        let recovery_codes = shown(&enrolled.recovery_codes);
        Self::Passkey(EnrolledPasskeyBody { passkey: enrolled.passkey.into(), recovery_codes })
    }
}

/// New recovery codes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"recovery_codes": ["mfrggzdfmztwq2lknnwg23tp"]}))]
pub(super) struct RecoveryCodesBody {
    /// Ten codes of 24 letters and digits. Shown once.
    recovery_codes: Vec<String>,
}

impl RecoveryCodesBody {
    pub(super) fn new(codes: &[SecretString]) -> Self {
        Self { recovery_codes: shown(codes) }
    }
}

fn shown(codes: &[SecretString]) -> Vec<String> {
    codes.iter().map(|code| code.expose_secret().to_owned()).collect()
}

/// The factors of an account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "password": true, "email_verified": true, "two_step": false, "totp": null, "passkeys": [], "providers": [],
    "recovery_codes_left": 0,
}))]
pub(super) struct FactorsBody {
    /// Whether the account has a password.
    password: bool,
    /// Whether its email was proved to be the user's.
    email_verified: bool,
    /// Whether each sign-in takes two steps.
    two_step: bool,
    /// The authenticator.
    #[schema(required = true)]
    totp: Option<TotpBody>,
    /// Passkeys and security keys, the oldest first.
    passkeys: Vec<PasskeyBody>,
    /// Linked providers.
    providers: Vec<LinkedProviderBody>,
    /// How many recovery codes are left.
    recovery_codes_left: i64,
}

impl From<Factors> for FactorsBody {
    fn from(factors: Factors) -> Self {
        Self {
            password: factors.has_password,
            email_verified: factors.email_verified,
            two_step: factors.two_step,
            totp: factors.totp.map(TotpBody::from),
            passkeys: factors.passkeys.into_iter().map(PasskeyBody::from).collect(),
            providers: factors.providers.into_iter().map(LinkedProviderBody::from).collect(),
            recovery_codes_left: factors.recovery_codes_left,
        }
    }
}
