//! Revocation of session tokens for OAuth clients (RFC 7009).

use crate::audit::Actor;
use crate::auth::{AuthError, Credential, TokenRevoked};

use super::SessionMode;
use super::credential::is_token;

impl SessionMode {
    pub(super) async fn end_login_of(
        &self,
        token: &Credential,
        actor: &Actor,
    ) -> Result<Option<TokenRevoked>, AuthError> {
        if !is_token(&token.token) {
            return Ok(None);
        }
        let found = self.find(token).await?.ok_or(AuthError::InvalidToken)?;
        self.logins.revoke(found.principal.login_id, actor).await?;
        Ok(Some(TokenRevoked))
    }
}
