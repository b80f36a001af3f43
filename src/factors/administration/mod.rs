//! What operators do with the factors of an account: look at them, and remove them for somebody who has lost them all.

mod store;

use std::sync::Arc;

use crate::audit::{Actor, Kind, NewEvent, Trail};
use crate::clock::Clock;
use crate::database::{ConnectionPool, DatabaseError};
use crate::mail::{Mails, Message};
use crate::users::{UserIdAndName, find_by_name, find_recipient};

use super::second_factor::Factors;

pub use self::store::count_two_step_without_factor;

/// Why the factors of an account were not read or reset.
#[derive(Debug, thiserror::Error)]
pub enum FactorAdministrationError {
    /// No user has this username or email.
    #[error("there is no user {0:?}")]
    UnknownUser(String),
    /// There is nothing to remove.
    #[error("{0} has neither a second factor nor a passkey: nothing was changed")]
    NoFactors(String),
    /// A query failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// All factors of an account.
#[derive(Debug)]
pub struct AccountFactors {
    /// Whose they are.
    pub user: UserIdAndName,
    /// As their owner sees them.
    pub factors: Factors,
}

/// The outcome of a reset.
#[derive(Debug)]
pub struct FactorReset {
    /// The number of live logins that were ended.
    pub logins: i64,
    /// Without one the user can sign in by a code by mail only, if at all.
    pub has_password: bool,
}

/// Reads and resets the factors of named users.
#[derive(Debug)]
pub struct FactorAdministration {
    pool: ConnectionPool,
    mails: Arc<Mails>,
    clock: Clock,
    trail: Trail,
}

impl FactorAdministration {
    /// Of the users in the database of `pool`.
    pub fn new(pool: ConnectionPool, mails: Arc<Mails>, clock: Clock, trail: Trail) -> Self {
        Self { pool, mails, clock, trail }
    }

    /// The factors of the user with this username or email. No secret is among them.
    ///
    /// # Errors
    /// See [`FactorAdministrationError`]; never [`FactorAdministrationError::NoFactors`].
    pub async fn show(&self, name: &str) -> Result<AccountFactors, FactorAdministrationError> {
        let unknown = || FactorAdministrationError::UnknownUser(name.to_owned());
        let user: UserIdAndName = find_by_name(&self.pool, name).await?.ok_or_else(unknown)?.into();
        let factors = Factors::of_user(&self.pool, user.id).await?.ok_or_else(unknown)?;
        Ok(AccountFactors { user, factors })
    }

    /// Removes the authenticator, passkeys, security keys and recovery codes of a user, which turns two-step sign-in off. The
    /// password stays. Ends every login and every challenge, and mails a notice.
    ///
    /// # Errors
    /// See [`FactorAdministrationError`].
    pub async fn reset(&self, name: &str, actor: &Actor) -> Result<FactorReset, FactorAdministrationError> {
        let unknown = || FactorAdministrationError::UnknownUser(name.to_owned());
        let user: UserIdAndName = find_by_name(&self.pool, name).await?.ok_or_else(unknown)?.into();
        let (_, to) = find_recipient(&self.pool, user.id).await?.ok_or_else(unknown)?;
        let notice = self.mails.seal_notice(&to, Message::FactorsReset);
        let reset = store::reset(&self.pool, user.id, notice.as_ref(), self.clock.now()).await?;
        let reset = reset.ok_or_else(|| FactorAdministrationError::NoFactors(name.to_owned()))?;
        let entry = NewEvent::new(Kind::UserFactorsReset, actor).of_user(user.id, user.username);
        self.trail.record(entry.with("logins", reset.logins));
        Ok(reset)
    }
}
