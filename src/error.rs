//! Problem documents (RFC 9457): the one form in which every error leaves the service.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::clients::AuthenticateError;
use crate::database::DatabaseError;
use crate::limits::Limited;
use crate::users::{Field, Invalid, PasswordError, RegisterError};

/// The media type of a problem document (RFC 9457, section 3).
pub const PROBLEM_JSON: &str = "application/problem+json";

/// When to try again after a 503, in seconds: long enough for a queue to drain or a database to restart.
const RETRY_AFTER_SECONDS: u32 = 2;

/// What may be done how often, in the words of the IETF's draft.
pub const RATE_LIMIT_POLICY: &str = "ratelimit-policy";

/// How much of it is left.
pub const RATE_LIMIT: &str = "ratelimit";

/// What went wrong, as a stable word to program against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is its own word; `Code::title` has the sentence")]
pub enum Code {
    InvalidCredentials,
    NotAuthenticated,
    InvalidToken,
    TokenExpired,
    TokenRevoked,
    RefreshTokenReused,
    SessionExpired,
    InsufficientUserAuthentication,
    CsrfFailed,
    CrossOrigin,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Conflict,
    ValidationFailed,
    MalformedRequest,
    PayloadTooLarge,
    UnsupportedMediaType,
    Timeout,
    RateLimited,
    Unavailable,
    Internal,
}

