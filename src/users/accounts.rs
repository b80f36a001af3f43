//! Accounts: opening one, finding one, and what its owner may do.

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

/// The most roles that a user may have: an access token that carries them must fit into a cookie of 4 KiB.
const MAX_ROLES: usize = 16;

/// What a new account is opened with.
#[derive(Debug)]
pub struct RegistrationInput {
    /// See the contract for what it may be; none: one is derived from the email.
    pub username: Option<String>,
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

/// Why nothing was done with a user who was called by name.
#[derive(Debug, thiserror::Error)]
pub enum ManageUserError {
    /// Nobody has this username or email.
    #[error("there is no user {0:?}")]
    Unknown(String),
    /// No role can be called so.
    #[error("a role {0}")]
    InvalidRole(String),
    /// The user has as many roles as a token can carry.
    #[error("the user has {MAX_ROLES} roles already, and an access token must fit into a cookie")]
    TooManyRoles,
    /// The database gave no answer.
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

    /// Opens an account. Signs nobody in.
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
            Some(username) => self.open(new, username, &password_hash).await,
            None => self.open_under_derived_name(new, &password_hash).await,
        }
    }

    async fn open_under_derived_name(
        &self,
        new: &RegistrationInput,
        password_hash: &str,
    ) -> Result<User, RegisterError> {
        let DerivedNames { preferred, fallback } = derived_username::derive(&new.email);
        let free = store::first_free(&self.pool, &preferred).await?;
        match self.open(new, free.as_ref().unwrap_or(&fallback), password_hash).await {
            // Somebody took it in between.
            Err(RegisterError::UsernameTaken) => self.open(new, &fallback, password_hash).await,
            outcome => outcome,
        }
    }

    async fn open(
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
        // Whether a name is free is for the database to say: a look beforehand would miss who comes in between.
        match store::insert(&self.pool, &user, password_hash).await? {
            Ok(()) => Ok(user),
            Err(Taken::Username) => Err(RegisterError::UsernameTaken),
            Err(Taken::Email) => Err(RegisterError::EmailTaken),
        }
    }

    /// What computes and checks password hashes.
    pub fn hasher(&self) -> &PasswordHasher {
        &self.hasher
    }

    /// What password hashing does now, and what it has done.
    pub fn hashing(&self) -> Load {
        self.hasher.load()
    }

    /// Ends every login of a user.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn sign_out(&self, user: Uuid) -> Result<i64, DatabaseError> {
        store::sign_out(&self.pool, user, self.clock.now()).await
    }

    /// The same for a user who is called by username or email. Gives how many logins there were.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn sign_out_by_name(&self, name: &str) -> Result<(UserRef, i64), ManageUserError> {
        let user = self.find(name).await?.ok_or_else(|| ManageUserError::Unknown(name.to_owned()))?;
        let ended = self.sign_out(user.id).await?;
        Ok((user, ended))
    }

    /// The user of this id.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn of_id(&self, id: Uuid) -> Result<Option<User>, DatabaseError> {
        store::find(&self.pool, id).await
    }

    /// The user who has this username or email, in any letter case.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn find(&self, name: &str) -> Result<Option<UserRef>, DatabaseError> {
        Ok(store::find_by_name(&self.pool, name).await?.map(UserRef::from))
    }

    /// Forgets how often somebody failed to be this user.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn unlock(&self, name: &str) -> Result<UserRef, ManageUserError> {
        let user = self.find(name).await?.ok_or_else(|| ManageUserError::Unknown(name.to_owned()))?;
        guess_store::forget_guesses(&self.pool, user.id).await?;
        Ok(user)
    }

    /// Deletes counts of guesses that are forgotten, for as long as it is polled.
    pub async fn run_sweep(self, upkeep: ConnectionPool) {
        guesses::run_sweep(&upkeep, &self.clock).await;
    }

    /// Lets nobody sign in as this user, and ends every login; or lets them again, which revives none.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn set_disabled(&self, name: &str, disabled: bool) -> Result<UserRef, ManageUserError> {
        let changed = store::set_disabled(&self.pool, name, disabled, self.clock.now()).await?;
        changed.ok_or_else(|| ManageUserError::Unknown(name.to_owned()))
    }

    /// Gives a user a role. Gives the roles that they have then.
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

    /// Takes a role from a user. Gives the roles that they have then.
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
