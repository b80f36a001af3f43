//! Accounts: opening one, and proving that one is one's own.

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::clock::Clock;
use crate::database::{Connections, DatabaseError};
use crate::limits::Limited;

use super::guess_store;
use super::guesses::{self, Claimant, closed};
use super::passwords::{Load, PasswordCheck, QueueSlot};
use super::store::{self, Taken};
use super::username::{self, DerivedNames};
use super::validation::{Field, Invalid, check_password, check_role, check_user};
use super::{ADMIN_ROLE, PasswordError, PasswordHasher, USER_ROLE, User, UserRef};

/// The most roles that a user may have: an access token that carries them must fit into a cookie of 4 KiB.
const MAX_ROLES: usize = 16;

/// What a new account is opened with.
#[derive(Debug)]
pub struct NewUser {
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

/// Why somebody is not who they say.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// No such user, another password, or a user who is disabled: which of them is nobody's business but the audit
    /// trail's.
    #[error("the name or the password is wrong")]
    InvalidCredentials(Refused),
    /// The network has failed too often.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// The account has been guessed at too often.
    #[error("{limited}")]
    Closed {
        /// Until when.
        limited: Limited,
        /// Whose it is, if it is anybody's.
        user: Option<UserRef>,
    },
    /// No hash was computed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The database gave no answer.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why somebody did not prove to be a user.
#[derive(Clone, Debug)]
pub enum Refused {
    /// Nobody has the name.
    UnknownName,
    /// It is not the password of the user who has the name.
    WrongPassword(UserRef),
    /// The user may not sign in.
    Disabled(UserRef),
    /// The user was disabled, or got another password, in this very moment.
    Changed(UserRef),
    /// What is stored of the user's password can't be verified.
    UnusableHash(UserRef),
}

impl Refused {
    /// The reason as a word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::UnknownName => "unknown_name",
            Self::WrongPassword(_) => "wrong_password",
            Self::Disabled(_) => "disabled",
            Self::Changed(_) => "changed_meanwhile",
            Self::UnusableHash(_) => "unusable_hash",
        }
    }

    /// The user who has the name.
    pub fn user(&self) -> Option<&UserRef> {
        match self {
            Self::UnknownName => None,
            Self::WrongPassword(user)
            | Self::Disabled(user)
            | Self::Changed(user)
            | Self::UnusableHash(user) => Some(user),
        }
    }
}

/// Somebody who has proved to be this user, by the password that the user had then.
#[derive(Debug)]
pub struct Proved {
    /// Who.
    pub user: User,
    /// How often the password had been changed: when it is changed again, the proof is worth nothing.
    pub password_version: i32,
    /// The hash of the password was replaced by one of today's.
    pub upgraded: bool,
}

impl From<Refused> for VerifyError {
    fn from(refused: Refused) -> Self {
        Self::InvalidCredentials(refused)
    }
}

/// Why a password was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangePasswordError {
    /// The new one is not acceptable.
    #[error("the new password is not valid")]
    Invalid(Invalid),
    /// The current one is another, or somebody else changed it at the same moment.
    #[error("the current password is wrong")]
    WrongPassword,
    /// It has been guessed at too often.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// No hash was computed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The database gave no answer.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why nothing was done with a user who was called by name.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
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
    pub(super) pool: Connections,
    pub(super) hasher: PasswordHasher,
    pub(super) min_password_length: usize,
    pub(super) clock: Clock,
}

impl Accounts {
    /// Accounts in this database.
    pub fn new(pool: Connections, hasher: PasswordHasher, min_password_length: usize, clock: Clock) -> Self {
        Self { pool, hasher, min_password_length, clock }
    }

