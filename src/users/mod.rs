//! Users: accounts, validation of names, emails and passwords, and password hashing.

mod derived_username;
mod guess_deletion;
mod guesses;
mod import;
mod management;
mod passwords;
mod pending_registration;
mod problems;
mod registration;
mod store;
mod validation;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::audit::{Actor, Kind, NewEvent, Trail};
use crate::clock::Clock;
use crate::database::{ConnectionPool, DatabaseError};
use crate::mail::Mails;

use self::derived_username::DerivedNames;
pub use self::guesses::{AddressAndNameBucket, UnknownNameBucket, UnknownNames, account_locked};
pub use self::import::{CheckedUser, ForeignUser, Importer, Refusal};
pub use self::management::{ManageUserError, SetPasswordError};
pub use self::passwords::{
    Load, NO_PASSWORD, PasswordCheck, PasswordError, PasswordHasher, QueueSlot, ThreadPriority, Unusable,
    calibration,
};
pub use self::pending_registration::{CompletedRegistration, PendingRegistration, PreparedRegistration};
pub use self::registration::{RegisterError, RegistrationInput};
pub use self::store::{find_by_name, find_recipient, is_email_taken};
pub use self::validation::{Field, Invalid, check_email, check_password, check_role};

/// The role of every new user.
pub const USER_ROLE: &str = "user";

/// The role of administrators of the service.
pub const ADMIN_ROLE: &str = "admin";

/// The id and name of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserIdAndName {
    /// See [`User::id`].
    pub id: Uuid,
    /// See [`User::username`].
    pub username: String,
}

impl From<User> for UserIdAndName {
    fn from(user: User) -> Self {
        Self { id: user.id, username: user.username }
    }
}

/// A user, and whether they are disabled.
#[derive(Clone, Debug)]
pub struct UserWithDisabledAt {
    /// The user.
    pub user: User,
    /// When the user was disabled; `None` if enabled.
    pub disabled_at: Option<DateTime<Utc>>,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Never changes.
    pub id: Uuid,
    /// In the original letter case; unique in any letter case.
    pub username: String,
    /// In the original letter case; unique in any letter case.
    pub email: String,
    /// Whether the address was proved to be the user's.
    pub email_verified: bool,
    /// The names of the user's roles.
    pub roles: Vec<String>,
    /// When the account was created.
    pub created_at: DateTime<Utc>,
}

/// The accounts of the service.
#[derive(Clone)]
pub struct Accounts {
    pool: ConnectionPool,
    hasher: PasswordHasher,
    min_password_length: usize,
    clock: Clock,
    mails: Arc<Mails>,
    trail: Trail,
}

impl Accounts {
    /// Accounts in this database.
    pub fn new(
        pool: ConnectionPool,
        hasher: PasswordHasher,
        min_password_length: usize,
        clock: Clock,
        mails: Arc<Mails>,
        trail: Trail,
    ) -> Self {
        Self { pool, hasher, min_password_length, clock, mails, trail }
    }

    /// The password hasher.
    pub fn hasher(&self) -> &PasswordHasher {
        &self.hasher
    }

    /// Current load and totals of password hashing.
    pub fn hash_load(&self) -> Load {
        self.hasher.load()
    }

    /// Ends all logins of a user, at their own request.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn sign_out(&self, user: Uuid, actor: &Actor) -> Result<(), DatabaseError> {
        let ended = store::sign_out(&self.pool, user, self.clock.now()).await?;
        self.trail.record(NewEvent::to_oneself(Kind::LogoutAll, actor).with("logins", ended));
        Ok(())
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
    pub async fn find(&self, name: &str) -> Result<Option<UserIdAndName>, DatabaseError> {
        Ok(store::find_by_name(&self.pool, name).await?.map(UserIdAndName::from))
    }

    /// A free username that is like this one, or like the local part of this address; and another one, in case somebody takes the
    /// first meanwhile.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn derive_username(&self, wanted: &str) -> Result<(String, String), DatabaseError> {
        let DerivedNames { preferred, fallback } = derived_username::derive(wanted);
        let free = store::first_free(&self.pool, &preferred).await?;
        Ok((free.unwrap_or_else(|| fallback.clone()), fallback))
    }

    /// Runs the task that deletes expired counts of failed sign-ins.
    pub async fn run_sweep(self, upkeep: ConnectionPool) {
        guesses::run_sweep(&upkeep, &self.clock).await;
    }
}
