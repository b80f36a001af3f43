//! Users: accounts, validation of names, emails and passwords, and password hashing.

mod accounts;
mod derived_username;
mod guess_store;
mod guesses;
mod import;
mod management;
mod passwords;
mod pending_registration;
mod problems;
mod store;
mod validation;

use chrono::{DateTime, Utc};
use uuid::Uuid;

pub use self::accounts::{Accounts, RegisterError, RegistrationInput};
pub use self::guesses::{AttemptSource, UnknownNameBucket, account_locked};
pub use self::import::{CheckedUser, ForeignUser, Importer, Refusal};
pub use self::management::{ManageUserError, SetPasswordError};
pub use self::passwords::{
    Load, NO_PASSWORD, PasswordCheck, PasswordError, PasswordHasher, QueueSlot, ThreadPriority, Unusable,
    calibration,
};
pub use self::pending_registration::{CompletedRegistration, PendingRegistration, PreparedRegistration};
pub use self::store::{find_by_name, find_recipient, is_email_taken};
pub use self::validation::{Field, Invalid, check_email, check_password, check_role};

/// The role of every new user.
pub const USER_ROLE: &str = "user";

/// The role of administrators of the service.
pub const ADMIN_ROLE: &str = "admin";

/// The id and name of a user.
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

/// A user, and whether they are disabled.
#[derive(Clone, Debug)]
pub struct Account {
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
