//! Introspection of access tokens, and revocation of access and refresh tokens, for OAuth clients (RFC 7662, RFC 7009).

use uuid::Uuid;

use crate::audit::Actor;
use crate::auth::{ActiveIntrospectionResponse, AuthError, Credential, Identity, TokenRevoked};

use super::JwtMode;
use super::access_token::{identity, is_access_token};
use super::refresh_token::PREFIX;

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

    pub(super) async fn end_login_of(
        &self,
        token: &Credential,
        actor: &Actor,
    ) -> Result<Option<TokenRevoked>, AuthError> {
        let Some(login) = self.login_behind(&token.token).await? else { return Ok(None) };
        self.logins.revoke(login, actor).await?;
        Ok(Some(TokenRevoked))
    }

    /// The login of a token of this service. The token may be expired or replaced: its login may still be live, and a client
    /// that revokes a leaked token wants that login to end.
    async fn login_behind(&self, token: &str) -> Result<Option<Uuid>, AuthError> {
        if token.starts_with(PREFIX) {
            return self
                .refresh_tokens
                .decode(token)
                .map(|refresh| Some(refresh.login))
                .ok_or(AuthError::InvalidToken);
        }
        if !is_access_token(token) {
            return Ok(None);
        }
        Ok(Some(self.verify_signature(token).await?.claims.sid))
    }
}
