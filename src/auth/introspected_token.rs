//! What a mode tells another service of a token.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::logins::{Acr, Amr};

use super::bodies::mode_schema;
use super::{Audience, Identity, TokenType};

/// What is known of a token that is good (RFC 7662, section 2.2).
#[derive(Debug, Serialize, ToSchema)]
pub struct IntrospectedToken {
    /// How it is to be sent.
    #[schema(required = false)]
    pub token_type: TokenType,
    /// The mode of the token.
    #[schema(schema_with = mode_schema, required = false)]
    pub mode: &'static str,
    /// The user's id.
    #[schema(required = false)]
    pub sub: Uuid,
    /// The user's name.
    #[schema(required = false)]
    pub username: String,
    /// What the user may do, by name.
    #[schema(required = false)]
    pub roles: Vec<String>,
    /// The login that it presents.
    #[schema(required = false)]
    pub sid: Uuid,
    /// When it ends if it is not renewed or used, in seconds since 1970.
    #[schema(required = false)]
    pub exp: i64,
    /// In which ways its login was proved (RFC 8176).
    #[schema(value_type = Vec<String>, required = false)]
    pub amr: Amr,
    /// What that comes to: `aal1` or `aal2` (RFC 9470, section 6.2).
    #[schema(required = false)]
    pub acr: Acr,
    /// When its login was last proved, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub auth_time: Option<i64>,
    /// Of an access token: whom it is for. A string, or an array of strings where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = serde_json::Value, required = false)]
    pub aud: Option<Audience>,
    /// Of an access token: when it was signed, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub iat: Option<i64>,
    /// Of an access token: its own id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub jti: Option<Uuid>,
    /// Of an access token: the application that its user signed in to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub client_id: Option<String>,
}

impl From<Identity> for IntrospectedToken {
    fn from(identity: Identity) -> Self {
        Self {
            token_type: TokenType::Bearer,
            mode: identity.mode,
            sub: identity.user_id,
            username: identity.username,
            roles: identity.roles,
            sid: identity.login_id,
            exp: identity.expires_at.timestamp(),
            amr: identity.authentication.amr,
            acr: identity.authentication.acr,
            auth_time: identity.authentication.time.map(|time| time.timestamp()),
            aud: None,
            iat: None,
            jti: None,
            client_id: None,
        }
    }
}
