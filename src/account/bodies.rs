//! The bodies of what takes either credential.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::{AuthenticationBody, mode_schema, rfc3339};
use crate::logins::{ListedLogin, Transport};

/// Changes the password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"current_password": "correct horse battery staple", "new_password": "a quiet lantern over the weir"}))]
pub struct PasswordRequest {
    /// The one that holds now. Left out by an account that has none: its login must be fresh then.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    pub current_password: Option<SecretString>,
    /// As at registration.
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 1024)]
    pub new_password: SecretString,
}

/// A page of a user's logins.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ListedLoginsBody {
    /// What `after` is for the next page; null: this is the last.
    #[schema(required = true, example = json!(null))]
    pub(super) next: Option<String>,
    /// Those that are live, in every mode, newest first.
    pub(super) logins: Vec<ListedLoginBody>,
}

/// A login in its owner's list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0199f0a1-23c4-7f00-8a51-5a4f6b7c8d9e", "mode": "session", "transport": "cookie", "remember_me": false,
    "device_name": "Ada's laptop", "address": "192.0.2.7", "user_agent": "Mozilla/5.0",
    "created_at": "2026-11-21T09:31:00.000000Z", "last_seen_at": "2026-11-21T09:40:12.000000Z",
    "idle_expires_at": "2026-11-21T10:10:12.000000Z", "expires_at": "2026-11-22T09:31:00.000000Z", "current": true,
    "amr": ["pwd"], "acr": "aal1", "auth_time": "2026-11-21T09:31:00.000000Z",
}))]
pub(super) struct ListedLoginBody {
    /// To end it by.
    pub(super) id: Uuid,
    /// The mode that presents it.
    #[schema(schema_with = mode_schema)]
    pub(super) mode: String,
    /// How it is presented.
    pub(super) transport: Transport,
    /// Whether it has the longer lifetimes.
    pub(super) remember_me: bool,
    /// What its owner called the device.
    #[schema(required = true)]
    pub(super) device_name: Option<String>,
    /// The network address that it began from.
    pub(super) address: String,
    /// What the client said it was.
    pub(super) user_agent: String,
    /// When it began.
    #[serde(serialize_with = "rfc3339")]
    pub(super) created_at: DateTime<Utc>,
    /// When it was used (session) or refreshed (JWT) last, within `LAST_SEEN_INTERVAL`.
    #[serde(serialize_with = "rfc3339")]
    pub(super) last_seen_at: DateTime<Utc>,
    /// When it ends unless it is used (session) or refreshed (JWT).
    #[serde(serialize_with = "rfc3339")]
    pub(super) idle_expires_at: DateTime<Utc>,
    /// When it ends in any case.
    #[serde(serialize_with = "rfc3339")]
    pub(super) expires_at: DateTime<Utc>,
    /// Whether it is the one that asks.
    pub(super) current: bool,
    /// How it was proved.
    #[serde(flatten)]
    pub(super) authentication: AuthenticationBody,
}

impl ListedLoginBody {
    /// `current` is the login that asks.
    pub(super) fn new(login: ListedLogin, current: Uuid) -> Self {
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
            authentication: login.authentication.into(),
        }
    }
}
