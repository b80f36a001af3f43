//! Request and response bodies of challenges.

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::{ChallengeAnswer, ChallengeHalves, rfc3339};
use crate::challenges::Challenge;
use crate::error::Problem;
use crate::factors::passkey::{CreationOptions, RequestOptions};
use crate::factors::provider::BegunProviderAttempt;
use crate::factors::totp::TotpSetup;

/// What a challenge is for.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ChallengePurpose {
    /// Signing in, with `EMAIL_SIGN_IN`.
    Login,
    /// Setting a new password.
    ResetPassword,
    /// Proving an address of the signed-in user.
    Email,
    /// Enrolling a factor of the signed-in user.
    Factor,
    /// Authenticating the signed-in user again.
    StepUp,
}

/// The way that the other half comes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ChallengeMethod {
    /// By mail.
    Email,
    /// From an authenticator.
    Totp,
    /// From a passkey.
    Passkey,
    /// From a security key.
    SecurityKey,
    /// By the provider of this name.
    #[serde(untagged)]
    Provider(String),
}

/// Asks for a challenge.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"for": "reset_password", "method": "email", "email": "ada@example.com"}))]
pub(super) struct ChallengeRequest {
    /// What it is for.
    #[serde(rename = "for")]
    pub(super) purpose: ChallengePurpose,
    /// The way that the code goes: `email`, `totp`, `passkey`, `security_key`, or the name of a provider.
    #[schema(value_type = String, pattern = "^[a-z0-9_-]{1,32}$")]
    pub(super) method: ChallengeMethod,
    /// Where the code goes by mail. For `email`: the account's address, or another one that is to take its place.
    #[serde(default)]
    #[schema(
        value_type = Option<String>, nullable = false, max_length = 254,
        pattern = "^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$"
    )]
    pub(super) email: Option<String>,
    /// With a provider: where the browser goes at the end. A URL of this service, of `ALLOWED_ORIGINS`, or one of `RETURN_TO`.
    #[serde(default)]
    #[schema(nullable = false)]
    pub(super) return_to: Option<String>,
    /// With `login`: the challenge of `link_required` or `email_required`, whose place this one takes.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, nullable = false)]
    pub(super) challenge: Option<SecretString>,
}

/// A challenge.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "challenge": "dac_…", "id": "0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e", "for": "reset_password", "method": "email",
    "expires_at": "2026-11-21T09:40:00.000000Z",
}))]
pub(super) struct ChallengeBody {
    /// To be sent back with the code. Whoever has this half alone has nothing.
    challenge: String,
    /// Names the challenge in the link of its mail.
    id: Uuid,
    /// What it is for.
    #[serde(rename = "for")]
    purpose: ChallengePurpose,
    /// The way that the code goes.
    #[schema(value_type = String)]
    method: ChallengeMethod,
    /// When it expires.
    #[serde(serialize_with = "rfc3339")]
    expires_at: DateTime<Utc>,
    /// With `totp`: how the authenticator is set up. Shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    totp: Option<TotpSetupBody>,
    /// With `passkey` and `security_key`: the options for the browser, as JSON for
    /// `PublicKeyCredential.parseCreationOptionsFromJSON()` with `factor`, or else `parseRequestOptionsFromJSON()` (Web
    /// Authentication Level 3).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>)]
    passkey: Option<PasskeyOptions>,
    /// With a provider: where the browser goes. It comes back to `return_to`, with the code in the fragment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    authorization_url: Option<String>,
    /// With a provider that has ID tokens: what such a token must have that an app gets from the provider itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    nonce: Option<String>,
}

/// The options for the browser.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum PasskeyOptions {
    /// To register a credential.
    Creation(CreationOptions),
    /// To use one.
    Request(RequestOptions),
}

/// How an authenticator is set up.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TotpSetupBody {
    /// The secret in Base32, to be typed.
    secret: String,
    /// The same as an `otpauth:` URI.
    uri: String,
    /// The same as a QR code.
    qr: QrCodeBody,
}

/// A QR code, with the margin that it needs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QrCodeBody {
    /// Width and height: the `viewBox` of the SVG is `0 0 size size`.
    size: usize,
    /// The `d` of the SVG's `path`.
    path: String,
}

impl ChallengeBody {
    pub(super) fn by_mail(challenge: &Challenge, purpose: ChallengePurpose) -> Self {
        Self::new(challenge, purpose, ChallengeMethod::Email)
    }

    pub(super) fn of_totp(challenge: &Challenge, setup: &TotpSetup) -> Self {
        let body = TotpSetupBody {
            secret: setup.secret.expose_secret().to_owned(),
            uri: setup.uri.expose_secret().to_owned(),
            qr: QrCodeBody { size: setup.qr.size, path: setup.qr.path.expose_secret().to_owned() },
        };
        let new = Self::new(challenge, ChallengePurpose::Factor, ChallengeMethod::Totp);
        Self { totp: Some(body), ..new }
    }

    pub(super) fn of_passkey(
        challenge: &Challenge,
        purpose: ChallengePurpose,
        method: ChallengeMethod,
        options: PasskeyOptions,
    ) -> Self {
        Self { passkey: Some(options), ..Self::new(challenge, purpose, method) }
    }

    pub(super) fn of_provider(begun: BegunProviderAttempt, purpose: ChallengePurpose, name: String) -> Self {
        let new = Self::new(&begun.challenge, purpose, ChallengeMethod::Provider(name));
        Self { authorization_url: Some(begun.url.into()), nonce: begun.nonce, ..new }
    }

    fn new(challenge: &Challenge, purpose: ChallengePurpose, method: ChallengeMethod) -> Self {
        Self {
            challenge: challenge.token.reveal().to_owned(),
            id: challenge.id,
            purpose,
            method,
            expires_at: challenge.expires_at,
            totp: None,
            passkey: None,
            authorization_url: None,
            nonce: None,
        }
    }
}

/// Sets a new password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"challenge": "dac_…", "code": "1234 5678", "new_password": "a quiet lantern over the weir"}))]
pub(super) struct ResetPasswordRequest {
    /// A challenge for `reset_password`.
    #[schema(value_type = String, format = Password)]
    challenge: SecretString,
    /// The code that came by mail: eight digits; after `second_factor_required` a code of the authenticator, or a recovery
    /// code. Spaces, dashes and letter case are ignored.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    code: Option<SecretString>,
    /// After `second_factor_required`, instead of a code: what the browser's `navigator.credentials.get()` gave for its
    /// options, `PublicKeyCredential.toJSON()` (Web Authentication Level 3).
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    passkey: Option<Value>,
    /// The new password; the same rules as at registration.
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 1024)]
    new_password: SecretString,
}

impl ResetPasswordRequest {
    /// The proof, and the new password.
    ///
    /// # Errors
    /// `validation_failed`: no proof, or two.
    pub(super) fn parts(self) -> Result<(ChallengeAnswer, SecretString), Problem> {
        Ok((ChallengeAnswer::new(self.challenge, self.code, self.passkey)?, self.new_password))
    }
}

/// Proves an address.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"challenge": "dac_…", "code": "1234 5678"}))]
pub(super) struct ProveEmailRequest {
    /// A challenge for `email`.
    #[schema(value_type = String, format = Password)]
    challenge: SecretString,
    /// The code that came by mail: eight digits. Spaces and dashes are ignored.
    #[schema(value_type = String, format = Password)]
    code: SecretString,
}

impl ProveEmailRequest {
    /// The halves.
    pub(super) fn halves(self) -> ChallengeHalves {
        ChallengeHalves { challenge: self.challenge, code: self.code }
    }
}
