//! Errors of verifying, confirming and changing a password.

use crate::database::DatabaseError;
use crate::error::{Code, FieldError, Problem};
use crate::network_rate_limits::Limited;
use crate::users::{Invalid, PasswordError, UserIdAndName};

/// Why a sign-in by password failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Unknown user, wrong password or disabled user. Only the audit trail says which: the response must not tell an
    /// attacker whether a name exists.
    #[error("the name or the password is wrong")]
    InvalidCredentials(LoginFailure),
    /// The network has had too many failures (`LOGIN_LIMIT`).
    #[error(transparent)]
    Limited(#[from] Limited),
    /// The account is locked for this network after too many failures.
    #[error("{limited}")]
    AccountLocked {
        /// When the next attempt is possible.
        limited: Limited,
        /// The user with that name, if there is one.
        user: Option<UserIdAndName>,
    },
    /// No hash could be computed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// A query failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl LoginError {
    /// `true` if the attempt counts as a failure in the rate limits.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::InvalidCredentials(_) | Self::AccountLocked { .. })
    }
}

impl From<LoginFailure> for LoginError {
    fn from(failure: LoginFailure) -> Self {
        Self::InvalidCredentials(failure)
    }
}

impl From<LoginError> for Problem {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::InvalidCredentials(_) => {
                Self::new(Code::InvalidCredentials, "The name or the password is wrong.")
            }
            LoginError::Limited(limited) | LoginError::AccountLocked { limited, .. } => limited.into(),
            LoginError::Password(error) => error.into(),
            LoginError::Database(error) => error.into(),
        }
    }
}

/// Why the credentials of a sign-in are invalid.
#[derive(Clone, Debug)]
pub enum LoginFailure {
    /// No user has the name.
    UnknownName,
    /// The password is not that of the user with the name.
    WrongPassword(UserIdAndName),
    /// The user has no password.
    NoPassword(UserIdAndName),
    /// The user is disabled.
    Disabled(UserIdAndName),
    /// The user was disabled, or the password was changed, between verification and the start of the login.
    Changed(UserIdAndName),
    /// The stored password hash is malformed or unsupported.
    UnusableHash(UserIdAndName),
}

impl LoginFailure {
    /// The reason's name in the audit trail.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::UnknownName => "unknown_name",
            Self::WrongPassword(_) => "wrong_password",
            Self::NoPassword(_) => "no_password",
            Self::Disabled(_) => "disabled",
            Self::Changed(_) => "changed_meanwhile",
            Self::UnusableHash(_) => "unusable_hash",
        }
    }

    /// The user with the name, if there is one.
    pub fn user(&self) -> Option<&UserIdAndName> {
        match self {
            Self::UnknownName => None,
            Self::WrongPassword(user)
            | Self::NoPassword(user)
            | Self::Disabled(user)
            | Self::Changed(user)
            | Self::UnusableHash(user) => Some(user),
        }
    }
}

/// Why a signed-in user could not be authenticated again.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmPasswordError {
    /// The password is wrong, or was changed at the same moment.
    #[error("the current password is wrong")]
    WrongPassword,
    /// Too many attempts.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// No hash could be computed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// A query failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl ConfirmPasswordError {
    /// `true` if the attempt counts as a failure in the rate limits.
    pub(super) fn is_failure(&self) -> bool {
        matches!(self, Self::WrongPassword | Self::Limited(_))
    }
}

impl From<ConfirmPasswordError> for Problem {
    fn from(error: ConfirmPasswordError) -> Self {
        match error {
            // The code of sign-in, but 403 instead of 401: the user is signed in, so no challenge.
            ConfirmPasswordError::WrongPassword => {
                Self::new(Code::InvalidCredentials, "The current password is wrong.").with_status(403)
            }
            ConfirmPasswordError::Limited(limited) => limited.into(),
            ConfirmPasswordError::Password(error) => error.into(),
            ConfirmPasswordError::Database(error) => error.into(),
        }
    }
}

/// Why a password could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangePasswordError {
    /// The new password breaks the rules.
    #[error("the new password is not valid")]
    Invalid(Invalid),
    /// The account has a password, and the request did not contain it.
    #[error("the current password is missing")]
    Missing,
    /// The current password could not be confirmed.
    #[error(transparent)]
    Unconfirmed(#[from] ConfirmPasswordError),
}

impl From<ChangePasswordError> for Problem {
    fn from(error: ChangePasswordError) -> Self {
        match error {
            ChangePasswordError::Invalid(invalid) => Self::validation(vec![invalid.into()]),
            ChangePasswordError::Missing => {
                Self::validation(vec![FieldError::of("current_password", "is missing")])
            }
            ChangePasswordError::Unconfirmed(error) => error.into(),
        }
    }
}
