//! Errors of codes by mail.

use crate::audit::{Actor, Kind, NewEvent};
use crate::challenges::Purpose;
use crate::database::DatabaseError;
use crate::error::{Code, Problem};
use crate::network_rate_limits::Limited;
use crate::users::UserIdAndName;

/// Why a challenge was not redeemed.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// The code is wrong. The challenge lives, unless it was the last try. Contains the user, if there is one: for the audit
    /// trail alone.
    #[error("the code is wrong")]
    WrongCode(Option<UserIdAndName>),
    /// The challenge is unknown, used, expired, superseded, of another purpose or login, or was tried too often.
    #[error("the challenge is over")]
    Expired,
    /// Too many wrong codes from the network.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// Too many wrong codes or passwords at the account. Contains the user, as [`Self::WrongCode`] does.
    #[error("the account is locked")]
    AccountLocked {
        /// The limit.
        limited: Limited,
        /// `None`: nobody has the address that was asked for.
        user: Option<UserIdAndName>,
    },
    /// A query failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl CodeError {
    /// `true` if the attempt counts as a failure in the rate limits.
    pub fn is_failure(&self) -> bool {
        !matches!(self, Self::Database(_))
    }

    /// The event of what a limit rejects; with the account, where the limit is the account's. `None`: no limit did.
    pub fn limited_event(&self, purpose: Purpose, actor: &Actor) -> Option<NewEvent> {
        let (limited, user) = match self {
            Self::Limited(limited) => (limited, None),
            Self::AccountLocked { limited, user } => (limited, user.as_ref()),
            Self::WrongCode(_) | Self::Expired | Self::Database(_) => return None,
        };
        let entry = NewEvent::to_oneself(Kind::LoginLimited, actor).with("for", purpose.as_str());
        let entry = entry.with("limit", limited.policy);
        Some(match user {
            Some(user) => entry.of_user(user.id, &user.username),
            None => entry,
        })
    }

    /// The outcome in the metrics of challenges: the code of the problem. `None`: the service failed, which says nothing about
    /// the code.
    pub fn metric_outcome(&self) -> Option<&'static str> {
        match self {
            Self::WrongCode(_) => Some(Code::InvalidCode.as_str()),
            Self::Expired => Some(Code::ChallengeExpired.as_str()),
            Self::Limited(_) | Self::AccountLocked { .. } => Some(Code::RateLimited.as_str()),
            Self::Database(_) => None,
        }
    }
}

impl From<CodeError> for Problem {
    fn from(error: CodeError) -> Self {
        match error {
            CodeError::WrongCode(_) => Self::new(Code::InvalidCode, "The code is wrong."),
            CodeError::Expired => Self::new(
                Code::ChallengeExpired,
                "This challenge is over: it was used, tried too often, superseded, or has expired. Ask for another one.",
            ),
            CodeError::Limited(limited) | CodeError::AccountLocked { limited, .. } => limited.into(),
            CodeError::Database(error) => error.into(),
        }
    }
}
