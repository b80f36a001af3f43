//! Accounts: registration, look-up, disabling and roles.

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::clock::Clock;
use crate::database::{ConnectionPool, DatabaseError};

use super::derived_username::{self, DerivedNames};
use super::passwords::Load;
use super::store::{self, Taken};
use super::validation::{Invalid, check_role, check_user};
use super::{ADMIN_ROLE, PasswordError, PasswordHasher, USER_ROLE, User, UserRef};
use super::{guess_store, guesses};

/// Maximum number of roles of a user: an access token that contains them must fit into a cookie of 4 KiB.
const MAX_ROLES: usize = 16;

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

/// Why an operation on a named user failed.
#[derive(Debug, thiserror::Error)]
pub enum ManageUserError {
    /// No user has this username or email.
    #[error("there is no user {0:?}")]
    Unknown(String),
    /// The name of the role is invalid.
    #[error("a role {0}")]
    InvalidRole(String),
    /// The user has [`MAX_ROLES`] roles already.
    #[error("the user has {MAX_ROLES} roles already, and an access token must fit into a cookie")]
    TooManyRoles,
    /// The database did not respond.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// The accounts of the service.
#[derive(Clone)]
pub struct Accounts {
    pub(super) pool: ConnectionPool,
    pub(super) hasher: PasswordHasher,
    pub(super) min_password_length: usize,
    pub(super) clock: Clock,
}

impl Accounts {
    /// Accounts in this database.
    pub fn new(
        pool: ConnectionPool,
        hasher: PasswordHasher,
        min_password_length: usize,
        clock: Clock,
    ) -> Self {
        Self { pool, hasher, min_password_length, clock }
    }

    /// Creates an account, without signing in.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub async fn register(&self, new: &RegistrationInput) -> Result<User, RegisterError> {
        let password = new.password.expose_secret();
        let invalid = check_user(new.username.as_deref(), &new.email, password, self.min_password_length);
        if !invalid.is_empty() {
            return Err(RegisterError::Invalid(invalid));
        }
        let password_hash = self.hasher.hash(password).await?;
        match &new.username {
            Some(username) => self.create(new, username, &password_hash).await,
            None => self.create_with_derived_name(new, &password_hash).await,
        }
    }

    async fn create_with_derived_name(
        &self,
        new: &RegistrationInput,
        password_hash: &str,
    ) -> Result<User, RegisterError> {
        let DerivedNames { preferred, fallback } = derived_username::derive(&new.email);
        let free = store::first_free(&self.pool, &preferred).await?;
        match self.create(new, free.as_ref().unwrap_or(&fallback), password_hash).await {
            // Another registration took the name in between.
            Err(RegisterError::UsernameTaken) => self.create(new, &fallback, password_hash).await,
            outcome => outcome,
        }
    }

    async fn create(
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
            roles: roles.into_iter().map(str::to_owned).collect(),
            created_at: self.clock.now(),
        };
        // The insert itself detects taken names: a check beforehand would miss concurrent registrations.
        match store::insert(&self.pool, &user, password_hash).await? {
            Ok(()) => Ok(user),
            Err(Taken::Username) => Err(RegisterError::UsernameTaken),
            Err(Taken::Email) => Err(RegisterError::EmailTaken),
        }
    }

    /// The password hasher.
    pub fn hasher(&self) -> &PasswordHasher {
        &self.hasher
    }

    /// Current load and totals of password hashing.
    pub fn hash_load(&self) -> Load {
        self.hasher.load()
    }

    /// Ends all logins of a user. Returns their number.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn sign_out(&self, user: Uuid) -> Result<i64, DatabaseError> {
        store::sign_out(&self.pool, user, self.clock.now()).await
    }

    /// Like [`Self::sign_out`], for a user given by username or email.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn sign_out_by_name(&self, name: &str) -> Result<(UserRef, i64), ManageUserError> {
        let user = self.find(name).await?.ok_or_else(|| ManageUserError::Unknown(name.to_owned()))?;
        let ended = self.sign_out(user.id).await?;
        Ok((user, ended))
    }

    /// The user with this id.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn find_by_id(&self, id: Uuid) -> Result<Option<User>, DatabaseError> {
        store::find(&self.pool, id).await
    }

    /// The user with this username or email, in any letter case.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn find(&self, name: &str) -> Result<Option<UserRef>, DatabaseError> {
        Ok(store::find_by_name(&self.pool, name).await?.map(UserRef::from))
    }

    /// Resets the count of failed sign-ins of this user.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn unlock(&self, name: &str) -> Result<UserRef, ManageUserError> {
        let user = self.find(name).await?.ok_or_else(|| ManageUserError::Unknown(name.to_owned()))?;
        guess_store::forget_guesses(&self.pool, user.id).await?;
        Ok(user)
    }

    /// Runs the task that deletes expired counts of failed sign-ins.
    pub async fn run_sweep(self, upkeep: ConnectionPool) {
        guesses::run_sweep(&upkeep, &self.clock).await;
    }

    /// Disables a user and ends all their logins, or enables them again without restoring logins.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn set_disabled(&self, name: &str, disabled: bool) -> Result<UserRef, ManageUserError> {
        let changed = store::set_disabled(&self.pool, name, disabled, self.clock.now()).await?;
        changed.ok_or_else(|| ManageUserError::Unknown(name.to_owned()))
    }

    /// Adds a role to a user. Returns their roles afterwards.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn add_role(&self, name: &str, role: &str) -> Result<(UserRef, Vec<String>), ManageUserError> {
        check_role(role).map_err(ManageUserError::InvalidRole)?;
        let found = store::find_by_name(&self.pool, name).await?;
        let has = found.map(|found| found.roles).unwrap_or_default();
        if has.len() >= MAX_ROLES && !has.iter().any(|held| held == role) {
            return Err(ManageUserError::TooManyRoles);
        }
        self.set_role(name, role, true).await
    }

    /// Removes a role from a user. Returns their roles afterwards.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn remove_role(
        &self,
        name: &str,
        role: &str,
    ) -> Result<(UserRef, Vec<String>), ManageUserError> {
        self.set_role(name, role, false).await
    }

    async fn set_role(
        &self,
        name: &str,
        role: &str,
        given: bool,
    ) -> Result<(UserRef, Vec<String>), ManageUserError> {
        let roles = store::set_role(&self.pool, name, role, given).await?;
        roles.ok_or_else(|| ManageUserError::Unknown(name.to_owned()))
    }
}
