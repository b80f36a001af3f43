//! The feed of revocations, for services that verify access tokens by themselves.

use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpResponse, post};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::rfc3339;
use crate::clients::Clients;
use crate::crypto::{AppSecret, MacKey};
use crate::error::{FieldError, Problem};
use crate::logins::{ChangedRoles, EndedLoginId, FeedAnswer, FeedCursor, Logins};

use super::authenticated_form::{AuthenticatedForm, ClientForm};
use super::client_authentication::invalid_client;
use super::error::with_oauth_error;

/// Maximum length of a cursor. A longer one, as with thousands of running transactions, would not fit into a request: its
/// follower is sent everything anew.
const LONGEST_CURSOR: usize = 12 * 1024;

/// Maximum time that a request waits for news.
const LONGEST_WAIT: Duration = Duration::from_secs(25);

/// A request of a follower.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"wait": 0.25}))]
pub(super) struct FeedRequest {
    /// The `cursor` of the answer before; left out at first.
    #[serde(default)]
    #[schema(example = "")]
    cursor: String,
    /// How long to wait for news if there is none, in seconds, with a decimal fraction if need be.
    #[serde(default)]
    #[schema(value_type = f64, minimum = 0, maximum = 25, default = 0)]
    wait: String,
    /// The client's id, unless it is in `Authorization`.
    #[serde(default)]
    #[schema(example = "")]
    client_id: String,
    /// The client's secret, unless it is in `Authorization`.
    #[serde(default)]
    #[schema(value_type = String, example = "")]
    client_secret: SecretString,
}

/// The parameters of a request, checked.
pub(super) struct FeedParameters {
    cursor: String,
    wait: Duration,
}

impl ClientForm for FeedRequest {
    type Content = FeedParameters;

    fn client_id(&self) -> &str {
        &self.client_id
    }

    fn client_secret(&self) -> &SecretString {
        &self.client_secret
    }

    fn content(self) -> Result<FeedParameters, Problem> {
        let wait = seconds(&self.wait).filter(|wait| *wait <= LONGEST_WAIT);
        let wrong = || Problem::validation(vec![FieldError::of("wait", "A number of seconds from 0 to 25.")]);
        Ok(FeedParameters { cursor: self.cursor, wait: wait.ok_or_else(wrong)? })
    }
}

/// Reads `12`, `0.25` or `2.5e-1`, as JSON has numbers; nothing is 0.
fn seconds(text: &str) -> Option<Duration> {
    if text.is_empty() {
        return Some(Duration::ZERO);
    }
    Duration::try_from_secs_f64(serde_json::from_str(text).ok()?).ok()
}

/// What a follower learns.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "cursor": "AZnwpE8efDqdKw9vDhwtPg…", "anew": false, "more": false, "age_ms": 12,
    "ended": [{"sid": "0199f0a1-23c4-7f00-8a51-5a4f6b7c8d9e", "until": "2026-11-28T09:31:00.000000Z"}],
    "roles": [{
        "sub": "0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e", "username": "ada", "roles": ["admin", "user"],
        "until": "2026-11-28T09:31:00.000000Z",
    }],
    "keys_changed": false,
}))]
pub(super) struct FeedBody {
    /// To be sent with the next request, to any node.
    cursor: String,
    /// Whether this is all there is, instead of what is new: forget what you had.
    anew: bool,
    /// Whether there is more: ask again at once. What you know is complete only after the last part.
    more: bool,
    /// How old the knowledge was when the answer left, in milliseconds: it has every revocation that was acknowledged before
    /// then. In an answer with `more` it tells nothing, and is ten minutes.
    age_ms: u64,
    /// Logins that have ended: their access tokens are revoked.
    ended: Vec<EndedLoginBody>,
    /// Users whose name or roles have changed: their access tokens with other ones are revoked.
    roles: Vec<ChangedRolesBody>,
    /// Whether the signing keys may have changed: load the JWK set, at `/.well-known/jwks.json?current=…`.
    keys_changed: bool,
}

/// A login that has ended.
#[derive(Serialize, ToSchema)]
pub(super) struct EndedLoginBody {
    /// The login: `sid` in access tokens.
    sid: Uuid,
    /// When its last access token has expired, and this can be forgotten.
    #[serde(serialize_with = "rfc3339")]
    until: DateTime<Utc>,
}

