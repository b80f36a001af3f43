//! Request and response bodies that all modes share.

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;
use utoipa::openapi::Ref;
use uuid::Uuid;

use crate::challenges::Challenge;
use crate::clock::write_rfc3339;
use crate::logins::{Acr, Amr, Login, Transport};
use crate::users::User;

use super::Identity;

/// A refresh token, unless it is sent in its cookie.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"refresh_token": "dur_…"}))]
pub struct RefreshRequest {
    /// As received from the login or the last refresh.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub refresh_token: Option<SecretString>,
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "user_id": "0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e", "username": "ada", "email": "ada@example.com",
    "email_verified": true, "roles": ["user"], "created_at": "2026-11-21T09:30:00.000000Z",
}))]
pub struct UserBody {
    /// Never changes.
    pub user_id: Uuid,
    /// In the original letter case.
    pub username: String,
    /// In the original letter case.
    pub email: String,
    /// Whether the email was proved to be the user's.
    pub email_verified: bool,
    /// The names of the user's roles.
    pub roles: Vec<String>,
    /// When the account was created.
    #[serde(serialize_with = "rfc3339")]
    pub created_at: DateTime<Utc>,
}

impl From<User> for UserBody {
    fn from(user: User) -> Self {
        Self {
            user_id: user.id,
            username: user.username,
            email: user.email,
            email_verified: user.email_verified,
            roles: user.roles,
            created_at: user.created_at,
        }
    }
}

/// A registration whose address is yet to be proved.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "challenge": "dac_…", "id": "0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e", "expires_at": "2026-11-21T09:40:00.000000Z",
}))]
pub struct PendingRegistrationBody {
    /// To be sent back with the code.
    pub challenge: String,
    /// Names the challenge in the link of its mail.
    pub id: Uuid,
    /// When it expires.
    #[serde(serialize_with = "rfc3339")]
    pub expires_at: DateTime<Utc>,
}

impl From<Challenge> for PendingRegistrationBody {
    fn from(challenge: Challenge) -> Self {
        Self {
            challenge: challenge.token.reveal().to_owned(),
            id: challenge.id,
            expires_at: challenge.expires_at,
        }
    }
}

/// An access token of a login of another mode.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"access_token": "eyJ…", "token_type": "Bearer", "expires_in": 900}))]
pub struct AccessTokenBody {
    /// To be sent as `Authorization: Bearer`.
    pub access_token: String,
    /// The scheme of the access token.
    pub token_type: TokenType,
    /// How long the access token is valid, in seconds.
    pub expires_in: i64,
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
    /// The mode of its credentials.
    #[schema(schema_with = mode_schema)]
    pub mode: String,
    /// How its credential is transported.
    pub transport: Transport,
    /// Whether it has the longer lifetimes of "remember me".
    pub remember_me: bool,
    /// When it began.
    #[serde(serialize_with = "rfc3339")]
    pub created_at: DateTime<Utc>,
    /// When it expires unless it is used (session) or refreshed (JWT).
    #[serde(serialize_with = "rfc3339")]
    pub idle_expires_at: DateTime<Utc>,
    /// When it expires in any case.
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

/// The current user, and the credential of the request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "user_id": "0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e", "username": "ada", "roles": ["user"],
    "auth": {
        "mode": "session", "transport": "cookie", "login_id": "0199f0a1-23c4-7f00-8a51-5a4f6b7c8d9e",
        "expires_at": "2026-11-21T10:01:00.000000Z", "amr": ["pwd"], "acr": "aal1",
        "auth_time": "2026-11-21T09:31:00.000000Z",
    },
}))]
pub struct ProfileBody {
    /// The user.
    pub user_id: Uuid,
    /// The user's name.
    pub username: String,
    /// The names of the user's roles.
    pub roles: Vec<String>,
    /// The credential of the request.
    pub auth: CredentialBody,
}

/// The credential of a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct CredentialBody {
    /// Its mode.
    #[schema(schema_with = mode_schema)]
    pub mode: &'static str,
    /// How it was sent.
    pub transport: Transport,
    /// The id of the login.
    pub login_id: Uuid,
    /// When it expires if it is not renewed or used.
    #[serde(serialize_with = "rfc3339")]
    pub expires_at: DateTime<Utc>,
    /// The authentication methods of the login (RFC 8176), such as `pwd` for a password.
    #[schema(value_type = Vec<String>, example = json!(["pwd"]))]
    pub amr: Amr,
    /// The assurance level of the login: `aal1` for one factor, `aal2` for two.
    pub acr: Acr,
    /// The time of the last authentication. A refresh does not change it. Null for an access token signed by an older
    /// version.
    #[serde(serialize_with = "rfc3339_or_null")]
    #[schema(required = true)]
    pub auth_time: Option<DateTime<Utc>>,
}

impl From<Identity> for ProfileBody {
    fn from(identity: Identity) -> Self {
        Self {
            user_id: identity.user_id,
            username: identity.username,
            roles: identity.roles,
            auth: CredentialBody {
                mode: identity.mode,
                transport: identity.transport,
                login_id: identity.login_id,
                expires_at: identity.expires_at,
                amr: identity.authentication.amr,
                acr: identity.authentication.acr,
                auth_time: identity.authentication.time,
            },
        }
    }
}

