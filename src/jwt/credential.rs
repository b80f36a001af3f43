//! The credentials of the JWT mode: the access token, a snapshot of the login; and the refresh token, which buys
//! the next one.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::auth::{AuthError, Credential, Identity};
use crate::error::Problem;
use crate::logins::{Login, TokenError, Transport};
use crate::tokens::{AppSecret, MacKey};

use super::claims::Claims;
use super::keys::Opened;
use super::verified::TokenHash;
use super::{JwtMode, NAME};

/// How base64url of a JSON object begins, and so every JWT.
const JSON_OBJECT: &str = "ey";

/// Tells a refresh token from every other secret.
pub(super) const PREFIX: &str = "dur_";

/// An access token, and when it runs out.
pub(super) struct AccessToken {
    pub(super) token: Zeroizing<String>,
    /// In seconds from its making.
    pub(super) expires_in: i64,
}

impl JwtMode {
    /// Signs what the login is now. The token does not outlive it, nor what the login says of its tokens.
    ///
    /// # Errors
    /// `unavailable` when it can't be found out which key signs by now.
    pub(super) async fn access_token(&self, login: &Login) -> Result<AccessToken, Problem> {
        if !self.logins.is_fresh().await {
            return Err(AuthError::Stale.into());
        }
        let now = self.clock.now();
        let expires_at = (now + self.logins.lifetimes().access_token)
            .min(login.ends_at())
            .min(login.token_expires_at.unwrap_or(now));
        let claims = Claims {
            iss: self.parties.issuer.clone(),
            aud: self.parties.audience.clone(),
            sub: login.user.id,
            iat: now.timestamp(),
            exp: expires_at.timestamp(),
            jti: Uuid::new_v4(),
            sid: login.id,
            username: login.user.username.clone(),
            roles: login.user.roles.clone(),
        };
        let token = Zeroizing::new(self.keys.sign(&claims)?);
        Ok(AccessToken { token, expires_in: claims.exp - claims.iat })
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
    pub(super) async fn live(&self, token: &str) -> Result<Arc<Opened>, AuthError> {
        let opened = self.open(token).await?;
        let claims = &opened.claims;
        claims.check(&self.parties.issuer, &self.parties.audience, self.clock.now().timestamp())?;
        match self.logins.check_token(claims.sid, claims.sub, &claims.username, &claims.roles).await {
            Ok(()) => Ok(opened),
            Err(TokenError::Ended) => Err(AuthError::TokenRevoked),
            Err(TokenError::OtherOwner) => Err(AuthError::OwnerChanged),
            Err(TokenError::Stale) => Err(AuthError::Stale),
        }
    }

    /// What a token says, if its signature is good; it may have run out, or been revoked. As remembered, or else as it is found to be now.
    pub(super) async fn open(&self, token: &str) -> Result<Arc<Opened>, AuthError> {
        let Some(verified) = &self.verified else {
            return self.keys.open(token, &self.logins).await.map(Arc::new);
        };
        let hash = TokenHash::of(token);
        if let Some(opened) = verified.find(&hash).filter(|opened| self.keys.accepts(opened)) {
            return Ok(opened);
        }
        let opened = Arc::new(self.keys.open(token, &self.logins).await?);
        verified.admit(&hash, &opened);
        Ok(opened)
    }
}

/// Whether it can be one.
pub(super) fn is_access_token(token: &str) -> bool {
    token.starts_with(JSON_OBJECT)
}

pub(super) fn identity(claims: &Claims, transport: Transport) -> Identity {
    Identity {
        user_id: claims.sub,
        username: claims.username.clone(),
        roles: claims.roles.clone(),
        mode: NAME,
        transport,
        login_id: claims.sid,
        expires_at: DateTime::from_timestamp(claims.exp, 0).unwrap_or(DateTime::<Utc>::MAX_UTC),
    }
}

/// What a refresh token stands for: a login, at the generation of its credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refresh {
    pub(super) login: Uuid,
    pub(super) generation: i32,
}

/// Makes and reads refresh tokens: the login's id and a counter under a MAC. The same counter always gives the
/// same token, so that two refreshes at once get one successor, and no row is kept for any of them.
pub(super) struct RefreshTokens(MacKey);