/// A user whose name or roles have changed.
#[derive(Serialize, ToSchema)]
pub(super) struct ChangedRolesBody {
    /// The user: `sub` in access tokens.
    sub: Uuid,
    /// The current name, as in access tokens.
    username: String,
    /// The current roles, as in access tokens.
    roles: Vec<String>,
    /// When the last access token from before the change has expired, and this can be forgotten.
    #[serde(serialize_with = "rfc3339")]
    until: DateTime<Utc>,
}

impl From<EndedLoginId> for EndedLoginBody {
    fn from(EndedLoginId { login, until }: EndedLoginId) -> Self {
        Self { sid: login, until }
    }
}

impl From<ChangedRoles> for ChangedRolesBody {
    fn from(ChangedRoles { user, username, roles, until }: ChangedRoles) -> Self {
        Self { sub: user, username, roles, until }
    }
}

impl FeedBody {
    fn new(FeedAnswer { changes, age }: FeedAnswer, cursors: &FeedCursorCodec) -> Self {
        Self {
            cursor: cursors.encode(&changes.cursor),
            anew: changes.anew,
            more: changes.more,
            // Rounded up: knowledge must not seem newer than it is.
            age_ms: u64::try_from(age.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX),
            ended: changes.ended.into_iter().map(EndedLoginBody::from).collect(),
            roles: changes.roles.into_iter().map(ChangedRolesBody::from).collect(),
            keys_changed: changes.keys_changed,
        }
    }
}

/// Encodes cursors, under a MAC: a follower can't claim to know what it was not sent.
pub struct FeedCursorCodec(MacKey);

impl FeedCursorCodec {
    /// The codec of a service with this secret.
    pub fn new(secret: &AppSecret) -> Self {
        Self(MacKey::derive(secret, "dualauth feed cursor v1"))
    }

    fn encode(&self, cursor: &FeedCursor) -> String {
        let mut bytes = cursor.to_bytes();
        let mac = self.0.sign_short(&bytes);
        bytes.extend(mac);
        let text = URL_SAFE_NO_PAD.encode(bytes);
        if text.len() <= LONGEST_CURSOR { text } else { String::new() }
    }

    /// `None` if it is not one of ours.
    fn decode(&self, text: &str) -> Option<FeedCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (cursor, mac) = bytes.split_last_chunk()?;
        self.0.verifies_short(cursor, mac).then(|| FeedCursor::from_bytes(cursor))?
    }
}

/// Follow revocations, to refuse revoked access tokens in a service that verifies them by itself.
///
/// The first request has no cursor, and is answered with every revocation that concerns a valid access token; the next ones
/// with what is new since. If there is nothing new, the answer is held until there is, for `wait` seconds at most. A cursor that can't be continued
/// is answered like none, with `anew`. Any node takes any node's cursor.
///
/// A follower that must know of every revocation within a bound asks with `wait` at a quarter of it. It is up to date while the time since
/// it sent the last request that was answered, plus `age_ms`, is within the bound. 503 means that this node does not know enough itself.
#[utoipa::path(operation_id = "oauth_feed", tag = "oauth", security(("client_basic" = [])),
    request_body(content = FeedRequest, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 200, description = "What is new.", body = FeedBody),
    (status = 422, description = "validation_failed"),
    (status = 503, description = "unavailable"),
))]
#[post("/jwt/feed")]
pub(super) async fn feed(
    request: AuthenticatedForm<FeedRequest>,
    logins: Data<Logins>,
    clients: Data<Clients>,
    cursors: Data<FeedCursorCodec>,
) -> Result<HttpResponse, Problem> {
    let FeedParameters { cursor, wait } = request.content;
    match logins.follow(cursors.decode(&cursor).as_ref(), wait).await {
        // It may have been deleted while its request waited.
        Ok(_) if !clients.is_registered(request.client_id) => Err(with_oauth_error(invalid_client())),
        Ok(answer) => Ok(HttpResponse::Ok().json(FeedBody::new(answer, &cursors))),
        Err(error) => Ok(Problem::from(error).closing_response()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_decimal() {
        let read = |text| seconds(text).map(|wait| wait.as_micros());
        for (text, micros) in [("", 0), ("0", 0), ("25", 25_000_000), ("0.25", 250_000), ("5e-1", 500_000)] {
            assert_eq!(read(text), Some(micros), "{text:?}");
        }
        for bad in ["-1", "+1", "1e99", "inf", "nan", "1.2.3", ".", "\"1\"", "null", &"9".repeat(400)] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
