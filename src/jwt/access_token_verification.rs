//! Verification of access tokens: signature, claims and revocation.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::auth::{AuthError, Credential, Identity};
use crate::logins::{RevocationCheckError, Transport};

use super::claims::{Claims, Header, TYPE, decode};
use super::keys::VerifiedToken;
use super::{JwtMode, NAME};

/// The beginning of base64url of `{"`, and so of every JWT.
const JSON_OBJECT: &str = "ey";

impl JwtMode {
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
