//! What another service is told of an access token, and how it ends what is behind one, or behind a refresh token.

use uuid::Uuid;

use crate::audit::Actor;
use crate::auth::{AuthError, Credential, Identity, IntrospectedToken, RevocationOutcome};

use super::JwtMode;
use super::credential::{PREFIX, identity, is_access_token};

impl JwtMode {
    /// What an access token says. A refresh token is for this service alone, and others are not told that there is
    /// one: whoever took it for an access token would accept what lives for weeks and says nothing.
    pub(super) async fn describe(&self, token: &Credential) -> Result<Option<IntrospectedToken>, AuthError> {
        if !is_access_token(&token.token) {
            return Ok(None);
        }
        let opened = self.live(&token.token).await?;
        let claims = &opened.claims;
        let identity: Identity = identity(claims, token.transport);
        Ok(Some(IntrospectedToken {
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
    ) -> Result<Option<RevocationOutcome>, AuthError> {
        let Some(login) = self.login_behind(&token.token).await? else { return Ok(None) };
        self.logins.revoke(login, actor).await?;
        Ok(Some(RevocationOutcome))
    }

    /// The login of a token that was made here. It may have run out, or been replaced: whoever wants its login ended
    /// holds a token of it that should not be about any more, and the login may live on.
    async fn login_behind(&self, token: &str) -> Result<Option<Uuid>, AuthError> {
        if token.starts_with(PREFIX) {
            return self
                .refresh_tokens
                .read(token)
                .map(|refresh| Some(refresh.login))
                .ok_or(AuthError::InvalidToken);
        }
        if !is_access_token(token) {
            return Ok(None);
        }
        Ok(Some(self.open(token).await?.claims.sid))
    }
}