/// The id's 16 bytes, the counter's 4, the MAC's 32.
const LENGTH: usize = 52;

impl RefreshTokens {
    pub(super) fn new(secret: &AppSecret) -> Self {
        Self(MacKey::derive(secret, "dualauth refresh token v1"))
    }

    pub(super) fn issue(&self, refresh: Refresh) -> Zeroizing<String> {
        let message = message(refresh);
        let bytes = Zeroizing::new([message.as_slice(), &self.0.sign(&message)].concat());
        Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes.as_slice())))
    }

    /// `None` unless it was made here.
    pub(super) fn read(&self, token: &str) -> Option<Refresh> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?);
        let bytes: &[u8; LENGTH] = bytes.as_slice().try_into().ok()?;
        let (id, rest) = bytes.split_first_chunk::<16>()?;
        let (generation, mac) = rest.split_first_chunk::<4>()?;
        let refresh = Refresh { login: Uuid::from_bytes(*id), generation: i32::from_be_bytes(*generation) };
        self.0.verifies(&message(refresh), mac).then_some(refresh)
    }
}

impl fmt::Debug for RefreshTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshTokens([redacted])")
    }
}

fn message(refresh: Refresh) -> Vec<u8> {
    [refresh.login.as_bytes().as_slice(), &refresh.generation.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(byte: u8) -> RefreshTokens {
        RefreshTokens::new(&AppSecret::new(vec![byte; 32]).expect("long enough"))
    }

    #[test]
    fn one_counter_gives_one_token_and_another_gives_another() {
        let refresh = Refresh { login: Uuid::from_u128(7), generation: 3 };
        assert_eq!(tokens(1).issue(refresh), tokens(1).issue(refresh));
        assert_ne!(tokens(1).issue(refresh), tokens(1).issue(Refresh { generation: 4, ..refresh }));
        assert_eq!(tokens(1).read(&tokens(1).issue(refresh)), Some(refresh));
    }

    #[test]
    fn a_token_that_was_not_made_here_is_not_read() {
        let token = tokens(1).issue(Refresh { login: Uuid::from_u128(7), generation: 3 });
        assert_eq!(tokens(2).read(&token), None);
        assert_eq!(tokens(1).read(&token.replacen("dur_", "dus_", 1)), None);
        assert_eq!(tokens(1).read(&format!("{}A", token.as_str())), None);
        for at in PREFIX.len()..token.len() {
            let mut other = token.as_bytes().to_vec();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).expect("ASCII");
            assert_eq!(tokens(1).read(&other), None, "changed at {at}");
        }
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;
    use crate::properties::{check, near_misses};

    fn tokens(byte: u8) -> RefreshTokens {
        RefreshTokens::new(&AppSecret::new(vec![byte; 32]).expect("long enough"))
    }

    fn refresh() -> impl Strategy<Value = Refresh> {
        (any::<u128>(), any::<i32>())
            .prop_map(|(id, generation)| Refresh { login: Uuid::from_u128(id), generation })
    }

    #[test]
    fn what_is_issued_is_read_back_under_the_same_secret_only() {
        check((refresh(), any::<u8>(), 1..=255_u8), |(refresh, byte, step)| {
            let token = tokens(byte).issue(refresh);
            prop_assert_eq!(tokens(byte).read(&token), Some(refresh));
            prop_assert_eq!(tokens(byte.wrapping_add(step)).read(&token), None);
            Ok(())
        });
    }

    #[test]
    fn a_refresh_token_with_a_slip_in_it_is_refused() {
        let issued = refresh().prop_map(|refresh| tokens(1).issue(refresh).to_string());
        check(near_misses(issued), |(_, other)| {
            prop_assert_eq!(tokens(1).read(&other), None);
            Ok(())
        });
    }

    #[test]
    fn what_nobody_issued_is_refused() {
        let made_up =
            prop_oneof!["dur_[A-Za-z0-9_-]{69}[AQgw]", "(dur_)?[A-Za-z0-9_=-]{60,80}", any::<String>()];
        check(made_up, |text| {
            prop_assert_eq!(tokens(1).read(&text), None);
            Ok(())
        });
    }
}
