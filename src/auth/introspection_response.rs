//! The introspection response for an active token: its claims.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::logins::{Acr, Amr};

use super::bodies::mode_schema;
use super::{Audience, Identity, TokenType};

/// A valid token (RFC 7662, section 2.2).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IntrospectedToken)]
pub struct ActiveIntrospectionResponse {
    /// How it is sent.
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
    /// The names of the user's roles.
    #[schema(required = false)]
    pub roles: Vec<String>,
    /// The id of the login.
    #[schema(required = false)]
    pub sid: Uuid,
    /// When it expires if it is not renewed or used, in seconds since 1970.
    #[schema(required = false)]
    pub exp: i64,
    /// The authentication methods of the login (RFC 8176).
    #[schema(value_type = Vec<String>, required = false)]
    pub amr: Amr,
    /// The assurance level of the login: `aal1` or `aal2` (RFC 9470, section 6.2).
    #[schema(required = false)]
    pub acr: Acr,
    /// The time of the login's last authentication, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub auth_time: Option<i64>,
    /// For access tokens: the audience. A string, or an array of strings for several.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = serde_json::Value, required = false)]
    pub aud: Option<Audience>,
    /// For access tokens: when it was signed, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub iat: Option<i64>,
    /// For access tokens: the token's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub jti: Option<Uuid>,
    /// For access tokens: the application that the user signed in to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub client_id: Option<String>,
}

impl From<Identity> for ActiveIntrospectionResponse {
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
