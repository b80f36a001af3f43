//! Accounts in an operator's hands: who there are, and what is done to one whatever its owner wants.

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::database::DatabaseError;

use super::validation::{Field, Invalid, check_password};
use super::{Account, Accounts, ManageUserError, PasswordError, UserRef, store};

/// How many users are read at a time.
const PAGE: i64 = 1_000;

/// Why no password was set.
#[derive(Debug, thiserror::Error)]
pub enum SetPasswordError {
    /// It is not acceptable.
    #[error("password {}", .0.detail)]
    Invalid(Invalid),
    /// Nobody has this name, or the database gave no answer.
    #[error(transparent)]
    Manage(#[from] ManageUserError),
    /// No hash was computed.
    #[error(transparent)]
    Password(#[from] PasswordError),
}

impl Accounts {
    /// The next users after this one, in the order in which they were added; none: there are no more.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn page(&self, after: Option<Uuid>) -> Result<Vec<Account>, DatabaseError> {
        store::page(&self.pool, after.unwrap_or_default(), PAGE).await
    }

    /// One who is called by username or email, and how many live logins they have.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn show(&self, name: &str) -> Result<(Account, i64), ManageUserError> {
        let shown = store::show(&self.pool, name, self.clock.now()).await?;
        shown.ok_or_else(|| ManageUserError::Unknown(name.to_owned()))
    }

    /// Deletes one, with all that is theirs; every login ends. Gives how many of those there were.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn delete(&self, name: &str) -> Result<(UserRef, i64), ManageUserError> {
        let deleted = store::delete(&self.pool, name, self.clock.now()).await?;
        deleted.ok_or_else(|| ManageUserError::Unknown(name.to_owned()))
    }

    /// Sets a password in the place of whatever one has, and ends every login. Gives how many there were.
    ///
    /// # Errors
    /// See [`SetPasswordError`].
    pub async fn set_password(
        &self,
        name: &str,
        password: &SecretString,
    ) -> Result<(UserRef, i64), SetPasswordError> {
        let password = password.expose_secret();
        check_password(password, self.min_password_length)
            .map_err(|detail| SetPasswordError::Invalid(Invalid { field: Field::Password, detail }))?;
        let hash = self.hasher.hash(password).await?;
        let set = store::set_password(&self.pool, name, &hash, self.clock.now()).await;
        let set = set.map_err(ManageUserError::from)?;
        Ok(set.ok_or_else(|| ManageUserError::Unknown(name.to_owned()))?)
    }
}
