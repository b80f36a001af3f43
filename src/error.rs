//! Problem documents (RFC 9457): the one form in which every error leaves the service.

use std::collections::BTreeMap;
use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::clients::AuthenticateError;
use crate::database::DatabaseError;
use crate::limits::Limited;
use crate::users::{Field, Invalid, PasswordError, RegisterError};

/// The media type of a problem document (RFC 9457, section 3).
pub const PROBLEM_JSON: &str = "application/problem+json";

/// When to try again after a 503, in seconds: long enough for a queue to drain or a database to restart.
const RETRY_AFTER_SECONDS: u32 = 2;

/// Challenges of `WWW-Authenticate` (RFC 6750, section 3): which scheme to use, or also that a token was sent and is
/// no good, or that it is good and not enough (RFC 9470, section 3).
const BEARER: &str = "Bearer";
const BEARER_INVALID_TOKEN: &str = r#"Bearer error="invalid_token""#;
const BEARER_INSUFFICIENT: &str = r#"Bearer error="insufficient_user_authentication""#;

/// Declares [`Code`] from a table: each code's word, its status, its title, and its challenge if the status is 401.
macro_rules! codes {
    ($($name:ident: $word:tt, $status:literal, $title:literal $(, $challenge:ident)?;)+) => {
        /// What went wrong, as a stable word to program against.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        pub enum Code {
            $(#[doc = $title] #[serde(rename = $word)] $name,)+
        }

        impl Code {
            fn row(self) -> Row {
                match self {
                    $(Self::$name => {
                        let challenge = None $(.or(Some($challenge)))?;
                        Row { word: $word, status: $status, title: $title, challenge }
                    })+
                }
            }
        }
    };
}

/// What is said of a code in the table.
struct Row {
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
    CsrfFailed: "csrf_failed", 403, "CSRF token missing or wrong";
    CrossOrigin: "cross_origin", 403, "Cross-origin request refused";
    Forbidden: "forbidden", 403, "Forbidden";
    NotFound: "not_found", 404, "Not found";
    MethodNotAllowed: "method_not_allowed", 405, "Method not allowed";
    Conflict: "conflict", 409, "Conflict";
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
    /// The word itself.
    pub fn as_str(self) -> &'static str {
        self.row().word
    }

    /// The status that goes with it.
    pub fn status(self) -> u16 {
        self.row().status
    }

    /// The same for every occurrence.
    pub fn title(self) -> &'static str {
        self.row().title
    }

    /// What `WWW-Authenticate` says with it, unless whoever makes the problem says another.
    pub fn challenge(self) -> Option<&'static str> {
        self.row().challenge
    }
}

/// What went wrong in OAuth's own words, where its standards define the route (RFC 6749, section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OAuthError {
    /// The client did not prove who it is.
    InvalidClient,
    /// The request is not one that the route takes.
    InvalidRequest,
}

/// What `WWW-Authenticate` says to a client that did not prove who it is (RFC 7617, section 2.1).
const BASIC_CHALLENGE: &str = r#"Basic realm="dualauth", charset="UTF-8""#;

/// One member of the body, or one parameter, that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where, as a JSON pointer (RFC 6901); empty for the whole.
    #[schema(example = "/password")]
    pub pointer: String,
    /// What is wrong with it, and what would be right.
    #[schema(example = "must have at least 15 characters")]
    pub detail: String,
}

impl FieldError {
    /// Of the member or parameter of this name.
    pub fn of(name: &str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer_to("", name), detail: detail.into() }
    }
}

