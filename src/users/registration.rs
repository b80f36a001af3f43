//! Registration of accounts: validates, hashes the password, derives a missing username, inserts.

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::audit::{Actor, Kind, NewEvent};
use crate::database::DatabaseError;
use crate::mail::Language;

use super::derived_username::{self, DerivedNames};
use super::store::{self, Taken};
use super::validation::{Invalid, check_user};
use super::{ADMIN_ROLE, Accounts, PasswordError, USER_ROLE, User};

/// The input of a registration.
#[derive(Debug)]
pub struct RegistrationInput {
    /// See `users/validation.rs` for the rules. `None`: derived from the email.
    pub username: Option<String>,
    /// See `users/validation.rs` for the rules.
    pub email: String,
    /// See `users/validation.rs` for the rules.
    pub password: SecretString,
    /// Whether the user gets the role `admin`.
    pub admin: bool,
    /// The language of mails to the user.
    pub language: Language,
}

/// Why a registration failed.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The input is invalid. Contains all faults.
    #[error("the input is not valid")]
    Invalid(Vec<Invalid>),
    /// The username is taken.
    #[error("the username is taken")]
    UsernameTaken,
    /// The email is taken.
    #[error("the email is taken")]
    EmailTaken,
    /// The password could not be hashed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The database did not respond.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Accounts {
    /// Creates an account for a user, without signing in.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub async fn register(&self, new: &RegistrationInput, actor: &Actor) -> Result<User, RegisterError> {
        let user = self.validate_and_insert(new).await?;
        self.trail.record(NewEvent::new(Kind::Registered, actor).of_user(user.id, &user.username));
        Ok(user)
    }

    pub(super) async fn validate_and_insert(&self, new: &RegistrationInput) -> Result<User, RegisterError> {
        let password = new.password.expose_secret();
        let invalid = check_user(new.username.as_deref(), &new.email, password, self.min_password_length);
        if !invalid.is_empty() {
            return Err(RegisterError::Invalid(invalid));
        }
        let password_hash = self.hasher.hash(password).await?;
        match &new.username {
            Some(username) => self.insert(new, username, &password_hash).await,
            None => self.insert_with_derived_name(new, &password_hash).await,
        }
    }

    async fn insert_with_derived_name(
        &self,
        new: &RegistrationInput,
        password_hash: &str,
    ) -> Result<User, RegisterError> {
        let DerivedNames { preferred, fallback } = derived_username::derive(&new.email);
        let free = store::first_free(&self.pool, &preferred).await?;
        match self.insert(new, free.as_ref().unwrap_or(&fallback), password_hash).await {
            // Another registration took the name in between.
            Err(RegisterError::UsernameTaken) => self.insert(new, &fallback, password_hash).await,
            outcome => outcome,
        }
    }

    async fn insert(
        &self,
        new: &RegistrationInput,
        username: &str,
        password_hash: &str,
    ) -> Result<User, RegisterError> {
        let roles = if new.admin { vec![ADMIN_ROLE, USER_ROLE] } else { vec![USER_ROLE] };
        let user = User {
            id: Uuid::now_v7(),
            username: username.to_owned(),
            email: new.email.clone(),
            email_verified: false,
            roles: roles.into_iter().map(str::to_owned).collect(),
            created_at: self.clock.now(),
        };
        // The insert itself detects taken names: a check beforehand would miss concurrent registrations.
        match store::insert(&self.pool, &user, password_hash, new.language).await? {
            Ok(()) => Ok(user),
            Err(Taken::Username) => Err(RegisterError::UsernameTaken),
            Err(Taken::Email) => Err(RegisterError::EmailTaken),
        }
    }
}