/// Usual length of a profile's JSON in bytes.
const PROFILE: usize = 400;

impl ProfileBody {
    /// The same JSON as `Serialize` writes, in a fifth of the time: it is the most frequent response.
    pub fn to_json(&self) -> String {
        let Self { user_id, username, roles, auth } = self;
        let mut json = String::with_capacity(PROFILE);
        json.push_str(r#"{"user_id":""#);
        write_id(*user_id, &mut json);
        json.push_str(r#"","username":"#);
        write_string(username, &mut json);
        json.push_str(r#","roles":["#);
        for (number, role) in roles.iter().enumerate() {
            if number > 0 {
                json.push(',');
            }
            write_string(role, &mut json);
        }
        json.push_str(r#"],"auth":{"mode":""#);
        json.push_str(auth.mode);
        json.push_str(r#"","transport":""#);
        json.push_str(auth.transport.as_str());
        json.push_str(r#"","login_id":""#);
        write_id(auth.login_id, &mut json);
        json.push_str(r#"","expires_at":""#);
        write_rfc3339(auth.expires_at, &mut json);
        json.push_str(r#"","amr":["#);
        for (number, name) in auth.amr.names().enumerate() {
            json.push_str(if number > 0 { ",\"" } else { "\"" });
            json.push_str(name);
            json.push('"');
        }
        json.push_str(r#"],"acr":""#);
        json.push_str(auth.acr.as_str());
        json.push_str(r#"","auth_time":"#);
        match auth.auth_time {
            Some(time) => {
                json.push('"');
                write_rfc3339(time, &mut json);
                json.push_str("\"}}");
            }
            None => json.push_str("null}}"),
        }
        json
    }

    /// The response with this body.
    pub fn response(&self) -> HttpResponse {
        HttpResponse::Ok().insert_header((CONTENT_TYPE, JSON.clone())).body(self.to_json())
    }
}

static JSON: HeaderValue = HeaderValue::from_static("application/json");

fn write_id(id: Uuid, into: &mut String) {
    into.push_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
}

/// Appends a JSON string (RFC 8259, section 7).
fn write_string(text: &str, into: &mut String) {
    let is_plain =
        text.bytes().fold(true, |all, byte| all & (byte >= b' ') & (byte != b'"') & (byte != b'\\'));
    if is_plain {
        into.push('"');
        into.push_str(text);
        into.push('"');
    } else {
        // Serializing a string can't fail.
        into.push_str(&serde_json::to_string(text).unwrap_or_default());
    }
}

/// The CSRF token of a login.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"csrf_token": "0e5RXPYgB0aJQ0K8eF0Yf7sXwD3x0m2E6qFq5t0qZ9k"}))]
pub struct CsrfBody {
    /// Must be sent as `X-CSRF-Token` with every unsafe request that a cookie authenticates.
    pub csrf_token: String,
}

/// How to send a token (RFC 6750).
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub enum TokenType {
    /// As `Authorization: Bearer`.
    Bearer,
}

/// The name of the schema of mode names in the OpenAPI document. The modes themselves are not known here.
pub const MODE_SCHEMA: &str = "Mode";

/// A reference to the schema of mode names.
pub fn mode_schema() -> Ref {
    Ref::from_schema_name(MODE_SCHEMA)
}

/// Serializes a time in UTC with `Z`, to the microsecond.
///
/// # Errors
/// The serializer's own.
pub fn rfc3339<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = String::with_capacity("2026-11-21T09:30:00.000000Z".len());
    write_rfc3339(*time, &mut text);
    serializer.serialize_str(&text)
}

/// Like [`rfc3339`], with null for an unknown time.
///
/// # Errors
/// The serializer's own.
pub fn rfc3339_or_null<S: Serializer>(
    time: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => rfc3339(time, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod properties {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::property_testing::check;

    #[test]
    fn a_profile_is_written_as_serde_writes_it() {
        let ids = (any::<u128>(), any::<u128>());
        let names = (any::<String>(), vec(any::<String>(), 0..4));
        let ways = (select(vec!["this one", "another"]), select(vec![Transport::Cookie, Transport::Bearer]));
        let proofs =
            (vec(select(vec!["pwd", "otp", "hwk", "mfa"]), 0..4), select(vec![Acr::Aal1, Acr::Aal2]));
        let times = (any::<i64>(), any::<Option<i64>>());
        check(
            (ids, names, ways, proofs, times),
            |((user, login), (username, roles), (mode, transport), (amr, acr), (at, auth_time))| {
                let time = |at| DateTime::from_timestamp_micros(at).unwrap_or(DateTime::<Utc>::MAX_UTC);
                let (amr, auth_time) = (Amr::of_names(amr), auth_time.map(time));
                let (login_id, expires_at) = (Uuid::from_u128(login), time(at));
                let auth = CredentialBody { mode, transport, login_id, expires_at, amr, acr, auth_time };
                let profile = ProfileBody { user_id: Uuid::from_u128(user), username, roles, auth };
                prop_assert_eq!(profile.to_json(), serde_json::to_string(&profile).expect("JSON"));
                Ok(())
            },
        );
    }
}
