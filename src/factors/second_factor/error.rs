//! Errors of managing second factors.

use crate::database::DatabaseError;
use crate::error::{Code, Problem};

/// Why second factors were not changed.
#[derive(Debug, thiserror::Error)]
pub enum SecondFactorError {
    /// The user has no such factor.
    #[error("there is no such factor")]
    Unknown,
    /// Nothing would be left to sign in with, or no second factor where one is required.
    #[error("it is the last factor")]
    LastFactor,
    /// There is no second factor that recovery codes could take the place of.
    #[error("two-step sign-in is off")]
    TwoStepOff,
    /// A query failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<SecondFactorError> for Problem {
    fn from(error: SecondFactorError) -> Self {
        match error {
            SecondFactorError::Unknown => Self::new(Code::NotFound, "You have no such factor."),
            SecondFactorError::LastFactor => {
                Self::new(Code::LastFactor, "This factor has to stay: add another one first.")
            }
            SecondFactorError::TwoStepOff => Self::new(
                Code::Conflict,
                "Recovery codes come with two-step sign-in: enrol a second factor first.",
            ),
            SecondFactorError::Database(error) => error.into(),
        }
    }
}