impl Code {
    /// The status that goes with it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidCredentials
            | Self::NotAuthenticated
            | Self::InvalidToken
            | Self::TokenExpired
            | Self::TokenRevoked
            | Self::RefreshTokenReused
            | Self::SessionExpired
            | Self::InsufficientUserAuthentication => StatusCode::UNAUTHORIZED,
            Self::CsrfFailed | Self::CrossOrigin | Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::ValidationFailed => StatusCode::UNPROCESSABLE_ENTITY,
            Self::MalformedRequest => StatusCode::BAD_REQUEST,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The same for every occurrence.
    pub fn title(self) -> &'static str {
        match self {
            Self::InvalidCredentials => "Wrong credentials",
            Self::NotAuthenticated => "Not signed in",
            Self::InvalidToken => "Invalid token",
            Self::TokenExpired => "Token expired",
            Self::TokenRevoked => "Token revoked",
            Self::RefreshTokenReused => "Refresh token reused",
            Self::SessionExpired => "Session ended",
            Self::InsufficientUserAuthentication => "Proof of identity too old or too weak",
            Self::CsrfFailed => "CSRF token missing or wrong",
            Self::CrossOrigin => "Cross-origin request refused",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "Method not allowed",
            Self::Conflict => "Conflict",
            Self::ValidationFailed => "Validation failed",
            Self::MalformedRequest => "Malformed request",
            Self::PayloadTooLarge => "Payload too large",
            Self::UnsupportedMediaType => "Unsupported media type",
            Self::Timeout => "Request timed out",
            Self::RateLimited => "Too many requests",
            Self::Unavailable => "Temporarily unavailable",
            Self::Internal => "Internal error",
        }
    }

    /// The word itself.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidCredentials => "invalid_credentials",
            Self::NotAuthenticated => "not_authenticated",
            Self::InvalidToken => "invalid_token",
            Self::TokenExpired => "token_expired",
            Self::TokenRevoked => "token_revoked",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::SessionExpired => "session_expired",
            Self::InsufficientUserAuthentication => "insufficient_user_authentication",
            Self::CsrfFailed => "csrf_failed",
            Self::CrossOrigin => "cross_origin",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict => "conflict",
            Self::ValidationFailed => "validation_failed",
            Self::MalformedRequest => "malformed_request",
            Self::PayloadTooLarge => "payload_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::Timeout => "timeout",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// What `WWW-Authenticate` says (RFC 6750, section 3): that a token was sent and is no good, or only which
    /// scheme to use.
    fn challenge(self) -> Option<&'static str> {
        match self {
            Self::InvalidCredentials | Self::NotAuthenticated => Some("Bearer"),
            _ if self.status() == StatusCode::UNAUTHORIZED => Some(r#"Bearer error="invalid_token""#),
            _ => None,
        }
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
        // RFC 6901, section 3.
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        Self { pointer, detail: detail.into() }
    }
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
    /// With `validation_failed`: every member or parameter that is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
    /// From the routes of OAuth's standards: the kind of problem in their words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    error: Option<OAuthError>,
    /// From `/health/ready`: which part it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    checks: Option<Checks>,
    /// What a kind of problem says besides (RFC 9457, section 3.2).
    #[serde(flatten)]
    #[schema(ignore)]
    extensions: Map<String, Value>,
    #[serde(skip)]
    challenge: Option<Box<str>>,
    #[serde(skip)]
    allow: Option<Box<str>>,
    #[serde(skip)]
    limited: Option<Box<Limited>>,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:dualauth:problem:{}", code.as_str()),
            title: code.title(),
            status: code.status().as_u16(),
            detail: detail.into(),
            code,
            errors: Vec::new(),
            error: None,
            checks: None,
            extensions: Map::new(),
            challenge: None,
            allow: None,
            limited: None,
        }
    }

    /// A body of the wrong shape or content.
    pub fn validation(errors: Vec<FieldError>) -> Self {
        let detail = "The body is not acceptable: see `errors`.";
        Self { errors, ..Self::new(Code::ValidationFailed, detail) }
    }

    /// Parameters, of a query or a header, that the route does not know or can't take.
    pub fn parameters(errors: Vec<FieldError>) -> Self {
        let detail = "The parameters are not acceptable: see `errors`.";
        Self { errors, ..Self::new(Code::ValidationFailed, detail) }
    }

    /// A known path with another method; `allow` lists the right ones (RFC 9110, section 10.2.1).
    pub fn method_not_allowed(allow: String) -> Self {
        let detail = format!("This path answers {allow}.");
        Self { allow: Some(allow.into()), ..Self::new(Code::MethodNotAllowed, detail) }
    }

    /// Somebody who is signed in gave a wrong password: the same word as at sign-in, but no challenge to sign in.
    pub fn wrong_password() -> Self {
        let problem = Self::new(Code::InvalidCredentials, "The current password is wrong.");
        problem.with_status(StatusCode::FORBIDDEN.as_u16())
    }

    /// The same under another status than the code's own.
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// The same with one more member, which this kind of problem has.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extensions.insert(name.to_owned(), value.into());
        self
    }

    /// The same with another `WWW-Authenticate` than the code's own.
    #[must_use]
    pub fn challenging(self, challenge: String) -> Self {
        Self { challenge: Some(challenge.into()), ..self }
    }

    /// The same in OAuth's words as well, where they have one for it.
    pub fn for_oauth(self) -> Self {
        let error = match self.status {
            401 => Some(OAuthError::InvalidClient),
            400 | 408 | 413 | 415 => Some(OAuthError::InvalidRequest),
            _ => None,
        };
        Self { error, ..self }
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
        Self { checks: Some(checks), ..Self::new(Code::Unavailable, detail) }
    }

    /// The kind of problem.
    pub fn code(&self) -> Code {
        self.code
    }

    fn challenge(&self) -> Option<&str> {
        match self.error {
            Some(OAuthError::InvalidClient) => Some(BASIC_CHALLENGE),
            _ => self.challenge.as_deref().or(self.code.challenge()),
        }
    }

    /// The response that carries it.
    pub fn response(&self) -> HttpResponse {
        let mut response = HttpResponseBuilder::new(self.status_code());
        response.insert_header((header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON)));
        response.insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
        if let Some(challenge) = self.challenge().filter(|_| self.status == 401) {
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        if self.code == Code::Unavailable {
            response.insert_header((header::RETRY_AFTER, RETRY_AFTER_SECONDS.to_string()));
        }
        if let Some(limited) = &self.limited {
            add_rate_limit(&mut response, limited);
        }
        if let Some(allow) = &self.allow {
            response.insert_header((header::ALLOW, &**allow));
        }
        // For whoever writes down what was answered.
        response.extensions_mut().insert(self.code);
        response.body(serde_json::to_string(self).unwrap_or_default())
    }
}

/// What was allowed, and when it is again (draft-ietf-httpapi-ratelimit-headers-10; RFC 9110, section 10.2.3).
fn add_rate_limit(response: &mut HttpResponseBuilder, limited: &Limited) {
    let Limited { policy, quota, window, retry_after } = limited;
    // Up to a whole second: whoever comes back at that time is let in.
    let wait = retry_after.as_micros().div_ceil(1_000_000).max(1);
    response.insert_header((header::RETRY_AFTER, wait.to_string()));
    response.insert_header((RATE_LIMIT_POLICY, format!("\"{policy}\";q={quota};w={}", window.as_secs())));
    response.insert_header((RATE_LIMIT, format!("\"{policy}\";r=0;t={wait}")));
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(self.code.status())
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

impl From<Limited> for Problem {
    fn from(limited: Limited) -> Self {
        let detail = "Too many tries, too fast. See Retry-After.";
        Self { limited: Some(Box::new(limited)), ..Self::new(Code::RateLimited, detail) }
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
