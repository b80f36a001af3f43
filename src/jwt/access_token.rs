//! Access tokens: issued from a login, verified and checked against revocations.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::auth::{AuthError, Credential, Identity};
use crate::error::Problem;
use crate::logins::{AccessTokenError, Login, Transport};

use super::claims::{Claims, Header, TYPE, Unknown, decode};
use super::keys::VerifiedToken;
use super::verified::TokenHash;
use super::{JwtMode, NAME};

/// How base64url of a JSON object begins, and so every JWT.
const JSON_OBJECT: &str = "ey";

/// An access token, and when it runs out.
pub(super) struct SignedAccessToken {
    pub(super) token: Zeroizing<String>,
    /// In seconds from its making.
    pub(super) expires_in: i64,
}

impl JwtMode {
    /// # Errors
    /// `unavailable` when no access token can be signed for now.
    pub(super) async fn check_that_it_can_sign(&self) -> Result<(), Problem> {
        if !self.logins.is_fresh().await {
            return Err(AuthError::Stale.into());
        }
        if !self.keys.can_sign() {
            return Err(Problem::unavailable("no signing key can be used"));
        }
        Ok(())
    }

    /// Signs what the login is now. The token does not outlive it, nor what the login says of its tokens.
    ///
    /// # Errors
    /// `unavailable` when it can't be found out which key signs by now.
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

    /// Who presents this credential. From its claims and from memory: no SQL.
    pub(super) async fn identify(&self, credential: &Credential) -> Result<Option<Identity>, AuthError> {
        if credential.transport == Transport::Bearer && !is_access_token(&credential.token) {
            return Ok(None);
        }
        let opened = self.live(&credential.token).await?;
        Ok(Some(identity(&opened.claims, credential.transport)))
    }

    /// What an access token says, if it is good.
    pub(super) async fn live(&self, token: &str) -> Result<Arc<VerifiedToken>, AuthError> {
        let opened = self.open(token).await?;
        let claims = &opened.claims;
        claims.check(
            &self.issuer_audience.issuer,
            &self.issuer_audience.audience,
            self.clock.now().timestamp(),
        )?;
        match self.logins.check_token(claims.sid, claims.sub, &claims.username, &claims.roles).await {
            Ok(()) => Ok(opened),
            Err(AccessTokenError::Ended) => Err(AuthError::TokenRevoked),
            Err(AccessTokenError::OtherOwner) => Err(AuthError::OwnerChanged),
            Err(AccessTokenError::Stale) => Err(AuthError::Stale),
        }
    }

    /// What a token says, if its signature is good; it may have run out, or been revoked. As remembered, or else as it is found to be now.
    pub(super) async fn open(&self, token: &str) -> Result<Arc<VerifiedToken>, AuthError> {
        let Some(verified) = &self.verified else {
            return self.keys.open(token, &self.logins).await.map(Arc::new);
        };
        let hash = TokenHash::of(token);
        if let Some(opened) = verified.find(&hash).filter(|opened| self.keys.accepts(opened)) {
            return Ok(opened);
        }
        let opened = Arc::new(self.keys.open(token, &self.logins).await?);
        verified.insert(&hash, &opened);
        Ok(opened)
    }
}

/// Whether it can be one.
pub(super) fn is_access_token(token: &str) -> bool {
    token.starts_with(JSON_OBJECT)
}

/// Whether it can be an access token that this service has ever put into its cookie, under whichever key.
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
