//! Request and response bodies of the custom token routes.

use std::fmt;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::de::{self, Deserializer, IgnoredAny, Unexpected, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::rfc3339;
use crate::custom_tokens::{CreatedToken, CustomTokenSpec, RedeemedToken, TokenUser};
use crate::error::Problem;
use crate::http::body::JsonWithText;

/// Creates a token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "purpose": "invitation", "expires_in": 604_800, "data": {"team": "weir", "role": "editor"},
}))]
pub(super) struct CreateTokenRequest {
    /// What the token is for. It can be redeemed for nothing else.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_.-]{1,64}$")]
    purpose: String,
    /// The lifetime in seconds.
    #[schema(value_type = i32, minimum = 1, maximum = 2_592_000)]
    expires_in: WholeNumber,
    /// How often the token can be redeemed.
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 1_000, default = 1)]
    uses: Option<WholeNumber>,
    /// The user whom the token is for. Redeeming it tells who that is.
    #[schema(value_type = Option<Uuid>, example = json!(null))]
    user_id: Option<String>,
    /// Any JSON value, returned as it was sent when the token is redeemed; at most 4 KiB, without the white space between
    /// its parts.
    #[schema(value_type = Option<Value>)]
    #[expect(dead_code, reason = "read from the text of the body, since parsing rounds numbers")]
    data: Option<IgnoredAny>,
}

impl From<JsonWithText<CreateTokenRequest>> for CustomTokenSpec {
    fn from(body: JsonWithText<CreateTokenRequest>) -> Self {
        let data = body.text_of("data").map(str::to_owned);
        let CreateTokenRequest { purpose, expires_in, uses, user_id, .. } = body.object;
        Self { purpose, expires_in: expires_in.0, uses: uses.map_or(1, |uses| uses.0), user_id, data }
    }
}

/// An integer. One that does not fit is the next one that does.
struct WholeNumber(i64);

impl<'de> Deserialize<'de> for WholeNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(WholeNumberVisitor)
    }
}

struct WholeNumberVisitor;

impl Visitor<'_> for WholeNumberVisitor {
    type Value = WholeNumber;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E>(self, value: i64) -> Result<WholeNumber, E> {
        Ok(WholeNumber(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<WholeNumber, E> {
        Ok(WholeNumber(i64::try_from(value).unwrap_or(i64::MAX)))
    }

    /// `60.0` is an integer in JSON Schema.
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<WholeNumber, E> {
        let is_whole = value.fract() == 0.0;
        is_whole
            .then_some(WholeNumber(value as i64))
            .ok_or_else(|| E::invalid_type(Unexpected::Float(value), &self))
    }
}

/// A token that was created.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0199f0a4-5d11-7a02-8c3e-7d1b2f4e6a90", "token": "dat_…", "expires_at": "2026-11-28T09:31:00.000000Z",
}))]
pub(super) struct CreatedTokenBody {
    /// The token's id, to delete it by.
    id: Uuid,
    /// The token. It is not available later.
    token: String,
    /// When it expires.
    #[serde(serialize_with = "rfc3339")]
    expires_at: DateTime<Utc>,
}

impl From<CreatedToken> for CreatedTokenBody {
    fn from(CreatedToken { id, token, expires_at }: CreatedToken) -> Self {
        Self { id, token: token.reveal().to_owned(), expires_at }
    }
}

/// Redeems a token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"token": "dat_…", "purpose": "invitation"}))]
pub struct RedeemTokenRequest {
    /// The token, as it was created.
    #[schema(value_type = String)]
    pub(super) token: SecretString,
    /// The purpose that the token must have.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_.-]{1,64}$")]
    pub(super) purpose: String,
}

/// A token at one of its uses.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0199f0a4-5d11-7a02-8c3e-7d1b2f4e6a90", "purpose": "invitation", "user": null,
    "data": {"team": "weir", "role": "editor"}, "uses_left": 0, "expires_at": "2026-11-28T09:31:00.000000Z",
}))]
pub(super) struct RedeemedTokenBody {
    /// The token's id.
    id: Uuid,
    /// Its purpose.
    purpose: String,
    /// The user whom it is for, as they are now; null if it is for none.
    #[schema(required = true)]
    user: Option<TokenUserBody>,
    /// The data that it was created with; null if there is none.
    #[schema(value_type = Value)]
    data: Option<Box<RawValue>>,
    /// How often it can still be redeemed.
    #[schema(minimum = 0)]
    uses_left: i32,
    /// When it expires.
    #[serde(serialize_with = "rfc3339")]
    expires_at: DateTime<Utc>,
}

impl RedeemedTokenBody {
    /// # Errors
    /// `internal` if the stored data is not JSON.
    pub(super) fn new(purpose: String, token: RedeemedToken) -> Result<Self, Problem> {
        let RedeemedToken { id, user, data, uses_left, expires_at } = token;
        let data = data.map(RawValue::from_string).transpose().map_err(Problem::internal)?;
        Ok(Self { id, purpose, user: user.map(TokenUserBody::from), data, uses_left, expires_at })
    }
}

/// The user whom a token is for.
#[derive(Serialize, ToSchema)]
struct TokenUserBody {
    /// The user's id.
    user_id: Uuid,
    /// The user's name.
    username: String,
    /// The user's roles.
    roles: Vec<String>,
}

impl From<TokenUser> for TokenUserBody {
    fn from(TokenUser { id, username, roles }: TokenUser) -> Self {
        Self { user_id: id, username, roles }
    }
}
