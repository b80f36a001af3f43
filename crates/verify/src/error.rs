//! Why a token is refused, and why a verifier can't be built.

/// Why a token was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It is no access token of this issuer for this audience, or not valid yet.
    #[error("the token is not valid here")]
    InvalidToken,
    /// It has expired. A refresh brings the next one.
    #[error("the token has expired")]
    TokenExpired,
    /// Its login has ended, or its owner's name or roles have changed.
    #[error("the token was revoked: its login has ended, or its owner's name or roles have changed")]
    TokenRevoked,
    /// Whether it is valid is not known: dualauth has not answered yet, or not for longer than the staleness bound.
    #[error("whether the token is valid can't be said at the moment")]
    Unavailable,
}

/// Why a verifier can't be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The address is no `http://` or `https://` URL, or has a query, a fragment or credentials.
    #[error("not the http:// or https:// URL of a server: {0}")]
    Url(String),
    /// The staleness bound is zero.
    #[error("the staleness bound must be more than zero")]
    StalenessBound,
    /// The client's id or secret can't be sent.
    #[error("the client's id or secret is not what dualauth issues")]
    Client,
    /// An `https://` URL needs root certificates, and this machine has none.
    #[error("this machine has no root certificates: install ca-certificates, or set SSL_CERT_FILE")]
    NoRootCertificates,
    /// TLS can't be used.
    #[error("TLS: {0}")]
    Tls(String),
    /// The system has no random numbers.
    #[error("the system's random number generator failed")]
    NoRandomNumbers,
    /// A verifier follows the feed in a task, so it is built within a tokio runtime.
    #[error("a verifier has to be built within a tokio runtime")]
    NoRuntime,
}
