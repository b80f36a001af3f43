//! The audit trail: security events, each with user, origin and mode.
//!
//! The code where an event happens creates an [`Entry`] and passes it to the [`Trail`], which accepts it at once and
//! writes it to Postgres shortly after, in batches ([`store`]). `docs/decisions/0010` explains why it is not written
//! in the transaction of the change itself.

mod store;
mod trail;

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

pub use self::store::Filter;
pub use self::trail::Trail;

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An account was registered.
    Registered,
    /// A sign-in succeeded.
    LoginStarted,
    /// A sign-in failed.
    LoginFailed,
    /// A sign-in was rejected by a rate limit.
    LoginLimited,
    /// A user signed out on a device.
    Logout,
    /// A user signed out on all devices.
    LogoutAll,
    /// A user ended a login on another device.
    LoginEnded,
    /// A replaced refresh token was used again: its login was ended.
    RefreshTokenReused,
    /// A user changed their password, which ends all other logins.
    PasswordChanged,
    /// A signed-in user gave a wrong current password.
    PasswordChangeFailed,
    /// A signed-in user stepped up.
    SteppedUp,
    /// A step-up failed.
    StepUpFailed,
    /// A password was hashed again with the current settings.
    PasswordUpgraded,
    /// A client ended the login of a token.
    TokenRevoked,
    /// The authentication of a registered client failed.
    ClientRefused,
    /// An operator created an account.
    UserCreated,
    /// An operator imported accounts.
    UsersImported,
    /// An operator disabled a user, which ends all their logins.
    UserDisabled,
    /// An operator enabled a user again.
    UserEnabled,
    /// An operator ended all logins of a user.
    UserLoggedOut,
    /// An operator set a user's password, which ends all their logins.
    UserPasswordSet,
    /// An operator deleted a user, which ends all their logins.
    UserDeleted,
    /// An operator reset a user's failed sign-ins.
    UserUnlocked,
    /// An operator added a role to a user.
    RoleAdded,
    /// An operator removed a role from a user.
    RoleRemoved,
    /// An operator registered a client.
    ClientCreated,
    /// An operator deleted a client.
    ClientDeleted,
    /// A new key signs access tokens from now on.
    KeyRotated,
    /// An operator retired a key: tokens that it has signed are rejected.
    KeyRetired,
    /// An operator replaced all keys: all tokens signed so far are rejected.
    KeysReset,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 30] = [
        Self::Registered,
        Self::LoginStarted,
        Self::LoginFailed,
        Self::LoginLimited,
        Self::Logout,
        Self::LogoutAll,
        Self::LoginEnded,
        Self::RefreshTokenReused,
        Self::PasswordChanged,
        Self::PasswordChangeFailed,
        Self::SteppedUp,
        Self::StepUpFailed,
        Self::PasswordUpgraded,
        Self::TokenRevoked,
        Self::ClientRefused,
        Self::UserCreated,
        Self::UsersImported,
        Self::UserDisabled,
        Self::UserEnabled,
        Self::UserLoggedOut,
        Self::UserPasswordSet,
        Self::UserDeleted,
        Self::UserUnlocked,
        Self::RoleAdded,
        Self::RoleRemoved,
        Self::ClientCreated,
        Self::ClientDeleted,
        Self::KeyRotated,
        Self::KeyRetired,
        Self::KeysReset,
    ];

    /// Its name in the trail.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::LoginStarted => "login_started",
            Self::LoginFailed => "login_failed",
            Self::LoginLimited => "login_limited",
            Self::Logout => "logout",
            Self::LogoutAll => "logout_all",
            Self::LoginEnded => "login_ended",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::PasswordChanged => "password_changed",
            Self::PasswordChangeFailed => "password_change_failed",
            Self::SteppedUp => "stepped_up",
            Self::StepUpFailed => "step_up_failed",
            Self::PasswordUpgraded => "password_upgraded",
            Self::TokenRevoked => "token_revoked",
            Self::ClientRefused => "client_refused",
            Self::UserCreated => "user_created",
            Self::UsersImported => "users_imported",
            Self::UserDisabled => "user_disabled",
            Self::UserEnabled => "user_enabled",
            Self::UserLoggedOut => "user_logged_out",
            Self::UserPasswordSet => "user_password_set",
            Self::UserDeleted => "user_deleted",
            Self::UserUnlocked => "user_unlocked",
            Self::RoleAdded => "role_added",
            Self::RoleRemoved => "role_removed",
            Self::ClientCreated => "client_created",
            Self::ClientDeleted => "client_deleted",
            Self::KeyRotated => "key_rotated",
            Self::KeyRetired => "key_retired",
            Self::KeysReset => "keys_reset",
        }
    }

    /// The kind with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether unauthenticated clients can cause it without limit, at no cost.
    fn is_free(self) -> bool {
        matches!(self, Self::ClientRefused | Self::LoginLimited)
    }
}

