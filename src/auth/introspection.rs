//! What a mode tells another service of a token.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Audience, Identity, TokenType};

/// A token that is good (RFC 7662, section 2.2).
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenBody {
    /// How it is to be sent.
    pub token_type: TokenType,
    /// The mode of the token.
    pub mode: &'static str,
    /// The user's id.
    pub sub: Uuid,
    /// The user's name.
    pub username: String,
    /// What the user may do, by name.
    pub roles: Vec<String>,
    /// The login that it presents.
    pub sid: Uuid,
    /// When it ends if it is not renewed or used, in seconds since 1970.
    pub exp: i64,
    /// Of an access token: whom it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
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

impl From<Identity> for TokenBody {
    fn from(identity: Identity) -> Self {
        Self {
            token_type: TokenType::Bearer,
            mode: identity.mode,
            sub: identity.user_id,
            username: identity.username,
            roles: identity.roles,
            sid: identity.login_id,
            exp: identity.expires_at.timestamp(),
            aud: None,
            iat: None,
            jti: None,
            client_id: None,
        }
    }
}
