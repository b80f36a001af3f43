//! How a request is refused: the Bearer token (RFC 6750) that it should have, and the problem document (RFC 9457) that answers it.

use crate::VerifyError;

/// The media type of a problem document (RFC 9457, section 3).
const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request is refused. The same codes and headers as in dualauth's own answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It has no Bearer token.
    #[error("Send an access token: `Authorization: Bearer`.")]
    NotAuthenticated,
    /// It has several `Authorization` headers, or one with `Bearer` and no token.
    #[error("Send one header `Authorization: Bearer`, one space and the token.")]
    MalformedRequest,
    /// Its token is not accepted.
    #[error("{}", detail(*.0))]
    Token(#[from] VerifyError),
}

impl Rejection {
    /// The status of the response.
    pub fn status(self) -> u16 {
        match self {
            Self::MalformedRequest => 400,
            Self::Token(VerifyError::Unavailable) => 503,
            Self::NotAuthenticated | Self::Token(_) => 401,
        }
    }

    /// The kind of problem, as a stable word for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotAuthenticated => "not_authenticated",
            Self::MalformedRequest => "malformed_request",
            Self::Token(VerifyError::InvalidToken) => "invalid_token",
            Self::Token(VerifyError::TokenExpired) => "token_expired",
            Self::Token(VerifyError::TokenRevoked) => "token_revoked",
            Self::Token(VerifyError::Unavailable) => "unavailable",
        }
    }

    /// The headers of the response: `Content-Type`, and the challenge of a 401 or the `Retry-After` of a 503.
    pub fn headers(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let other = match self {
            Self::NotAuthenticated => Some(("www-authenticate", "Bearer")),
            Self::MalformedRequest => None,
            Self::Token(VerifyError::Unavailable) => Some(("retry-after", "1")),
            Self::Token(_) => Some(("www-authenticate", r#"Bearer error="invalid_token""#)),
        };
        [("content-type", PROBLEM_JSON)].into_iter().chain(other)
    }

    /// The body of the response: a problem document.
    pub fn body(self) -> String {
        let body = serde_json::json!({
            "type": "about:blank",
            "title": self.title(),
            "status": self.status(),
            "detail": self.to_string(),
            "code": self.code(),
        });
        body.to_string()
    }

    fn title(self) -> &'static str {
        match self {
            Self::NotAuthenticated => "Not signed in",
            Self::MalformedRequest => "Malformed request",
            Self::Token(VerifyError::InvalidToken) => "Invalid token",
            Self::Token(VerifyError::TokenExpired) => "Token expired",
            Self::Token(VerifyError::TokenRevoked) => "Token revoked",
            Self::Token(VerifyError::Unavailable) => "Temporarily unavailable",
        }
    }
}

/// What happened, and what to do about it.
fn detail(error: VerifyError) -> &'static str {
    match error {
        VerifyError::InvalidToken => "The token is not valid here.",
        VerifyError::TokenExpired => "The token has expired. A refresh brings the next one.",
        VerifyError::TokenRevoked => {
            "The token's login has ended, or its owner's name or roles have changed. Refresh, or sign in again."
        }
        VerifyError::Unavailable => {
            "Whether the token is valid can't be said at the moment. Try again shortly."
        }
    }
}

/// The token of a request's only `Authorization: Bearer` header (RFC 6750, section 2.1), from the values of all its
/// `Authorization` headers.
///
/// # Errors
/// [`Rejection::NotAuthenticated`] without a header, or with one of another scheme; [`Rejection::MalformedRequest`].
pub fn bearer_token<'a>(authorization: impl IntoIterator<Item = &'a [u8]>) -> Result<&'a str, Rejection> {
    let mut sent = authorization.into_iter();
    let value = sent.next().ok_or(Rejection::NotAuthenticated)?;
    if sent.next().is_some() {
        return Err(Rejection::MalformedRequest);
    }
    let is_bearer = value.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"));
    match value.get(6..) {
        Some([b' ', rest @ ..]) if is_bearer => {
            b64token(rest.trim_ascii()).ok_or(Rejection::MalformedRequest)
        }
        Some([] | [b'\t', ..]) if is_bearer => Err(Rejection::MalformedRequest),
        _ => Err(Rejection::NotAuthenticated),
    }
}

/// The token, if it has only valid characters (RFC 6750, section 2.1).
fn b64token(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let token = text.trim_end_matches('=');
    // Without early exit, which lets the compiler vectorise the loop.
    let is_token = token.bytes().fold(true, |all, byte| all & is_token_byte(byte));
    (!token.is_empty() && is_token).then_some(text)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() | matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
}
