//! Problem documents (RFC 9457), the format of all error responses. Each module maps its own errors to them; this one
//! knows none of them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// The media type of a problem document (RFC 9457, section 3).
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Challenges for `WWW-Authenticate`: which scheme to use; that a token was sent but is not valid (RFC 6750, section
/// 3); or that it is valid but not sufficient (RFC 9470, section 3).
const BEARER: &str = "Bearer";
const BEARER_INVALID_TOKEN: &str = r#"Bearer error="invalid_token""#;
const BEARER_INSUFFICIENT: &str = r#"Bearer error="insufficient_user_authentication""#;

/// Declares [`Code`] from a table: each code's word, its status, its title, and its challenge if the status is 401.
macro_rules! codes {
    ($($name:ident: $word:tt, $status:literal, $title:literal $(, $challenge:ident)?;)+) => {
        /// The kind of an error, as a stable word for programs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        pub enum Code {
            $(#[doc = $title] #[serde(rename = $word)] $name,)+
        }

        impl Code {
            fn row(self) -> CodeRow {
                match self {
                    $(Self::$name => {
                        let challenge = None $(.or(Some($challenge)))?;
                        CodeRow { word: $word, status: $status, title: $title, challenge }
                    })+
                }
            }
        }
    };
}

/// A row of the table of codes.
struct CodeRow {
    word: &'static str,
    status: u16,
    title: &'static str,
    challenge: Option<&'static str>,
}

codes! {
    InvalidCredentials: "invalid_credentials", 401, "Wrong credentials", BEARER;
    NotAuthenticated: "not_authenticated", 401, "Not signed in", BEARER;
    InvalidToken: "invalid_token", 401, "Invalid token", BEARER_INVALID_TOKEN;
    TokenExpired: "token_expired", 401, "Token expired", BEARER_INVALID_TOKEN;
    TokenRevoked: "token_revoked", 401, "Token revoked", BEARER_INVALID_TOKEN;
    RefreshTokenReused: "refresh_token_reused", 401, "Refresh token reused", BEARER_INVALID_TOKEN;
    SessionExpired: "session_expired", 401, "Session ended", BEARER_INVALID_TOKEN;
    InsufficientUserAuthentication: "insufficient_user_authentication", 401, "Sign-in too old or too weak", BEARER_INSUFFICIENT;
    InvalidCode: "invalid_code", 401, "Wrong code", BEARER;
    ChallengeExpired: "challenge_expired", 401, "Challenge over", BEARER;
    SecondFactorRequired: "second_factor_required", 401, "Second factor required", BEARER;
    EmailNotVerified: "email_not_verified", 403, "Email not verified";
    RegistrationClosed: "registration_closed", 403, "Registration closed";
    CsrfFailed: "csrf_failed", 403, "CSRF token missing or wrong";
    CrossOrigin: "cross_origin", 403, "Cross-origin request refused";
    Forbidden: "forbidden", 403, "Forbidden";
    NotFound: "not_found", 404, "Not found";
    MethodNotAllowed: "method_not_allowed", 405, "Method not allowed";
    Conflict: "conflict", 409, "Conflict";
    LastFactor: "last_factor", 409, "Last factor";
    ValidationFailed: "validation_failed", 422, "Validation failed";
    MalformedRequest: "malformed_request", 400, "Malformed request";
    PayloadTooLarge: "payload_too_large", 413, "Payload too large";
    UnsupportedMediaType: "unsupported_media_type", 415, "Unsupported media type";
    Timeout: "timeout", 408, "Request timed out";
    RateLimited: "rate_limited", 429, "Too many requests";
    Unavailable: "unavailable", 503, "Temporarily unavailable";
    Internal: "internal", 500, "Internal error";
}

impl Code {
    /// The word.
    pub fn as_str(self) -> &'static str {
        self.row().word
    }

    /// The usual status.
    pub fn status(self) -> u16 {
        self.row().status
    }

    /// The title, the same for every occurrence.
    pub fn title(self) -> &'static str {
        self.row().title
    }

    /// The challenge in `WWW-Authenticate`, unless the problem has another one.
    pub fn challenge(self) -> Option<&'static str> {
        self.row().challenge
    }
}

