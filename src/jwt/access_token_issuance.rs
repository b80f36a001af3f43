//! Issuance of access tokens: claims of a login, signed with the active key.

use uuid::Uuid;
use zeroize::Zeroizing;

use crate::auth::AuthError;
use crate::error::Problem;
use crate::logins::Login;

use super::JwtMode;
use super::claims::{Claims, Unknown};

/// A newly signed access token with its lifetime.
pub(super) struct SignedAccessToken {
    pub(super) token: Zeroizing<String>,
    /// The lifetime in seconds.
    pub(super) expires_in: i64,
}

impl JwtMode {
    /// Checks that an access token could be signed now.
    ///
    /// # Errors
    /// `unavailable` if this node is stale or has no signing key.
    pub(super) async fn ensure_can_sign(&self) -> Result<(), Problem> {
        if !self.logins.is_fresh().await {
            return Err(AuthError::Stale.into());
        }
        if !self.keys.can_sign() {
            return Err(Problem::unavailable("no signing key can be used"));
        }
        Ok(())
    }

    /// Issues an access token for a login. It expires with the login at the latest, and not after the login's
    /// `token_expires_at`, which the revocation feed relies on.
    ///
    /// # Errors
    /// `unavailable` if this node is stale, so that the key may have been replaced, or has no signing key.
    pub(super) async fn access_token(&self, login: &Login) -> Result<SignedAccessToken, Problem> {
        if !self.logins.is_fresh().await {
            return Err(AuthError::Stale.into());
        }
        let now = self.clock.now();
        let expires_at = (now + self.logins.lifetimes().access_token)
            .min(login.ends_at())
            .min(login.token_expires_at.unwrap_or(now));
        let claims = Claims {
            iss: self.issuer_audience.issuer.clone(),
            aud: self.issuer_audience.audience.clone(),
            sub: login.user.id,
            iat: now.timestamp(),
            exp: expires_at.timestamp(),
            nbf: None,
            jti: Uuid::new_v4(),
            sid: login.id,
            client_id: Some(self.issuer_audience.client_id.clone()),
            auth_time: login.authentication.time.map(|time| time.timestamp()),
            acr: login.authentication.acr,
            amr: login.authentication.amr,
            username: login.user.username.clone(),
            roles: login.user.roles.clone(),
            unknown: Unknown,
        };
        let token = Zeroizing::new(self.keys.sign(&claims)?);
        Ok(SignedAccessToken { token, expires_in: claims.exp - claims.iat })
    }
}
