//! WHAT HAPPENED: security events, each with who, from where and in which mode.
//!
//! Whoever sees one happen makes an [`Entry`] of it and hands it to the [`Trail`], which takes it at once and writes it
//! to Postgres a moment later, with others ([`store`]). `docs/decisions/0010` says why not with the change itself.

mod store;
mod trail;

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

pub use self::store::Filter;
pub use self::trail::Trail;

/// What kind of event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody opened an account.
    Registered,
    /// Somebody signed in.
    LoginStarted,
    /// Somebody did not prove who they are.
    LoginFailed,
    /// Somebody tried too often, and was not listened to.
    LoginLimited,
    /// Somebody signed out on a device.
    Logout,
    /// Somebody signed out everywhere.
    LogoutAll,
    /// Somebody ended a login of theirs from another device.
    LoginEnded,
    /// A refresh token was used again after its successor had taken over: its login was ended.
    RefreshTokenReused,
    /// Somebody changed their password, which ends every other login.
    PasswordChanged,
    /// Somebody who is signed in gave a wrong current password.
    PasswordChangeFailed,
    /// Somebody who is signed in proved once more to be who they are.
    SteppedUp,
    /// Somebody who is signed in did not.
    StepUpFailed,
    /// A password was hashed anew, by what is set now.
    PasswordUpgraded,
    /// A service ended the login behind a token.
    TokenRevoked,
    /// Somebody did not prove to be a registered service.
    ClientRefused,
    /// An operator opened an account.
    UserCreated,
    /// An operator brought accounts from elsewhere.
    UsersImported,
    /// An operator disabled a user, which ends every login.
    UserDisabled,
    /// An operator enabled a user again.
    UserEnabled,
    /// An operator signed a user out everywhere.
    UserLoggedOut,
    /// An operator set a user's password, which ends every login.
    UserPasswordSet,
    /// An operator deleted a user, which ends every login.
    UserDeleted,
    /// An operator had a user's failures forgotten.
    UserUnlocked,
    /// An operator gave a user a role.
    RoleAdded,
    /// An operator took a role from a user.
    RoleRemoved,
    /// An operator registered a service.
    ClientCreated,
    /// An operator had a service forgotten.
    ClientDeleted,
    /// Another key signs access tokens from then on.
    KeyRotated,
    /// An operator had what a key signed refused.
    KeyRetired,
    /// An operator had new keys made, and all that was signed refused.
    KeysReset,
}

impl Kind {
    /// Each of them.
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

    /// The one of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether strangers can cause it as often as they like, since it costs neither them nor us a thing.
    fn is_free(self) -> bool {
        matches!(self, Self::ClientRefused | Self::LoginLimited)
    }
}

/// Where an event comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A request of this client.
    Request {
        /// Its network address.
        address: IpAddr,
        /// What it says it is.
        user_agent: String,
    },
    /// An operator's command.
    Command,
    /// The node, by itself.
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

/// An event, as whoever sees it happen tells of it.
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
    /// Of this kind, from there.
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

    /// Of this account. The name is the account's own, and never what somebody typed.
    pub fn of_user(self, id: Uuid, username: impl Into<String>) -> Self {
        Self { user_id: Some(id), username: Some(username.into()), ..self }
    }

    /// In this login, or to it.
    pub fn in_login(self, id: Uuid) -> Self {
        Self { login_id: Some(id), ..self }
    }

    /// In this mode.
    pub fn in_mode(self, mode: impl Into<String>) -> Self {
        Self { mode: Some(mode.into()), ..self }
    }

    /// By this transport.
    pub fn by(self, transport: &'static str) -> Self {
        Self { transport: Some(transport), ..self }
    }

    /// Asked for by this service, or done to it.
    pub fn of_client(self, id: Uuid) -> Self {
        Self { client_id: Some(id), ..self }
    }

    /// And this besides. Nothing that a stranger could choose.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }
}

/// An event in the trail.
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
    /// Whose account.
    pub user_id: Option<Uuid>,
    /// That account's name.
    pub username: Option<String>,
    /// In which login, or to which.
    pub login_id: Option<Uuid>,
    /// In which mode.
    pub mode: Option<String>,
    /// By which transport.
    pub transport: Option<String>,
    /// Which service.
    pub client_id: Option<Uuid>,
    /// The client's network address.
    pub address: Option<String>,
    /// What the client says it is: anything.
    pub user_agent: Option<String>,
    /// What is to be said of this kind besides: an object.
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