/// The origin of an event.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A request of this client.
    Request {
        /// Its network address.
        address: IpAddr,
        /// Its `User-Agent` header.
        user_agent: String,
    },
    /// An operator's command.
    Command,
    /// The node itself.
    Node,
}

impl Origin {
    fn source(&self) -> &'static str {
        match self {
            Self::Request { .. } => "request",
            Self::Command => "command",
            Self::Node => "node",
        }
    }
}

/// An event before it is recorded.
#[derive(Clone, Debug)]
pub struct Entry {
    kind: Kind,
    origin: Origin,
    user_id: Option<Uuid>,
    username: Option<String>,
    login_id: Option<Uuid>,
    mode: Option<String>,
    transport: Option<&'static str>,
    client_id: Option<Uuid>,
    detail: Map<String, Value>,
}

impl Entry {
    /// An event of this kind from this origin.
    pub fn new(kind: Kind, origin: Origin) -> Self {
        Self {
            kind,
            origin,
            user_id: None,
            username: None,
            login_id: None,
            mode: None,
            transport: None,
            client_id: None,
            detail: Map::new(),
        }
    }

    /// Sets the account. The name must be the account's own, not client input.
    pub fn of_user(self, id: Uuid, username: impl Into<String>) -> Self {
        Self { user_id: Some(id), username: Some(username.into()), ..self }
    }

    /// Sets the login that acts or is affected.
    pub fn in_login(self, id: Uuid) -> Self {
        Self { login_id: Some(id), ..self }
    }

    /// Sets the mode.
    pub fn in_mode(self, mode: impl Into<String>) -> Self {
        Self { mode: Some(mode.into()), ..self }
    }

    /// Sets the transport.
    pub fn by(self, transport: &'static str) -> Self {
        Self { transport: Some(transport), ..self }
    }

    /// Sets the client that acts or is affected.
    pub fn of_client(self, id: Uuid) -> Self {
        Self { client_id: Some(id), ..self }
    }

    /// Adds a detail. Must not be client input.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }
}

/// A recorded event.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Its own id.
    pub id: Uuid,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Its kind, by name.
    pub event: String,
    /// `request`, `command` or `node`.
    pub source: String,
    /// The id of the account.
    pub user_id: Option<Uuid>,
    /// The account's username.
    pub username: Option<String>,
    /// The login that acts or is affected.
    pub login_id: Option<Uuid>,
    /// The mode.
    pub mode: Option<String>,
    /// The transport.
    pub transport: Option<String>,
    /// The client that acts or is affected.
    pub client_id: Option<Uuid>,
    /// The client's network address.
    pub address: Option<String>,
    /// The client's `User-Agent` header: arbitrary text.
    pub user_agent: Option<String>,
    /// Further details: an object.
    pub detail: Option<Value>,
}

impl Record {
    fn new(entry: Entry, at: DateTime<Utc>) -> Self {
        let source = entry.origin.source().to_owned();
        let (address, user_agent) = match entry.origin {
            Origin::Request { address, user_agent } => (Some(address.to_string()), Some(user_agent)),
            Origin::Command | Origin::Node => (None, None),
        };
        Self {
            id: Uuid::now_v7(),
            at,
            event: entry.kind.as_str().to_owned(),
            source,
            user_id: entry.user_id,
            username: entry.username,
            login_id: entry.login_id,
            mode: entry.mode,
            transport: entry.transport.map(str::to_owned),
            client_id: entry.client_id,
            address,
            user_agent,
            detail: (!entry.detail.is_empty()).then_some(Value::Object(entry.detail)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        assert!(Kind::ALL.iter().all(|kind| Kind::of_name(kind.as_str()) == Some(*kind)));
        assert_eq!(Kind::of_name("LOGOUT"), None);
    }
}
