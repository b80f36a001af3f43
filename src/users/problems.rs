//! The problem that each refusal is.

use crate::error::{Code, FieldError, Problem};

use super::{ChangePasswordError, Field, Invalid, PasswordError, RegisterError, VerifyError};

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

impl From<VerifyError> for Problem {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::InvalidCredentials(_) => {
                Self::new(Code::InvalidCredentials, "The name or the password is wrong.")
            }
            VerifyError::Limited(limited) | VerifyError::Closed { limited, .. } => limited.into(),
            VerifyError::Password(error) => error.into(),
            VerifyError::Database(error) => error.into(),
        }
    }
}

impl From<ChangePasswordError> for Problem {
    fn from(error: ChangePasswordError) -> Self {
        match error {
            ChangePasswordError::Invalid(invalid) => Self::validation(vec![invalid.into()]),
            // The word of sign-in, but no challenge to sign in: somebody is.
            ChangePasswordError::WrongPassword => {
                Self::new(Code::InvalidCredentials, "The current password is wrong.").with_status(403)
            }
            ChangePasswordError::Limited(limited) => limited.into(),
            ChangePasswordError::Password(error) => error.into(),
            ChangePasswordError::Database(error) => error.into(),
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
