//! Introspection of access tokens for OAuth clients (RFC 7662).

use crate::auth::{ActiveIntrospectionResponse, AuthError, Credential, Identity};

use super::JwtMode;
use super::access_token_verification::{identity, is_access_token};

impl JwtMode {
    /// The introspection of an access token. A refresh token counts as unknown: it is meant for this service alone, and a
    /// resource server that took it for an access token would accept a credential that lives for weeks.
    pub(super) async fn describe(
        &self,
        token: &Credential,
    ) -> Result<Option<ActiveIntrospectionResponse>, AuthError> {
        if !is_access_token(&token.token) {
            return Ok(None);
        }
        let verified = self.validate(&token.token).await?;
        let claims = &verified.claims;
        let identity: Identity = identity(claims, token.transport);
        Ok(Some(ActiveIntrospectionResponse {
            aud: Some(claims.aud.clone()),
            iat: Some(claims.iat),
            jti: Some(claims.jti),
            client_id: claims.client_id.clone(),
            ..identity.into()
        }))
    }
}
