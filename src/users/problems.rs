//! Maps errors of this module to problem documents.

use crate::error::{Code, FieldError, Problem};

use super::{Field, Invalid, PasswordError, RegisterError};

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            // Not logged for each request, as this happens under load: the queue logs it once.
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
