//! Why a password proved nothing, or was not changed.

use crate::database::DatabaseError;
use crate::error::{Code, FieldError, Problem};
use crate::rate_limits::Limited;
use crate::users::{Invalid, PasswordError, UserRef};

/// Why somebody is not signed in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// No such user, another password, or a user who is disabled: which of them is nobody's business but the audit
    /// trail's.
    #[error("the name or the password is wrong")]
    InvalidCredentials(LoginFailure),
    /// The network has failed too often.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// The account has been guessed at too often.
    #[error("{limited}")]
    Closed {
        /// Until when.
        limited: Limited,
        /// Whose it is, if it is anybody's.
        user: Option<UserRef>,
    },
    /// No hash was computed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The database gave no answer.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl LoginError {
    /// Whether it counts as a failure of whoever tried.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::InvalidCredentials(_) | Self::Closed { .. })
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
            LoginError::Limited(limited) | LoginError::Closed { limited, .. } => limited.into(),
            LoginError::Password(error) => error.into(),
            LoginError::Database(error) => error.into(),
        }
    }
}

/// Why somebody did not prove to be a user.
#[derive(Clone, Debug)]
pub enum LoginFailure {
    /// Nobody has the name.
    UnknownName,
    /// It is not the password of the user who has the name.
    WrongPassword(UserRef),
    /// The user signs in without one.
    NoPassword(UserRef),
    /// The user may not sign in.
    Disabled(UserRef),
    /// The user was disabled, or what proves the account was changed, in this very moment.
    Changed(UserRef),
    /// What is stored of the user's password can't be verified.
    UnusableHash(UserRef),
}

impl LoginFailure {
    /// The reason as a word.
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

    /// The user who has the name.
    pub fn user(&self) -> Option<&UserRef> {
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

/// Why somebody who is signed in did not prove once more to be who they are.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmPasswordError {
    /// It is another, or was changed at the same moment.
    #[error("the current password is wrong")]
    WrongPassword,
    /// It has been tried too often.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// No hash was computed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The database gave no answer.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl ConfirmPasswordError {
    /// See [`LoginError::is_failure`].
    pub(super) fn is_failure(&self) -> bool {
        matches!(self, Self::WrongPassword | Self::Limited(_))
    }
}

impl From<ConfirmPasswordError> for Problem {
    fn from(error: ConfirmPasswordError) -> Self {
        match error {
            // The word of sign-in, but no challenge to sign in: somebody is.
            ConfirmPasswordError::WrongPassword => {
                Self::new(Code::InvalidCredentials, "The current password is wrong.").with_status(403)
            }
            ConfirmPasswordError::Limited(limited) => limited.into(),
            ConfirmPasswordError::Password(error) => error.into(),
            ConfirmPasswordError::Database(error) => error.into(),
        }
    }
}

/// Why a password was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangePasswordError {
    /// The new one is not acceptable.
    #[error("the new password is not valid")]
    Invalid(Invalid),
    /// The account has one, and it was not given.
    #[error("the current password is missing")]
    Missing,
    /// The current one did not prove anything.
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
