//! Account operations for operators: list, show, delete, set a password.

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::database::DatabaseError;

use super::validation::{Field, Invalid, check_password};
use super::{Account, Accounts, ManageUserError, PasswordError, UserRef, store};

/// Number of users per page.
const PAGE: i64 = 1_000;

/// Why a password was not set.
#[derive(Debug, thiserror::Error)]
pub enum SetPasswordError {
    /// The password is invalid.
    #[error("password {}", .0.detail)]
    Invalid(Invalid),
    /// There is no such user, or the database did not respond.
    #[error(transparent)]
    Manage(#[from] ManageUserError),
    /// The password could not be hashed.
    #[error(transparent)]
    Password(#[from] PasswordError),
}

impl Accounts {
    /// The next page of users after this one, in the order of creation; empty at the end.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn page(&self, after: Option<Uuid>) -> Result<Vec<Account>, DatabaseError> {
        store::page(&self.pool, after.unwrap_or_default(), PAGE).await
    }

    /// The user with this username or email, and the number of their live logins.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn show(&self, name: &str) -> Result<(Account, i64), ManageUserError> {
        let shown = store::show(&self.pool, name, self.clock.now()).await?;
        shown.ok_or_else(|| ManageUserError::Unknown(name.to_owned()))
    }

    /// Deletes a user with all their data, and ends their logins. Returns the number of live logins that were ended.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn delete(&self, name: &str) -> Result<(UserRef, i64), ManageUserError> {
        let deleted = store::delete(&self.pool, name, self.clock.now()).await?;
        deleted.ok_or_else(|| ManageUserError::Unknown(name.to_owned()))
    }

    /// Sets a password, whether there was one or not, and ends all logins. Returns the number of live logins that
    /// were ended.
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
