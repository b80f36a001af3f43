//! Authentication that all modes share: the mode trait, credentials of requests, identities, cookies, CSRF and
//! origins.

mod audience;
mod authentication_requirement;
mod bodies;
mod cookies;
mod csrf;
mod extractor;
mod handoff_login;
mod introspection_response;
mod login_secret_bytes;
mod mode;
mod mode_documentation;
mod origin;
mod other_modes;
mod refresh_rate_limit_per_network;
mod requests;
mod required_second_factor;
mod return_to;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::audit::{Actor, ActorLogin};
use crate::database::DatabaseError;
use crate::error::{Code, Problem};
use crate::http::client::Client;
use crate::logins::{Authentication, ClaimedLogin, ExchangeError, Transport};

pub use self::audience::Audience;
pub use self::authentication_requirement::AuthenticationRequirement;
pub use self::bodies::{
    AccessTokenBody, CsrfBody, LoginBody, MODE_SCHEMA, PendingRegistrationBody, ProfileBody, RefreshRequest,
    TokenType, UserBody, mode_schema, rfc3339, rfc3339_or_null,
};
pub use self::cookies::{CookiePolicy, CookieSpec, max_age};
pub use self::csrf::{CSRF_HEADER, Csrf};
pub use self::extractor::{AcceptedAuthModes, Credential, ForwardAuthIdentity, Rejection, pick};
pub use self::introspection_response::ActiveIntrospectionResponse;
pub use self::login_secret_bytes::LoginSecretBytes;
pub use self::mode::{Mode, ModeContext, StepUpSecret, TokenRevoked};
pub use self::mode_documentation::RouteDocumentation;
pub use self::origin::{Origins, check_origin, warn_of_lost_cookies};
pub use self::other_modes::{OtherAuthModes, OtherModeBearer};
pub use self::refresh_rate_limit_per_network::limit_refresh_rate;
pub use self::requests::{
    ChallengeAnswer, ChallengeHalves, LoginCredentials, LoginRequest, PasskeyAnswer, RegisterRequest,
    RegistrationData, StepUpProof, StepUpRequest,
};
pub use self::required_second_factor::{SecondFactorMethods, second_factor_missing};
pub use self::return_to::ReturnTo;

/// The identity of an authenticated request: its user and login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user_id: Uuid,
    /// The user's name.
    pub username: String,
    /// The names of the user's roles.
    pub roles: Vec<String>,
    /// The mode of the credential.
    pub mode: &'static str,
    /// How the credential was sent.
    pub transport: Transport,
    /// The id of the login.
    pub login_id: Uuid,
    /// How the login was authenticated, according to the credential.
    pub authentication: Authentication,
    /// When the credential expires if it is not renewed or used.
    pub expires_at: DateTime<Utc>,
}

impl Identity {
    /// The login, as the credential says.
    pub fn claimed_login(&self) -> ClaimedLogin {
        ClaimedLogin { id: self.login_id, authentication: self.authentication }
    }

    /// The actor for audit events of this identity's requests.
    pub fn actor(&self, client: &Client) -> Actor {
        let login = ActorLogin { user_id: self.user_id, username: self.username.clone(), id: self.login_id };
        client.actor().signed_in(login).in_mode(self.mode).by_transport(self.transport.as_str())
    }
}

/// Why a request is not authenticated.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The credential is malformed or ambiguous.
    #[error("{0}")]
    Malformed(&'static str),
    /// The cookie with this name was sent with different values: another service uses the same name.
    #[error("the cookie {0} came twice, with different values")]
    AmbiguousCookie(String),
    /// There is no credential.
    #[error("no credential was sent")]
    NotAuthenticated,
    /// The credential was not issued by this service, or not for this route.
    #[error("the token is not valid")]
    InvalidToken,
    /// The token has expired.
    #[error("the token has expired")]
    TokenExpired,
    /// The refresh token's login has expired.
    #[error("the token's login has run out")]
    LoginExpired,
    /// The owner's name or roles differ from the ones in the token.
    #[error("the token's owner has another name or other roles now")]
    OwnerChanged,
    /// The token's login was ended.
    #[error("the token's login has ended")]
    TokenRevoked,
    /// The session id was replaced, and its grace is over. The session itself is live.
    #[error("the session id was replaced")]
    SessionReplaced,
    /// The token was replaced by a step-up. Its login is live, with a newer one.
    #[error("the token was replaced by a step-up")]
    SteppedUp,
    /// The login was authenticated again since the credential was issued, so it can't be exchanged for another.
    #[error("the login was authenticated again since")]
    Outdated,
    /// A refresh token was used again after it had been replaced.
    #[error("the refresh token had been used already")]
    RefreshTokenReused,
    /// The session has ended or expired, or never existed.
    #[error("the session has ended")]
    SessionExpired,
    /// The credential is in a cookie, but the CSRF token is missing or wrong.
    #[error("the CSRF token is missing or wrong")]
    CsrfFailed,
    /// The revocation feed is stale, so it is unknown whether the token was revoked.
    #[error("the revocation feed can't be read")]
    Stale,
    /// The database did not respond.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl AuthError {
    /// Why a credential was not exchanged for one of the other mode; `ended` is its mode's own error for a login that has ended.
    pub fn of_exchange(error: ExchangeError, ended: Self) -> Self {
        match error {
            ExchangeError::LoginEnded => ended,
            ExchangeError::Outdated => Self::Outdated,
            ExchangeError::Database(error) => error.into(),
        }
    }

    /// Whether the credential was replaced. Its cookie must not be cleared, since the browser may already have the
    /// newer one.
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
            AuthError::Outdated => (
                Code::TokenRevoked,
                "The login was stepped up, or a factor was enrolled, since this credential was issued. A refresh brings a newer one.",
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