    /// Opens an account. Signs nobody in.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub async fn register(&self, new: &NewUser) -> Result<User, RegisterError> {
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
        new: &NewUser,
        password_hash: &str,
    ) -> Result<User, RegisterError> {
        let DerivedNames { preferred, fallback } = username::derive(&new.email);
        let free = store::first_free(&self.pool, &preferred).await?;
        match self.open(new, free.as_ref().unwrap_or(&fallback), password_hash).await {
            // Somebody took it in between.
            Err(RegisterError::UsernameTaken) => self.open(new, &fallback, password_hash).await,
            outcome => outcome,
        }
    }

    async fn open(&self, new: &NewUser, username: &str, password_hash: &str) -> Result<User, RegisterError> {
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

    /// A place in the queue for what proves who somebody is: before anything else is done about it.
    ///
    /// # Errors
    /// When the queue is full.
    pub fn enter(&self) -> Result<QueueSlot, PasswordError> {
        self.hasher.enter()
    }

    /// What password hashing does now, and what it has done.
    pub fn hashing(&self) -> Load {
        self.hasher.load()
    }

    /// Whether a try to be whoever has this name would be taken now: a look, before a place in the queue is taken for it.
    ///
    /// # Errors
    /// [`VerifyError::Closed`], and when the queue is full or the database gives no answer.
    pub async fn check_open(&self, name: &str, claimant: Claimant) -> Result<(), VerifyError> {
        self.hasher.check_room()?;
        let now = self.clock.now();
        match guess_store::next_try(&self.pool, name, claimant, now).await? {
            Some((until, user)) => Err(VerifyError::Closed { limited: closed(until, now), user }),
            None => Ok(()),
        }
    }

    /// The same for a user who is to prove once more to be who they are.
    ///
    /// # Errors
    /// [`ChangePasswordError::Limited`], and when the queue is full or the database gives no answer.
    pub async fn check_open_to(&self, user: Uuid) -> Result<(), ChangePasswordError> {
        self.hasher.check_room()?;
        let now = self.clock.now();
        match guess_store::own_next_try(&self.pool, user, now).await? {
            Some(until) => Err(closed(until, now).into()),
            None => Ok(()),
        }
    }

    /// The user whose username or email, in any letter case, and whose password these are. It does the same
    /// work whether there is such a user or not. A try counts as failed until a login has begun.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn verify(
        &self,
        place: QueueSlot,
        name: &str,
        password: &SecretString,
        claimant: Claimant,
    ) -> Result<Proved, VerifyError> {
        let now = self.clock.now();
        let found = guess_store::find_by_claim(&self.pool, name, claimant, now).await?;
        let found =
            found.map_err(|(until, user)| VerifyError::Closed { limited: closed(until, now), user })?;
        let stored = found.as_ref().map(|found| found.password.hash.as_str());
        let verdict = place.verify(password.expose_secret(), stored).await?;
        match (found, verdict) {
            (Some(found), PasswordCheck::Right { upgrade }) if !found.disabled => {
                let upgraded = match upgrade {
                    Some(new) => self.upgrade_hash(found.user.id, &found.password.hash, &new).await,
                    None => false,
                };
                Ok(Proved { user: found.user, password_version: found.password.version, upgraded })
            }
            (Some(found), PasswordCheck::Right { .. }) => Err(Refused::Disabled(found.user.into()).into()),
            (Some(found), PasswordCheck::Wrong) => Err(Refused::WrongPassword(found.user.into()).into()),
            (Some(found), PasswordCheck::Unusable(reason)) => {
                let user = found.user;
                tracing::error!(user = %user.id, "nobody can sign in as this user: the password hash {reason}");
                Err(Refused::UnusableHash(user.into()).into())
            }
            (None, _) => Err(Refused::UnknownName.into()),
        }
    }

    /// Nobody is kept from signing in by a hash that stays as it was: the next sign-in tries again.
    async fn upgrade_hash(&self, user: Uuid, old: &str, new: &str) -> bool {
        let outcome = store::upgrade_hash(&self.pool, user, old, new).await;
        if let Err(error) = &outcome {
            tracing::warn!(%user, %error, "the password hash was not upgraded");
        }
        outcome.is_ok()
    }

    /// Sets another password for a user who knows the current one, and ends every login of theirs but `kept`.
    ///
    /// # Errors
    /// See [`ChangePasswordError`].
    pub async fn change_password(
        &self,
        place: QueueSlot,
        user: Uuid,
        current: &SecretString,
        new: &SecretString,
        kept: Uuid,
    ) -> Result<(), ChangePasswordError> {
        let wrong = |detail| Invalid { field: Field::NewPassword, detail };
        check_password(new.expose_secret(), self.min_password_length)
            .map_err(|detail| ChangePasswordError::Invalid(wrong(detail)))?;
        let now = self.clock.now();
        let stored = guess_store::password_by_claim(&self.pool, user, now).await?;
        let stored = stored.map_err(|until| closed(until, now))?;
        let hash = stored.as_ref().map(|stored| stored.hash.as_str());
        let verdict = place.verify(current.expose_secret(), hash).await?;
        let (Some(stored), PasswordCheck::Right { .. }) = (stored, verdict) else {
            return Err(ChangePasswordError::WrongPassword);
        };
        let new = place.hash(new.expose_secret()).await?;
        let now = self.clock.now();
        match store::change_password(&self.pool, user, stored.version, &new, kept, now).await? {
            true => Ok(()),
            false => Err(ChangePasswordError::WrongPassword),
        }
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
    /// See [`ManageError`].
    pub async fn sign_out_by_name(&self, name: &str) -> Result<(UserRef, i64), ManageError> {
        let user = self.find(name).await?.ok_or_else(|| ManageError::Unknown(name.to_owned()))?;
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
        Ok(store::find_by_name(&self.pool, name).await?.map(|found| found.user.into()))
    }

    /// Forgets how often somebody failed to be this user.
    ///
    /// # Errors
    /// See [`ManageError`].
    pub async fn unlock(&self, name: &str) -> Result<UserRef, ManageError> {
        let user = self.find(name).await?.ok_or_else(|| ManageError::Unknown(name.to_owned()))?;
        guess_store::forget_guesses(&self.pool, user.id).await?;
        Ok(user)
    }

    /// Deletes counts of guesses that are forgotten, for as long as it is polled.
    pub async fn keep_swept(self, upkeep: Connections) {
        guesses::keep_swept(&upkeep, &self.clock).await;
    }

    /// Lets nobody sign in as this user, and ends every login; or lets them again, which revives none.
    ///
    /// # Errors
    /// See [`ManageError`].
    pub async fn set_disabled(&self, name: &str, disabled: bool) -> Result<UserRef, ManageError> {
        let changed = store::set_disabled(&self.pool, name, disabled, self.clock.now()).await?;
        changed.ok_or_else(|| ManageError::Unknown(name.to_owned()))
    }

    /// Gives a user a role. Gives the roles that they have then.
    ///
    /// # Errors
    /// See [`ManageError`].
    pub async fn add_role(&self, name: &str, role: &str) -> Result<(UserRef, Vec<String>), ManageError> {
        check_role(role).map_err(ManageError::InvalidRole)?;
        let found = store::find_by_name(&self.pool, name).await?;
        let has = found.map(|found| found.user.roles).unwrap_or_default();
        if has.len() >= MAX_ROLES && !has.iter().any(|held| held == role) {
            return Err(ManageError::TooManyRoles);
        }
        self.set_role(name, role, true).await
    }

    /// Takes a role from a user. Gives the roles that they have then.
    ///
    /// # Errors
    /// See [`ManageError`].
    pub async fn remove_role(&self, name: &str, role: &str) -> Result<(UserRef, Vec<String>), ManageError> {
        self.set_role(name, role, false).await
    }

    async fn set_role(
        &self,
        name: &str,
        role: &str,
        given: bool,
    ) -> Result<(UserRef, Vec<String>), ManageError> {
        let roles = store::set_role(&self.pool, name, role, given).await?;
        roles.ok_or_else(|| ManageError::Unknown(name.to_owned()))
    }
}