/// A member of the body, or a parameter, that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Its place, as a JSON pointer (RFC 6901); empty for the whole body.
    #[schema(example = "/password")]
    pub pointer: String,
    /// What is wrong, and what would be valid.
    #[schema(example = "must have at least 15 characters")]
    pub detail: String,
}

impl FieldError {
    /// An error in the member or parameter with this name.
    pub fn of(name: &str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer_to("", name), detail: detail.into() }
    }
}

/// The JSON pointer to a member of the value at `parent` (RFC 6901, section 3).
pub fn pointer_to(parent: &str, name: &str) -> String {
    format!("{parent}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// A problem document.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Identifies the kind of problem.
    #[serde(rename = "type")]
    #[schema(rename = "type", format = "uri", example = "urn:dualauth:problem:not_authenticated")]
    kind: String,
    /// The kind of problem in words.
    title: &'static str,
    /// The status of the response.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened this time, and what to do about it.
    detail: String,
    /// The kind of problem as a stable word.
    code: Code,
    /// Extension members (RFC 9457, section 3.2).
    #[serde(flatten)]
    #[schema(ignore)]
    extensions: BTreeMap<&'static str, Value>,
    #[serde(skip)]
    headers: Vec<(&'static str, String)>,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:dualauth:problem:{}", code.as_str()),
            title: code.title(),
            status: code.status(),
            detail: detail.into(),
            code,
            extensions: BTreeMap::new(),
            headers: Vec::new(),
        }
    }

    /// Adds an extension member (RFC 9457, section 3.2). All possible members are described in `web::openapi`.
    pub fn with(mut self, member: &'static str, value: impl Serialize) -> Self {
        self.extensions.insert(member, serde_json::to_value(value).unwrap_or_default());
        self
    }

    /// Adds a header. It replaces the usual one of this kind of problem, such as the challenge in `WWW-Authenticate`.
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// A body with invalid shape or content.
    pub fn validation(errors: Vec<FieldError>) -> Self {
        let detail = "The body is not acceptable: see `errors`.";
        Self::new(Code::ValidationFailed, detail).with("errors", errors)
    }

    /// Unknown or invalid parameters in a query or header.
    pub fn parameters(errors: Vec<FieldError>) -> Self {
        let detail = "The parameters are not acceptable: see `errors`.";
        Self::new(Code::ValidationFailed, detail).with("errors", errors)
    }

    /// A known path with another method; `allow` lists the allowed ones (RFC 9110, section 10.2.1).
    pub fn method_not_allowed(allow: String) -> Self {
        let detail = format!("This path answers {allow}.");
        Self::new(Code::MethodNotAllowed, detail).with_header("Allow", allow)
    }

    /// Changes the status from the code's usual one.
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// An internal error. The cause is logged, and not sent to the client.
    pub fn internal(cause: impl fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::new(Code::Internal, "Something went wrong here. It was logged.")
    }

    /// A dependency is temporarily unavailable. The cause is logged.
    pub fn unavailable(cause: impl fmt::Display) -> Self {
        tracing::warn!(%cause, "request answered with 503");
        Self::new(Code::Unavailable, "The service can't answer at the moment. Try again shortly.")
    }

    /// The kind of problem.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The status of the response.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The headers of the response besides the usual ones.
    pub fn headers(&self) -> &[(&'static str, String)] {
        &self.headers
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn extension_members_stand_beside_the_standard_ones() {
        let problem = Problem::new(Code::InsufficientUserAuthentication, "Sign in again.")
            .with("max_age", 600)
            .with("methods", ["totp", "passkey"])
            .with("max_age", 300);
        assert_eq!(
            serde_json::to_value(problem).expect("it serialises"),
            json!({
                "type": "urn:dualauth:problem:insufficient_user_authentication",
                "title": "Sign-in too old or too weak",
                "status": 401,
                "detail": "Sign in again.",
                "code": "insufficient_user_authentication",
                "max_age": 300,
                "methods": ["totp", "passkey"],
            })
        );
    }
}
