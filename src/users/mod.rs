//! WHO signs in: a user, what a name, email and password may be, and how accounts are opened.

mod accounts;
mod derived_username;
mod guess_store;
mod guesses;
mod import;
mod management;
mod passwords;
mod problems;
mod store;
mod validation;

use chrono::{DateTime, Utc};
use uuid::Uuid;

pub use self::accounts::{Accounts, RegisterError, RegistrationInput};
pub use self::guesses::{AttemptSource, UnknownNameBucket, closed};
pub use self::import::{CheckedUser, ForeignUser, Importer, Refusal};
pub use self::management::{ManageUserError, SetPasswordError};
pub use self::passwords::{
    Load, NO_PASSWORD, PasswordCheck, PasswordError, PasswordHasher, QueueSlot, ThreadPriority, Unusable,
    calibration,
};
pub use self::validation::{Field, Invalid, check_password, check_role};

/// The role that every user begins with.
pub const USER_ROLE: &str = "user";

/// The role of those who look after the service.
pub const ADMIN_ROLE: &str = "admin";

/// Which user it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRef {
    /// See [`User::id`].
    pub id: Uuid,
    /// See [`User::username`].
    pub username: String,
}

impl From<User> for UserRef {
    fn from(user: User) -> Self {
        Self { id: user.id, username: user.username }
    }
}

/// A user, and whether they may sign in.
#[derive(Clone, Debug)]
pub struct Account {
    /// Who.
    pub user: User,
    /// Since when they may not.
    pub disabled_at: Option<DateTime<Utc>>,
}

/// Somebody who may sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Never changes.
    pub id: Uuid,
    /// As it was typed; unique whatever the letter case.
    pub username: String,
    /// As it was typed; unique whatever the letter case.
    pub email: String,
    /// What the user may do, by name.
    pub roles: Vec<String>,
    /// When the account was opened.
    pub created_at: DateTime<Utc>,
}
