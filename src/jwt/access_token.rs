//! Access tokens: issued from a login, verified and checked against revocations.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::auth::{AuthError, Credential, Identity};
use crate::error::Problem;
use crate::logins::{Login, RevocationCheckError, Transport};

use super::claims::{Claims, Header, TYPE, Unknown, decode};
use super::keys::VerifiedToken;
use super::{JwtMode, NAME};

/// The beginning of base64url of `{"`, and so of every JWT.
const JSON_OBJECT: &str = "ey";

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

    /// The identity of an access token, from its claims and the node's memory, without SQL. `None` for a Bearer token that is
    /// no JWT.
    pub(super) async fn identify(&self, credential: &Credential) -> Result<Option<Identity>, AuthError> {
        if credential.transport == Transport::Bearer && !is_access_token(&credential.token) {
            return Ok(None);
        }
        let verified = self.validate(&credential.token).await?;
        Ok(Some(identity(&verified.claims, credential.transport)))
    }

    /// Validates an access token: signature, claims and revocation.
    pub(super) async fn validate(&self, token: &str) -> Result<Arc<VerifiedToken>, AuthError> {
        let verified = self.verify_signature(token).await?;
        let claims = &verified.claims;
        claims.check(
            &self.issuer_audience.issuer,
            &self.issuer_audience.audience,
            self.clock.now().timestamp(),
        )?;
        match self.logins.check_token(claims.sid, claims.sub, &claims.username, &claims.roles).await {
            Ok(()) => Ok(verified),
            Err(RevocationCheckError::Ended) => Err(AuthError::TokenRevoked),
            Err(RevocationCheckError::OwnerChanged) => Err(AuthError::OwnerChanged),
            Err(RevocationCheckError::Stale) => Err(AuthError::Stale),
        }
    }

    /// Verifies only the signature, by the cache if possible: the token may be expired or revoked.
    pub(super) async fn verify_signature(&self, token: &str) -> Result<Arc<VerifiedToken>, AuthError> {
        let Some(cache) = &self.verified_tokens else {
            return self.keys.verify(token, &self.logins).await.map(Arc::new);
        };
        let fingerprint = cache.fingerprint(token);
        if let Some(verified) = cache.find(&fingerprint).filter(|verified| self.keys.still_accepts(verified))
        {
            return Ok(verified);
        }
        let verified = Arc::new(self.keys.verify(token, &self.logins).await?);
        cache.insert(fingerprint, &verified);
        Ok(verified)
    }
}

/// Returns `true` if a Bearer token looks like a JWT, as opposed to a session or refresh token.
pub(super) fn is_access_token(token: &str) -> bool {
    token.starts_with(JSON_OBJECT)
}

/// Returns `true` if a cookie value may be an access token of this service, whatever its key.
pub(super) fn may_be_access_token(value: &str) -> bool {
    let header = value.split_once('.').and_then(|(header, _)| decode::<Header>(header));
    header.is_some_and(|header| header.typ == TYPE)
}

pub(super) fn identity(claims: &Claims, transport: Transport) -> Identity {
    Identity {
        user_id: claims.sub,
        username: claims.username.clone(),
        roles: claims.roles.clone(),
        mode: NAME,
        transport,
        login_id: claims.sid,
        authentication: claims.authentication(),
        expires_at: DateTime::from_timestamp(claims.exp, 0).unwrap_or(DateTime::<Utc>::MAX_UTC),
    }
}
