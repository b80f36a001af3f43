//! Revocation of access and refresh tokens for OAuth clients (RFC 7009).

use uuid::Uuid;

use crate::audit::Actor;
use crate::auth::{AuthError, Credential, TokenRevoked};

use super::JwtMode;
use super::access_token_verification::is_access_token;
use super::refresh_token::PREFIX;

impl JwtMode {
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