/// The JSON pointer to a member of what another points to (RFC 6901, section 3).
pub fn pointer_to(parent: &str, name: &str) -> String {
    format!("{parent}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// How a part of the service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// It is well.
    Ok,
    /// It can't be used.
    Down,
    /// It can be read, and not written.
    ReadOnly,
}

/// How each part of the service is. No more than that: who asks may be anybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"database": "ok", "feed": "ok", "keys": "ok", "upkeep": "ok"}))]
pub struct Checks {
    /// Postgres answers, and takes what is written.
    pub database: Check,
    /// What was revoked on other nodes is known here.
    pub feed: Check,
    /// There is a key to sign access tokens with.
    pub keys: Check,
    /// What the node does by itself is being done.
    pub upkeep: Check,
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
    /// What one kind of problem says beside that (RFC 9457, section 3.2).
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

    /// With an extension member (RFC 9457, section 3.2). Each that there may be is described in `web::openapi`.
    pub fn with(mut self, member: &'static str, value: impl Serialize) -> Self {
        self.extensions.insert(member, serde_json::to_value(value).unwrap_or_default());
        self
    }

    /// With a header, also in place of one that every problem of this kind has: another challenge in
    /// `WWW-Authenticate`, say.
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// A body of the wrong shape or content.
    pub fn validation(errors: Vec<FieldError>) -> Self {
        let detail = "The body is not acceptable: see `errors`.";
        Self::new(Code::ValidationFailed, detail).with("errors", errors)
    }

    /// Parameters, of a query or a header, that the route does not know or can't take.
    pub fn parameters(errors: Vec<FieldError>) -> Self {
        let detail = "The parameters are not acceptable: see `errors`.";
        Self::new(Code::ValidationFailed, detail).with("errors", errors)
    }

    /// A known path with another method; `allow` lists the right ones (RFC 9110, section 10.2.1).
    pub fn method_not_allowed(allow: String) -> Self {
        let detail = format!("This path answers {allow}.");
        Self::new(Code::MethodNotAllowed, detail).with_header("Allow", allow)
    }

    /// Somebody who is signed in gave a wrong password: the same word as at sign-in, but no challenge to sign in.
    pub fn wrong_password() -> Self {
        let problem = Self::new(Code::InvalidCredentials, "The current password is wrong.");
        problem.with_status(403)
    }

    /// The same under another status than the code's own.
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// The same in OAuth's words as well, where they have one for it.
    pub fn for_oauth(self) -> Self {
        match self.status {
            401 => {
                let problem = self.with("error", OAuthError::InvalidClient);
                problem.with_header("WWW-Authenticate", BASIC_CHALLENGE)
            }
            400 | 408 | 413 | 415 => self.with("error", OAuthError::InvalidRequest),
            _ => self,
        }
    }

    /// A fault of ours. The cause goes to the log, once, and not to the client.
    pub fn internal(cause: impl fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::new(Code::Internal, "Something went wrong here. It was logged.")
    }

    /// Something that the service needs gives no answer for now.
    pub fn unavailable(cause: impl fmt::Display) -> Self {
        tracing::warn!(%cause, "unavailable");
        Self::new(Code::Unavailable, "The service can't answer at the moment. Try again shortly.")
    }

    /// Not every part of the service is well.
    pub fn not_ready(checks: Checks) -> Self {
        let detail = "A part of the service can't be used at the moment: see `checks`.";
        Self::new(Code::Unavailable, detail).with("checks", checks)
    }

    /// The kind of problem.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The response that carries it.
    pub fn response(&self) -> HttpResponse {
        let mut response = HttpResponseBuilder::new(self.status_code());
        response.insert_header((header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON)));
        response.insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
        if let Some(challenge) = self.code.challenge().filter(|_| self.status == 401) {
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        if self.code == Code::Unavailable {
            response.insert_header((header::RETRY_AFTER, RETRY_AFTER_SECONDS.to_string()));
        }
        for (name, value) in &self.headers {
            response.insert_header((*name, value.as_str()));
        }
        // For whoever writes down what was answered.
        response.extensions_mut().insert(self.code);
        response.body(serde_json::to_string(self).unwrap_or_default())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        self.response()
    }
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Unavailable(_) => Self::unavailable(error),
            DatabaseError::Refused(_) => Self::internal(error),
        }
    }
}

/// Says what was allowed, and when it is again (draft-ietf-httpapi-ratelimit-headers-10; RFC 9110, section 10.2.3).
impl From<Limited> for Problem {
    fn from(Limited { policy, quota, window, retry_after }: Limited) -> Self {
        // Up to a whole second: whoever comes back at that time is let in.
        let wait = retry_after.as_micros().div_ceil(1_000_000).max(1);
        Self::new(Code::RateLimited, "Too many tries, too fast. See Retry-After.")
            .with_header("Retry-After", wait.to_string())
            .with_header("RateLimit-Policy", format!("\"{policy}\";q={quota};w={}", window.as_secs()))
            .with_header("RateLimit", format!("\"{policy}\";r=0;t={wait}"))
    }
}

impl From<AuthenticateError> for Problem {
    fn from(error: AuthenticateError) -> Self {
        match error {
            AuthenticateError::InvalidCredentials(_) => {
                Self::new(Code::InvalidCredentials, "The client's id or its secret is wrong.")
            }
            AuthenticateError::Unavailable => Self::unavailable(error),
        }
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            // Not logged each time, when there is least time for it: the queue says it once.
            PasswordError::QueueFull => {
                Self::new(Code::Unavailable, "Too many sign in at the moment. Try again shortly.")
            }
            PasswordError::Failed(_) => Self::internal(error),
        }
    }
}

impl From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Invalid(invalid) => {
                Self::validation(invalid.into_iter().map(FieldError::from).collect())
            }
            RegisterError::UsernameTaken => Self::new(Code::Conflict, "This username is taken."),
            RegisterError::EmailTaken => Self::new(Code::Conflict, "This email has an account already."),
            RegisterError::Password(error) => error.into(),
            RegisterError::Database(error) => error.into(),
        }
    }
}

impl From<Invalid> for FieldError {
    fn from(invalid: Invalid) -> Self {
        let pointer = match invalid.field {
            Field::Username => "/username",
            Field::Email => "/email",
            Field::Password => "/password",
            Field::NewPassword => "/new_password",
        };
        Self { pointer: pointer.to_owned(), detail: invalid.detail }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn header<'a>(response: &'a HttpResponse, name: &str) -> Vec<&'a str> {
        response.headers().get_all(name).map(|value| value.to_str().expect("text")).collect()
    }

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

    #[test]
    fn whoever_makes_a_problem_may_say_another_challenge_and_there_is_one_in_the_response() {
        let usual = Problem::new(Code::InsufficientUserAuthentication, "");
        let expected = r#"Bearer error="insufficient_user_authentication""#;
        assert_eq!(header(&usual.response(), "www-authenticate"), [expected]);
        let challenge = format!(r#"{expected}, max_age="600""#);
        let special = usual.with_header("WWW-Authenticate", &challenge);
        assert_eq!(header(&special.response(), "www-authenticate"), [challenge.as_str()]);
        let later = Problem::new(Code::Unavailable, "").with_header("Retry-After", "60");
        assert_eq!(header(&later.response(), "retry-after"), ["60"]);
    }

    #[test]
    fn only_a_401_has_a_challenge() {
        let refused = Problem::new(Code::InvalidCredentials, "").with_status(403);
        assert_eq!(header(&refused.response(), "www-authenticate"), Vec::<&str>::new());
        assert_eq!(refused.response().status(), StatusCode::FORBIDDEN);
    }
}
