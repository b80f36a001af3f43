//! The bodies that both modes take and give.

use chrono::{DateTime, SecondsFormat, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::logins::{ListedLogin, Login, Transport};
use crate::users::User;

use super::Identity;

/// Opens an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"username": "ada", "email": "ada@example.com", "password": "correct horse battery staple"}))]
pub struct RegisterRequest {
    /// ASCII letters, digits, `_`, `.`, `-` and `+`; unique whatever the letter case. Left out, one is derived from the
    /// email: what stands before its `@`, with a number if somebody has that.
    #[serde(default)]
    #[schema(min_length = 3, max_length = 64, pattern = "^[A-Za-z0-9_.+-]+$")]
    pub username: Option<String>,
    /// ASCII; unique whatever the letter case.
    #[schema(
        max_length = 254,
        pattern = "^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$"
    )]
    pub email: String,
    /// At least 15 code points, or what `PASSWORD_MIN_LENGTH` says, and at most 1,024 bytes, after NFKC. Not one
    /// of the common passwords.
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 1024)]
    pub password: SecretString,
}

/// Signs in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"username": "ada", "password": "correct horse battery staple"}))]
pub struct LoginRequest {
    /// A username or an email, in any letter case; white space around it is ignored.
    pub username: String,
    /// The password.
    #[schema(value_type = String, format = Password)]
    pub password: SecretString,
    /// Whether the login has the longer lifetimes, and cookies outlive the browser's window.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    pub remember_me: bool,
    /// How the credential is to travel. By default by cookie in the session mode, by Bearer in the JWT mode.
    #[serde(default)]
    pub transport: Option<Transport>,
    /// What the device is called in the list of logins.
    #[serde(default)]
    #[schema(max_length = 64)]
    pub device_name: Option<String>,
}

/// Changes the password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"current_password": "correct horse battery staple", "new_password": "a quiet lantern over the weir"}))]
pub struct PasswordRequest {
    /// The one that holds now.
    #[schema(value_type = String, format = Password)]
    pub current_password: SecretString,
    /// As at registration.
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 1024)]
    pub new_password: SecretString,
}

/// A refresh token, when it does not come in its cookie.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"refresh_token": "dur_…"}))]
pub struct RefreshRequest {
    /// As the login or the last refresh gave it.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub refresh_token: Option<SecretString>,
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "user_id": "0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e", "username": "ada", "email": "ada@example.com",
    "roles": ["user"], "created_at": "2026-11-21T09:30:00.000000Z",
}))]
pub struct UserBody {
    /// Never changes.
    pub user_id: Uuid,
    /// As it was typed.
    pub username: String,
    /// As it was typed.
    pub email: String,
    /// What the user may do, by name.
    pub roles: Vec<String>,
    /// When the account was opened.
    #[serde(serialize_with = "rfc3339")]
    pub created_at: DateTime<Utc>,
}

impl From<User> for UserBody {
    fn from(user: User) -> Self {
        Self {
            user_id: user.id,
            username: user.username,
            email: user.email,
            roles: user.roles,
            created_at: user.created_at,
        }
    }
}

/// A login: one sign-in on one device.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0199f0a1-23c4-7f00-8a51-5a4f6b7c8d9e", "mode": "session", "transport": "cookie", "remember_me": false,
    "created_at": "2026-11-21T09:31:00.000000Z", "idle_expires_at": "2026-11-21T10:01:00.000000Z",
    "expires_at": "2026-11-22T09:31:00.000000Z",
}))]
pub struct LoginBody {
    /// Stays the same when the credential is renewed.
    pub id: Uuid,
    /// The mode that presents it.
    #[schema(example = "session")]
    pub mode: String,
    /// How it is presented.
    pub transport: Transport,
    /// Whether it has the longer lifetimes.
    pub remember_me: bool,
    /// When it began.
    #[serde(serialize_with = "rfc3339")]
    pub created_at: DateTime<Utc>,
    /// When it ends unless it is used (session) or refreshed (JWT).
    #[serde(serialize_with = "rfc3339")]
    pub idle_expires_at: DateTime<Utc>,
    /// When it ends in any case.
    #[serde(serialize_with = "rfc3339")]
    pub expires_at: DateTime<Utc>,
}

impl From<&Login> for LoginBody {
    fn from(login: &Login) -> Self {
        Self {
            id: login.id,
            mode: login.mode.clone(),
            transport: login.transport,
            remember_me: login.remember_me,
            created_at: login.created_at,
            idle_expires_at: login.idle_expires_at,
            expires_at: login.expires_at,
        }
    }
}

