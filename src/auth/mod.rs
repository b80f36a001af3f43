//! What all modes have in common: how a login begins, which credential a request presents, what it proves, and what
//! else a browser must show for it.

mod audience;
mod bodies;
mod cookies;
mod csrf;
mod extractor;
mod introspected_token;
mod login_secret;
mod mode;
mod mode_documentation;
mod origin;
mod refresh_rate_limit;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::audit::{Actor, ActorLogin};
use crate::database::DatabaseError;
use crate::error::{Code, Problem};
use crate::http::client::Client;
use crate::logins::{Authentication, Transport};

pub use self::audience::Audience;
pub use self::bodies::{
    CsrfBody, LoginBody, LoginRequest, MODE_SCHEMA, ProfileBody, RefreshRequest, RegisterRequest,
    StepUpRequest, TokenType, UserBody, mode_schema, rfc3339, rfc3339_or_null,
};
pub use self::cookies::{CookiePolicy, CookieSpec, max_age};
pub use self::csrf::{CSRF_HEADER, Csrf};
pub use self::extractor::{AcceptedModes, Credential, ForwardAuthIdentity, Rejection, pick};
pub use self::introspected_token::IntrospectedToken;
pub use self::login_secret::LoginSecret;
pub use self::mode::{Mode, ModeContext, RevocationOutcome, RotatedSecret};
pub use self::mode_documentation::RouteDocumentation;
pub use self::origin::{Origins, check_origin, warn_of_lost_cookies};
pub use self::refresh_rate_limit::within_refresh_limit;

/// Who sent a request, and which of their logins they sent it under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user_id: Uuid,
    /// The user's name.
    pub username: String,
    /// What the user may do, by name.
    pub roles: Vec<String>,
    /// The mode of the credential.
    pub mode: &'static str,
    /// The way the credential came.
    pub transport: Transport,
    /// The login that it presents.
    pub login_id: Uuid,
    /// How that login was proved, as the credential says.
    pub authentication: Authentication,
    /// When the credential ends if it is not renewed or used.
    pub expires_at: DateTime<Utc>,
}

impl Identity {
    /// Who asks by this client, as the audit trail tells of them.
    pub fn actor(&self, client: &Client) -> Actor {
        let login = ActorLogin { user_id: self.user_id, username: self.username.clone(), id: self.login_id };
        client.actor().signed_in(login).in_mode(self.mode).by_transport(self.transport.as_str())
    }
}

/// Why a request is not authenticated.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The request presents a credential in a form that can't be read one way only.
    #[error("{0}")]
    Malformed(&'static str),
    /// The cookie of this name came twice, with different values: another service's has the same name.
    #[error("the cookie {0} came twice, with different values")]
    AmbiguousCookie(String),
    /// It presents none.
    #[error("no credential was sent")]
    NotAuthenticated,
    /// It presents one that is not ours, or not for here.
    #[error("the token is not valid")]
    InvalidToken,
    /// The token has run out.
    #[error("the token has expired")]
    TokenExpired,
    /// The refresh token's login has run out.
    #[error("the token's login has run out")]
    LoginExpired,
    /// The token says another name or other roles than its owner has.
    #[error("the token's owner has another name or other roles now")]
    OwnerChanged,
    /// The token's login was ended.
    #[error("the token's login has ended")]
    TokenRevoked,
    /// The session id was replaced by a newer one, and its grace is over. The session lives.
    #[error("the session id was replaced")]
    SessionReplaced,
    /// The token was replaced by a step-up. Its login lives, under a newer one.
    #[error("the token was replaced by a step-up")]
    SteppedUp,
    /// A refresh token was used again after its successor had taken over.
    #[error("the refresh token had been used already")]
    RefreshTokenReused,
    /// The session ended, expired, or never was.
    #[error("the session has ended")]
    SessionExpired,
    /// The credential came in a cookie, and the proof that the page meant to send it did not come, or is wrong.
    #[error("the CSRF token is missing or wrong")]
    CsrfFailed,
    /// Whether the token was revoked can't be found out.
    #[error("the revocation feed can't be read")]
    Stale,
    /// The database gave no answer.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl AuthError {
    /// Whether the credential has a successor. That may be on its way to the browser, or there already: its cookie is to be left
    /// alone.
    fn is_replaced(&self) -> bool {
        matches!(self, Self::SessionReplaced | Self::SteppedUp)
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        let (code, detail) = match error {
            AuthError::Malformed(detail) => (Code::MalformedRequest, detail),
            AuthError::AmbiguousCookie(name) => {
                return Self::new(
                    Code::MalformedRequest,
                    format!(
                        "The cookie {name} came twice, with different values: another service on this host, or on a domain above \
                 or below it, has one of the same name. Deleting this site's cookies helps once; COOKIE_NAME_PREFIX gives \
                 this service's cookies names of their own."
                    ),
                );
            }
            AuthError::NotAuthenticated => {
                (Code::NotAuthenticated, "Sign in first: no credential came that this route takes.")
            }
            AuthError::InvalidToken => (Code::InvalidToken, "The token is not valid here."),
            AuthError::TokenExpired => (Code::TokenExpired, "The token has expired."),
            AuthError::LoginExpired => (Code::TokenExpired, "The token's login has run out. Sign in again."),
            AuthError::OwnerChanged => (
                Code::TokenRevoked,
                "The name or the roles of the token's owner have changed. A refresh brings a token with the new ones.",
            ),
            AuthError::TokenRevoked => (Code::TokenRevoked, "The token's login has ended. Sign in again."),
            AuthError::SessionReplaced => {
                (Code::SessionExpired, "The session id was replaced. Use the newer one, or sign in again.")
            }
            AuthError::SteppedUp => (
                Code::InvalidToken,
                "The token was replaced when its login was stepped up. Use the newer one.",
            ),
            AuthError::RefreshTokenReused => (
                Code::RefreshTokenReused,
                "This refresh token had been used already, so somebody else may have a copy. The login was ended.",
            ),
            AuthError::SessionExpired => (Code::SessionExpired, "The session has ended. Sign in again."),
            AuthError::CsrfFailed => {
                (Code::CsrfFailed, "Send the login's CSRF token in the header X-CSRF-Token.")
            }
            AuthError::Stale => return Self::unavailable(error),
            AuthError::Database(error) => return error.into(),
        };
        Self::new(code, detail)
    }
}
