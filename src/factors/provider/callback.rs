//! Callbacks: what a provider sends along with a browser, and what comes of it.

use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use url::Url;
use utoipa::ToSchema;

/// What a provider sends along with a browser (RFC 6749, sections 4.1.2 and 4.1.2.1; RFC 9207).
#[derive(Debug, Deserialize, ToSchema)]
pub struct CallbackParameters {
    /// As it was sent to the provider.
    #[serde(default, deserialize_with = "given")]
    pub(super) state: Option<String>,
    /// The provider's code.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(super) code: Option<SecretString>,
    /// Why there is no code, such as `access_denied`.
    #[serde(default, deserialize_with = "given")]
    pub(super) error: Option<String>,
    /// The provider's issuer.
    #[serde(default, deserialize_with = "given")]
    pub(super) iss: Option<String>,
}

/// A parameter that may be left out: forms have no null.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// What comes of a callback.
#[derive(Debug)]
pub enum CalledBackAttempt {
    /// Nobody was sent to the provider with this `state`, or it has come back before.
    Unknown,
    /// The browser goes there.
    Answered(Url),
    /// So it does, and what it brought from the provider was not good.
    Refused(Url),
}

impl CalledBackAttempt {
    /// Whether what the browser brought was not good.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// Where the browser goes. `None`: its `state` is unknown.
    pub fn into_url(self) -> Option<Url> {
        match self {
            Self::Unknown => None,
            Self::Answered(url) | Self::Refused(url) => Some(url),
        }
    }
}

/// Why a callback has no code of the challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallbackError {
    /// Somebody did not want to sign in.
    AccessDenied,
    /// The provider failed, or said nothing of use.
    Failed,
    /// What the browser brought was not good.
    Refused,
}

impl CallbackError {
    /// The word for the page.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "access_denied",
            Self::Failed | Self::Refused => "provider_failed",
        }
    }
}
