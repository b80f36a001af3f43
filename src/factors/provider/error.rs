//! Why a provider did not identify anybody: for the log. Whoever signs in need not know which.

use super::http_client::Step;

/// The length of an excerpt, in letters.
const MOST_OF_EXCERPT: usize = 128;

/// Why a provider did not identify anybody. None of these texts has a code, a token or a secret.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It did not answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// As many requests to it as there may be were waiting for it all the time.
    #[error("no answer in time: others wait for one")]
    Busy,
    /// It failed less than a minute ago, and is left alone. Contains why it failed.
    #[error("it failed less than a minute ago: {0}")]
    RecentlyFailed(String),
    /// There is no connection, or it broke off.
    #[error("{step}: {error}")]
    Connection {
        /// What was asked.
        step: Step,
        /// Why.
        error: String,
    },
    /// The host of one of its URLs is another than the issuer's, and has no public address.
    #[error("{step}: the host has no public address, and is not the issuer's")]
    NotPublic {
        /// What was asked.
        step: Step,
    },
    /// One of its URLs is plain http, and not on this machine.
    #[error("{0} is not https")]
    NotHttps(&'static str),
    /// It answered with another status than 200.
    #[error("{step}: status {status}")]
    Status {
        /// What was asked.
        step: Step,
        /// The status.
        status: u16,
    },
    /// The answer is larger than it may be.
    #[error("{step}: the answer is too large")]
    TooLarge {
        /// What was asked.
        step: Step,
    },
    /// The answer is not what the standard says.
    #[error("{step}: {what}")]
    Malformed {
        /// What was asked.
        step: Step,
        /// What is wrong.
        what: String,
    },
    /// The discovery document is another issuer's (OpenID Connect Discovery 1.0, section 4.3). See [`excerpt`].
    #[error("the discovery document is of the issuer {found:?}, not of {expected:?}")]
    OtherIssuer {
        /// `issuer` of the settings.
        expected: String,
        /// What the document has.
        found: String,
    },
    /// `iss` of the callback is missing although announced, or another issuer's (RFC 9207, section 2.4).
    #[error("the callback is of another issuer, or does not say of which")]
    CallbackIssuer,
    /// The token endpoint refused (RFC 6749, section 5.2). See [`excerpt`].
    #[error("token: {0:?}")]
    Refused(String),
    /// The ID token is not valid.
    #[error("ID token: {0}")]
    IdToken(#[from] IdTokenError),
    /// What the userinfo endpoint says is about somebody else (OpenID Connect Core 1.0, section 5.3.2).
    #[error("userinfo: of another subject")]
    OtherSubject,
    /// Who signed in did not prove it anew, or the provider does not say so.
    #[error("no new authentication: auth_time is missing or too old")]
    NotReauthenticated,
    /// There are no ID tokens at this provider.
    #[error("it has no ID tokens")]
    NoIdTokens,
    /// It has no key that can verify anything.
    #[error("it has no key for RS256, PS256, ES256 or EdDSA")]
    NoKeys,
}

impl ProviderError {
    /// Whether what came back by the browser was not good. Else it was the provider that failed, or its settings are wrong.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Refused(error) => !matches!(
                error.as_str(),
                "invalid_client" | "unauthorized_client" | "server_error" | "temporarily_unavailable"
            ),
            // Neither a missing endpoint nor "too many requests" is said of a code.
            Self::Status { step: Step::Token, status } => matches!(status, 400..=403),
            Self::CallbackIssuer | Self::IdToken(_) | Self::OtherSubject | Self::NotReauthenticated => true,
            _ => false,
        }
    }
}

/// The beginning of what a provider says, for the log.
pub(super) fn excerpt(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(MOST_OF_EXCERPT).collect()
}

/// Why an ID token is not valid (OpenID Connect Core 1.0, section 3.1.3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// It is no JWT (RFC 7519), or a claim has another type than it must have.
    #[error("malformed")]
    Malformed,
    /// It is not signed by one of the accepted algorithms, or has critical extensions.
    #[error("the algorithm is not accepted")]
    Algorithm,
    /// The issuer has no such key.
    #[error("signed by a key that is not in the issuer's set")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the signature is wrong")]
    Signature,
    /// `iss`.
    #[error("of another issuer")]
    Issuer,
    /// `sub` is empty or too long.
    #[error("without a subject")]
    Subject,
    /// `aud` lacks our client, or has others that are not trusted.
    #[error("for another audience")]
    Audience,
    /// `azp`.
    #[error("issued to another party")]
    AuthorizedParty,
    /// `nonce`.
    #[error("the nonce is another, or missing")]
    Nonce,
    /// `exp`, `nbf`, `iat`.
    #[error("expired, or not valid yet")]
    Time,
}
