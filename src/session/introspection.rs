//! Introspection and revocation of session tokens, for OAuth clients (RFC 7662, RFC 7009).

use crate::audit::Actor;
use crate::auth::{ActiveIntrospectionResponse, AuthError, Credential, TokenRevoked};

use super::SessionMode;
use super::credential::is_token;

impl SessionMode {
    /// The introspection of a session token. It counts as a use of the session, since the client acts for it.
    pub(super) async fn describe(
        &self,
        token: &Credential,
    ) -> Result<Option<ActiveIntrospectionResponse>, AuthError> {
        Ok(self.identify(token).await?.map(ActiveIntrospectionResponse::from))
    }

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
