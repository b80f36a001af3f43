//! Accounts in an operator's hands: who there are, and what is done to one whatever its owner wants.

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::audit::{Actor, Entry, Kind};
use crate::database::DatabaseError;

use super::validation::{Field, Invalid, check_password, check_role};
use super::{
    Account, Accounts, PasswordError, RegisterError, RegistrationInput, User, UserRef, guess_store, store,
};

/// How many users are read at a time.
const PAGE: i64 = 1_000;

/// The most roles that a user may have: an access token that carries them must fit into a cookie of 4 KiB.
const MAX_ROLES: usize = 16;

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

impl ManageUserError {
    fn unknown(name: &str) -> Self {
        Self::Unknown(name.to_owned())
    }
}

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
        shown.ok_or_else(|| ManageUserError::unknown(name))
    }

    /// Opens an account for somebody else.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub async fn create(&self, new: &RegistrationInput, actor: &Actor) -> Result<User, RegisterError> {
        let user = self.open(new).await?;
        let created = Entry::new(Kind::UserCreated, actor).of_user(user.id, &user.username);
        self.trail.record(created.with("roles", user.roles.join(", ")));
        Ok(user)
    }

    /// Deletes one, with all that is theirs; every login ends. Gives how many of those there were.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn delete(&self, name: &str, actor: &Actor) -> Result<i64, ManageUserError> {
        let deleted = store::delete(&self.pool, name, self.clock.now()).await?;
        let (user, ended) = deleted.ok_or_else(|| ManageUserError::unknown(name))?;
        self.trail.record(entry(Kind::UserDeleted, actor, user).with("logins", ended));
        Ok(ended)
    }

    /// Sets a password in the place of whatever one has, and ends every login. Gives how many there were.
    ///
    /// # Errors
    /// See [`SetPasswordError`].
    pub async fn set_password(
        &self,
        name: &str,
        password: &SecretString,
        actor: &Actor,
    ) -> Result<i64, SetPasswordError> {
        let password = password.expose_secret();
        check_password(password, self.min_password_length)
            .map_err(|detail| SetPasswordError::Invalid(Invalid { field: Field::Password, detail }))?;
        let hash = self.hasher.hash(password).await?;
        let set = store::set_password(&self.pool, name, &hash, self.clock.now()).await;
        let set = set.map_err(ManageUserError::from)?;
        let (user, ended) = set.ok_or_else(|| ManageUserError::unknown(name))?;
        self.trail.record(entry(Kind::UserPasswordSet, actor, user).with("logins", ended));
        Ok(ended)
    }

    /// Ends every login of one. Gives how many there were.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn sign_out_by_name(&self, name: &str, actor: &Actor) -> Result<i64, ManageUserError> {
        let user = self.find(name).await?.ok_or_else(|| ManageUserError::unknown(name))?;
        let ended = store::sign_out(&self.pool, user.id, self.clock.now()).await?;
        self.trail.record(entry(Kind::UserLoggedOut, actor, user).with("logins", ended));
        Ok(ended)
    }

    /// Forgets how often somebody failed to be this user.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn unlock(&self, name: &str, actor: &Actor) -> Result<(), ManageUserError> {
        let user = self.find(name).await?.ok_or_else(|| ManageUserError::unknown(name))?;
        guess_store::forget_guesses(&self.pool, user.id).await?;
        self.trail.record(entry(Kind::UserUnlocked, actor, user));
        Ok(())
    }

    /// Lets nobody sign in as this user, and ends every login; or lets them again, which revives none.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn set_disabled(
        &self,
        name: &str,
        disabled: bool,
        actor: &Actor,
    ) -> Result<(), ManageUserError> {
        let changed = store::set_disabled(&self.pool, name, disabled, self.clock.now()).await?;
        let user = changed.ok_or_else(|| ManageUserError::unknown(name))?;
        let kind = if disabled { Kind::UserDisabled } else { Kind::UserEnabled };
        self.trail.record(entry(kind, actor, user));
        Ok(())
    }

    /// Gives a user a role. Gives the roles that they have then.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn add_role(
        &self,
        name: &str,
        role: &str,
        actor: &Actor,
    ) -> Result<Vec<String>, ManageUserError> {
        check_role(role).map_err(ManageUserError::InvalidRole)?;
        let found = store::find_by_name(&self.pool, name).await?;
        let has = found.map(|found| found.roles).unwrap_or_default();
        if has.len() >= MAX_ROLES && !has.iter().any(|held| held == role) {
            return Err(ManageUserError::TooManyRoles);
        }
        self.set_role(name, role, true, actor).await
    }

    /// Takes a role from a user. Gives the roles that they have then.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn remove_role(
        &self,
        name: &str,
        role: &str,
        actor: &Actor,
    ) -> Result<Vec<String>, ManageUserError> {
        self.set_role(name, role, false, actor).await
    }

    async fn set_role(
        &self,
        name: &str,
        role: &str,
        given: bool,
        actor: &Actor,
    ) -> Result<Vec<String>, ManageUserError> {
        let set = store::set_role(&self.pool, name, role, given).await?;
        let (user, roles) = set.ok_or_else(|| ManageUserError::unknown(name))?;
        let kind = if given { Kind::RoleAdded } else { Kind::RoleRemoved };
        self.trail.record(entry(kind, actor, user).with("role", role));
        Ok(roles)
    }
}

/// What the audit trail is told of what is done to this user.
fn entry(kind: Kind, actor: &Actor, user: UserRef) -> Entry {
    Entry::new(kind, actor).of_user(user.id, user.username)
}
