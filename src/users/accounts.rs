//! Accounts: opening one, and proving that one is one's own.

use secrecy::{ExposeSecret, SecretString};
use sqlx::PgPool;
use uuid::Uuid;

use crate::clock::Clock;
use crate::database::DatabaseError;

use super::store::{self, Taken};
use super::validation::{Invalid, check_user};
use super::{ADMIN_ROLE, PasswordError, PasswordHasher, USER_ROLE, User};

/// What a new account is opened with.
#[derive(Debug)]
pub struct NewUser {
    /// See the contract for what it may be.
    pub username: String,
    /// See the contract for what it may be.
    pub email: String,
    /// See the contract for what it may be.
    pub password: SecretString,
    /// Whether it looks after the service.
    pub admin: bool,
}

/// Why no account was opened.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// What was given is not acceptable; everything that is wrong.
    #[error("the input is not valid")]
    Invalid(Vec<Invalid>),
    /// Somebody has the username.
    #[error("the username is taken")]
    UsernameTaken,
    /// Somebody has the email.
    #[error("the email is taken")]
    EmailTaken,
    /// No hash was computed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The database gave no answer.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why somebody is not who they say.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// No such user, another password, or a user who is disabled: which of them is nobody's business.
    #[error("the name or the password is wrong")]
    InvalidCredentials,
    /// No hash was computed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The database gave no answer.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// The accounts of the service.
#[derive(Clone)]
pub struct Accounts {
    pool: PgPool,
    hasher: PasswordHasher,
    min_password_length: usize,
    clock: Clock,
}

impl Accounts {
    /// Accounts in this database.
    pub fn new(pool: PgPool, hasher: PasswordHasher, min_password_length: usize, clock: Clock) -> Self {
        Self { pool, hasher, min_password_length, clock }
    }

    /// Opens an account. Signs nobody in.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub async fn register(&self, new: &NewUser) -> Result<User, RegisterError> {
        let password = new.password.expose_secret();
        let invalid = check_user(&new.username, &new.email, password, self.min_password_length);
        if !invalid.is_empty() {
            return Err(RegisterError::Invalid(invalid));
        }
        let password_hash = self.hasher.hash(password).await?;
        let user = self.user(new);
        // Whether a name is free is for the database to say: a look beforehand would miss who comes in between.
        match store::insert(&self.pool, &user, &password_hash).await? {
            Ok(()) => Ok(user),
            Err(Taken::Username) => Err(RegisterError::UsernameTaken),
            Err(Taken::Email) => Err(RegisterError::EmailTaken),
        }
    }

    fn user(&self, new: &NewUser) -> User {
        let roles = if new.admin { vec![ADMIN_ROLE, USER_ROLE] } else { vec![USER_ROLE] };
        User {
            id: Uuid::now_v7(),
            username: new.username.clone(),
            email: new.email.clone(),
            roles: roles.into_iter().map(str::to_owned).collect(),
            created_at: self.clock.now(),
        }
    }

    /// The user whose username or email, in any letter case, and whose password these are. It does the same
    /// work whether there is such a user or not.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn verify(&self, name: &str, password: &SecretString) -> Result<User, VerifyError> {
        let found = store::find_by_name(&self.pool, name).await?;
        let stored = found.as_ref().map(|found| found.password_hash.as_str());
        let is_right = self.hasher.verify(password.expose_secret(), stored).await?;
        match found {
            Some(found) if is_right && !found.disabled => Ok(found.user),
            _ => Err(VerifyError::InvalidCredentials),
        }
    }
}
