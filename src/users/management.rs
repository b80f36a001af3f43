//! UserWithDisabledAt operations for operators: list, show, delete, set a password.

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::audit::{Actor, Kind, NewEvent};
use crate::database::DatabaseError;
use crate::mail::{Message, SealedMail};

use super::validation::{Field, Invalid, check_password, check_role};
use super::{
    Accounts, PasswordError, RegisterError, RegistrationInput, User, UserIdAndName, UserWithDisabledAt,
    guess_deletion, store,
};

/// Number of users per page.
const PAGE: i64 = 1_000;

/// Maximum number of roles of a user: an access token that contains them must fit into a cookie of 4 KiB.
const MAX_ROLES: usize = 16;

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

impl ManageUserError {
    fn unknown(name: &str) -> Self {
        Self::Unknown(name.to_owned())
    }
}

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
    pub async fn page(&self, after: Option<Uuid>) -> Result<Vec<UserWithDisabledAt>, DatabaseError> {
        store::page(&self.pool, after.unwrap_or_default(), PAGE).await
    }

    /// The user with this username or email, and the number of their live logins.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn show(&self, name: &str) -> Result<(UserWithDisabledAt, i64), ManageUserError> {
        let shown = store::show(&self.pool, name, self.clock.now()).await?;
        shown.ok_or_else(|| ManageUserError::unknown(name))
    }

    /// Creates an account for another user.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub async fn create(&self, new: &RegistrationInput, actor: &Actor) -> Result<User, RegisterError> {
        let user = self.validate_and_insert(new).await?;
        let created = NewEvent::new(Kind::UserCreated, actor).of_user(user.id, &user.username);
        self.trail.record(created.with("roles", user.roles.join(", ")));
        Ok(user)
    }

    /// Deletes a user with all their data, and ends their logins. Returns the number of live logins that were ended.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn delete(&self, name: &str, actor: &Actor) -> Result<i64, ManageUserError> {
        let deleted = store::delete(&self.pool, name, self.clock.now()).await?;
        let (user, ended) = deleted.ok_or_else(|| ManageUserError::unknown(name))?;
        self.trail.record(entry(Kind::UserDeleted, actor, user).with("logins", ended));
        Ok(ended)
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
        actor: &Actor,
    ) -> Result<i64, SetPasswordError> {
        let password = password.expose_secret();
        check_password(password, self.min_password_length)
            .map_err(|detail| SetPasswordError::Invalid(Invalid { field: Field::Password, detail }))?;
        let hash = self.hasher.hash(password).await?;
        let notice = self.notice(name, Message::PasswordChanged).await.map_err(ManageUserError::from)?;
        let set = store::set_password(&self.pool, name, &hash, notice.as_ref(), self.clock.now()).await;
        let set = set.map_err(ManageUserError::from)?;
        let (user, ended) = set.ok_or_else(|| ManageUserError::unknown(name))?;
        self.trail.record(entry(Kind::UserPasswordSet, actor, user).with("logins", ended));
        Ok(ended)
    }

    /// Ends all logins of a user. Returns their number.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn sign_out_by_name(&self, name: &str, actor: &Actor) -> Result<i64, ManageUserError> {
        let user = self.find(name).await?.ok_or_else(|| ManageUserError::unknown(name))?;
        let ended = store::sign_out(&self.pool, user.id, self.clock.now()).await?;
        self.trail.record(entry(Kind::UserLoggedOut, actor, user).with("logins", ended));
        Ok(ended)
    }

    /// Resets the count of failed sign-ins of this user.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn unlock(&self, name: &str, actor: &Actor) -> Result<(), ManageUserError> {
        let user = self.find(name).await?.ok_or_else(|| ManageUserError::unknown(name))?;
        guess_deletion::forget_guesses(&self.pool, user.id).await?;
        self.trail.record(entry(Kind::UserUnlocked, actor, user));
        Ok(())
    }

    /// Disables a user and ends all their logins, or enables them again without restoring logins.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn set_disabled(
        &self,
        name: &str,
        disabled: bool,
        actor: &Actor,
    ) -> Result<(), ManageUserError> {
        let notice = self.notice(name, Message::AccountDisabled).await?;
        let now = self.clock.now();
        let changed = store::set_disabled(&self.pool, name, disabled, notice.as_ref(), now).await?;
        let user = changed.ok_or_else(|| ManageUserError::unknown(name))?;
        let kind = if disabled { Kind::UserDisabled } else { Kind::UserEnabled };
        self.trail.record(entry(kind, actor, user));
        Ok(())
    }

    /// Declares the email of a user to be theirs, as if they had proved it.
    ///
    /// # Errors
    /// See [`ManageUserError`].
    pub async fn verify_email(&self, name: &str, actor: &Actor) -> Result<(), ManageUserError> {
        let verified = store::verify_email(&self.pool, name, self.clock.now()).await?;
        let user = verified.ok_or_else(|| ManageUserError::unknown(name))?;
        self.trail.record(entry(Kind::UserEmailVerified, actor, user));
        Ok(())
    }

    /// A notice to the user with this name. `None` when there is no such user, or mails are off.
    async fn notice(&self, name: &str, message: Message) -> Result<Option<SealedMail>, DatabaseError> {
        let recipient = store::find_recipient_by_name(&self.pool, name).await?;
        Ok(recipient.and_then(|to| self.mails.seal_notice(&to, message)))
    }

    /// Adds a role to a user. Returns their roles afterwards.
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

    /// Removes a role from a user. Returns their roles afterwards.
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

/// An audit event for an operation on this user.
fn entry(kind: Kind, actor: &Actor, user: UserIdAndName) -> NewEvent {
    NewEvent::new(kind, actor).of_user(user.id, user.username)
}
