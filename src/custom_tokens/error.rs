//! Why an operation on a custom token failed, and which problem document that is.

use crate::database::DatabaseError;
use crate::error::{Code, FieldError, Problem};

/// Why a token was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateTokenError {
    /// What the token is wanted for is invalid. Contains all faults.
    #[error("the input is not valid")]
    Invalid(Vec<FieldError>),
    /// There is no such user, or they are disabled: the token could not be redeemed.
    #[error("there is no such user, or they are disabled")]
    UnknownUser,
    /// The client was deleted a moment ago, which this node did not know yet.
    #[error("the client was deleted")]
    UnknownClient,
    /// The database did not respond.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<CreateTokenError> for Problem {
    fn from(error: CreateTokenError) -> Self {
        match error {
            CreateTokenError::Invalid(errors) => Self::validation(errors),
            CreateTokenError::UnknownUser => {
                let detail = "must be the id of a user who exists and is not disabled";
                Self::validation(vec![FieldError::of("user_id", detail)])
            }
            CreateTokenError::UnknownClient => Self::new(Code::InvalidCredentials, "The client was deleted."),
            CreateTokenError::Database(error) => error.into(),
        }
    }
}

/// Why a token was not redeemed.
#[derive(Debug, thiserror::Error)]
pub enum RedeemTokenError {
    /// The purpose is none that a token can have.
    #[error("the input is not valid")]
    Invalid(Vec<FieldError>),
    /// The token is unknown, expired, used up, of another purpose or client, or its user is disabled or gone. Not told
    /// apart, so that nobody learns which tokens there are.
    #[error("there is no such token to redeem")]
    NotRedeemable,
    /// The database did not respond.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<RedeemTokenError> for Problem {
    fn from(error: RedeemTokenError) -> Self {
        match error {
            RedeemTokenError::Invalid(errors) => Self::validation(errors),
            RedeemTokenError::NotRedeemable => {
                Self::new(Code::NotFound, "You have no such token for this purpose that can be redeemed.")
            }
            RedeemTokenError::Database(error) => error.into(),
        }
    }
}
