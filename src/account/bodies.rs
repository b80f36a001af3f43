//! Request and response bodies of the account routes: changing the password, listing logins.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, ArrayBuilder};
use uuid::Uuid;

use crate::auth::{AcceptedAuthModes, mode_schema, rfc3339, rfc3339_or_null};
use crate::logins::{Acr, Amr, ListedLogin, Transport};

/// Changes the password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"current_password": "correct horse battery staple", "new_password": "a quiet lantern over the weir"}))]
pub struct PasswordRequest {
    /// The current password. Omitted if the account has none; its login must then be fresh (`STEP_UP_MAX_AGE`).
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    pub current_password: Option<SecretString>,
    /// The new password; the same rules as at registration.
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 1024)]
    pub new_password: SecretString,
}

/// A page of a user's logins.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ListedLoginsBody {
    /// The cursor of the next page, to be sent as `after`; null on the last page.
    #[schema(required = true, example = json!(null))]
    pub(super) next: Option<String>,
    /// The user's live logins, in every mode, newest first.
    pub(super) logins: Vec<ListedLoginBody>,
}

/// A login in its owner's list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0199f0a1-23c4-7f00-8a51-5a4f6b7c8d9e", "mode": "session", "modes": ["session"], "transport": "cookie", "remember_me": false,
    "device_name": "Ada's laptop", "address": "192.0.2.7", "user_agent": "Mozilla/5.0",
    "created_at": "2026-11-21T09:31:00.000000Z", "last_seen_at": "2026-11-21T09:40:12.000000Z",
    "idle_expires_at": "2026-11-21T10:10:12.000000Z", "expires_at": "2026-11-22T09:31:00.000000Z", "current": true,
    "amr": ["pwd"], "acr": "aal1", "auth_time": "2026-11-21T09:31:00.000000Z",
}))]
pub(super) struct ListedLoginBody {
    /// The login's id, as in `DELETE /account/logins/{id}`.
    pub(super) id: Uuid,
    /// The mode of the login's credential.
    #[schema(schema_with = mode_schema)]
    pub(super) mode: String,
    /// The modes that have a credential of the login that can be renewed: `mode`, and another one that it was handed off to. A step-up
    /// in one mode ends the other's.
    #[schema(schema_with = modes_schema)]
    pub(super) modes: Vec<String>,
    /// How the credential is sent.
    pub(super) transport: Transport,
    /// `true` if the login has the longer lifetimes of `remember_me`.
    pub(super) remember_me: bool,
    /// The name that the user gave the device at login, if any.
    #[schema(required = true)]
    pub(super) device_name: Option<String>,
    /// The client's IP address at login.
    pub(super) address: String,
    /// The client's `User-Agent` at login.
    pub(super) user_agent: String,
    /// When the user signed in.
    #[serde(serialize_with = "rfc3339")]
    pub(super) created_at: DateTime<Utc>,
    /// When the login was last used (session) or refreshed (JWT), accurate to `LAST_SEEN_INTERVAL`.
    #[serde(serialize_with = "rfc3339")]
    pub(super) last_seen_at: DateTime<Utc>,
    /// When the login expires unless it is used (session) or refreshed (JWT) before.
    #[serde(serialize_with = "rfc3339")]
    pub(super) idle_expires_at: DateTime<Utc>,
    /// When the login expires however much it is used.
    #[serde(serialize_with = "rfc3339")]
    pub(super) expires_at: DateTime<Utc>,
    /// `true` for the login that made this request.
    pub(super) current: bool,
    /// The authentication methods of the login (RFC 8176): `pwd` is a password.
    #[schema(value_type = Vec<String>, example = json!(["pwd"]))]
    pub(super) amr: Amr,
    /// The assurance level of these methods: `aal1` for one factor, `aal2` for two.
    pub(super) acr: Acr,
    /// When the user last authenticated. A refresh leaves it unchanged.
    #[serde(serialize_with = "rfc3339_or_null")]
    #[schema(value_type = DateTime<Utc>)]
    pub(super) auth_time: Option<DateTime<Utc>>,
}

impl ListedLoginBody {
    /// `current` is the id of the login that made the request; `modes` are all there are.
    pub(super) fn new(login: ListedLogin, current: Uuid, modes: &AcceptedAuthModes) -> Self {
        let names = modes.iter().map(|mode| mode.name());
        let presented =
            names.filter(|name| if *name == login.mode { login.in_own_mode } else { login.in_other_mode });
        Self {
            id: login.id,
            modes: presented.map(str::to_owned).collect(),
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
            amr: login.authentication.amr,
            acr: login.authentication.acr,
            auth_time: login.authentication.time,
        }
    }
}

/// The schema of a list of modes.
fn modes_schema() -> Array {
    ArrayBuilder::new().items(mode_schema()).build()
}