/// A user's logins.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListedLoginsBody {
    /// Those that are live, in every mode, newest first.
    pub logins: Vec<ListedLoginBody>,
}

/// A login in its owner's list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0199f0a1-23c4-7f00-8a51-5a4f6b7c8d9e", "mode": "session", "transport": "cookie", "remember_me": false,
    "device_name": "Ada's laptop", "address": "192.0.2.7", "user_agent": "Mozilla/5.0",
    "created_at": "2026-11-21T09:31:00.000000Z", "last_seen_at": "2026-11-21T09:40:12.000000Z",
    "idle_expires_at": "2026-11-21T10:10:12.000000Z", "expires_at": "2026-11-22T09:31:00.000000Z", "current": true,
}))]
pub struct ListedLoginBody {
    /// To end it by.
    pub id: Uuid,
    /// The mode that presents it.
    #[schema(example = "session")]
    pub mode: String,
    /// How it is presented.
    pub transport: Transport,
    /// Whether it has the longer lifetimes.
    pub remember_me: bool,
    /// What its owner called the device.
    #[schema(required = true)]
    pub device_name: Option<String>,
    /// The network address that it began from.
    pub address: String,
    /// What the client said it was.
    pub user_agent: String,
    /// When it began.
    #[serde(serialize_with = "rfc3339")]
    pub created_at: DateTime<Utc>,
    /// When it was used (session) or refreshed (JWT) last, within `LAST_SEEN_INTERVAL`.
    #[serde(serialize_with = "rfc3339")]
    pub last_seen_at: DateTime<Utc>,
    /// When it ends unless it is used (session) or refreshed (JWT).
    #[serde(serialize_with = "rfc3339")]
    pub idle_expires_at: DateTime<Utc>,
    /// When it ends in any case.
    #[serde(serialize_with = "rfc3339")]
    pub expires_at: DateTime<Utc>,
    /// Whether it is the one that asks.
    pub current: bool,
}

impl ListedLoginBody {
    /// `current` is the login that asks.
    pub fn new(login: ListedLogin, current: Uuid) -> Self {
        Self {
            id: login.id,
            mode: login.mode,
            transport: login.transport,
            remember_me: login.remember_me,
            device_name: login.device.name,
            address: login.device.address,
            user_agent: login.device.user_agent,
            created_at: login.created_at,
            last_seen_at: login.last_seen_at,
            idle_expires_at: login.idle_expires_at,
            expires_at: login.expires_at,
            current: login.id == current,
        }
    }
}

/// Who is signed in, and by what.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "user_id": "0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e", "username": "ada", "roles": ["user"],
    "auth": {
        "mode": "session", "transport": "cookie", "login_id": "0199f0a1-23c4-7f00-8a51-5a4f6b7c8d9e",
        "expires_at": "2026-11-21T10:01:00.000000Z",
    },
}))]
pub struct ProfileBody {
    /// The user.
    pub user_id: Uuid,
    /// The user's name.
    pub username: String,
    /// What the user may do, by name.
    pub roles: Vec<String>,
    /// What proved it.
    pub auth: AuthBody,
}

/// The credential of a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuthBody {
    /// Its mode.
    pub mode: &'static str,
    /// The way it came.
    pub transport: Transport,
    /// The login that it presents.
    pub login_id: Uuid,
    /// When it ends if it is not renewed or used.
    #[serde(serialize_with = "rfc3339")]
    pub expires_at: DateTime<Utc>,
}

impl From<Identity> for ProfileBody {
    fn from(identity: Identity) -> Self {
        Self {
            user_id: identity.user_id,
            username: identity.username,
            roles: identity.roles,
            auth: AuthBody {
                mode: identity.mode,
                transport: identity.transport,
                login_id: identity.login_id,
                expires_at: identity.expires_at,
            },
        }
    }
}

/// The CSRF token of the login.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"csrf_token": "0e5RXPYgB0aJQ0K8eF0Yf7sXwD3x0m2E6qFq5t0qZ9k"}))]
pub struct CsrfBody {
    /// To be sent as `X-CSRF-Token` with every unsafe request that a cookie authenticates.
    pub csrf_token: String,
}

/// How a token is to be sent (RFC 6750).
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub enum TokenType {
    /// As `Authorization: Bearer`.
    Bearer,
}

/// In UTC with `Z`, to the microsecond that is stored.
fn rfc3339<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true))
}
