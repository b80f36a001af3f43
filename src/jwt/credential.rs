//! The credentials of the JWT mode: the access token, a snapshot of the login; and the refresh token, which buys
//! the next one.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::auth::{AuthError, Credential, Identity, LoginSecret};
use crate::crypto::{AppSecret, MacKey, sha256};
use crate::error::Problem;
use crate::logins::{AccessTokenError, Login, RefreshTokenClaims, SecretHash, Transport};

use super::claims::{Claims, Header, TYPE, Unknown, decode};
use super::keys::VerifiedToken;
use super::verified::TokenHash;
use super::{JwtMode, NAME};

/// How base64url of a JSON object begins, and so every JWT.
const JSON_OBJECT: &str = "ey";

/// Tells a refresh token from every other secret.
pub(super) const PREFIX: &str = "dur_";

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
            Err(AccessTokenError::OwnerChanged) => Err(AuthError::OwnerChanged),
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

/// The same for a refresh token.
pub(super) fn may_be_refresh_token(value: &str) -> bool {
    value.starts_with(PREFIX)
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

/// What the database knows of the secret in a login's refresh tokens.
pub(super) fn secret_hash(secret: &LoginSecret) -> SecretHash {
    sha256(secret.as_bytes())
}

/// What a refresh token stands for: a login, at the generation of its credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RefreshTokenPayload {
    pub(super) login: Uuid,
    pub(super) generation: i32,
    /// None in those of a login that began before they had one.
    pub(super) secret: Option<LoginSecret>,
}

impl RefreshTokenPayload {
    /// The same, as far as logins know it.
    pub(super) fn claimed(&self) -> RefreshTokenClaims {
        let secret_hash = self.secret.as_ref().map(secret_hash);
        RefreshTokenClaims { login: self.login, generation: self.generation, secret_hash }
    }

    /// What the MAC is of.
    fn message(&self) -> Zeroizing<Vec<u8>> {
        let secret = self.secret.as_ref().map_or(&[][..], |secret| secret.as_bytes().as_slice());
        Zeroizing::new([self.login.as_bytes().as_slice(), &self.generation.to_be_bytes(), secret].concat())
    }
}

/// Makes and reads refresh tokens: the login's id, a counter and the login's secret under a MAC. The same counter always
/// gives the same token, so that two refreshes at once get one successor, and no row is kept for any of them.
pub(super) struct RefreshTokenCodec(MacKey);

const MAC_BYTES: usize = 32;

impl RefreshTokenCodec {
    pub(super) fn new(secret: &AppSecret) -> Self {
        Self(MacKey::derive(secret, "dualauth refresh token v1"))
    }

    pub(super) fn issue(&self, refresh: &RefreshTokenPayload) -> Zeroizing<String> {
        let message = refresh.message();
        let bytes = Zeroizing::new([message.as_slice(), &self.0.sign(&message)].concat());
        Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes.as_slice())))
    }

    /// `None` unless it was made here.
    pub(super) fn read(&self, token: &str) -> Option<RefreshTokenPayload> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?);
        let (message, mac) = bytes.split_last_chunk::<MAC_BYTES>()?;
        let (id, rest) = message.split_first_chunk()?;
        let (generation, secret) = rest.split_first_chunk()?;
        let secret = match secret {
            [] => None,
            secret => Some(LoginSecret::from(<[u8; LoginSecret::BYTES]>::try_from(secret).ok()?)),
        };
        let refresh = RefreshTokenPayload {
            login: Uuid::from_bytes(*id),
            generation: i32::from_be_bytes(*generation),
            secret,
        };
        self.0.verifies(message, mac).then_some(refresh)
    }
}

impl fmt::Debug for RefreshTokenCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshTokens([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(byte: u8) -> RefreshTokenCodec {
        RefreshTokenCodec::new(&AppSecret::new(vec![byte; 32]).expect("long enough"))
    }

    fn refresh() -> RefreshTokenPayload {
        RefreshTokenPayload {
            login: Uuid::from_u128(7),
            generation: 3,
            secret: Some(LoginSecret::generate()),
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        let refresh = RefreshTokenPayload { secret: Some([0xab; 32].into()), ..refresh() };
        let printed = format!("{refresh:?}");
        assert!(printed.contains("redacted") && !printed.contains("171"), "{printed}");
    }

    #[test]
    fn one_counter_gives_one_token_and_another_gives_another() {
        let refresh = refresh();
        assert_eq!(tokens(1).issue(&refresh), tokens(1).issue(&refresh));
        assert_ne!(
            tokens(1).issue(&refresh),
            tokens(1).issue(&RefreshTokenPayload { generation: 4, ..refresh.clone() })
        );
        assert_eq!(tokens(1).read(&tokens(1).issue(&refresh)), Some(refresh));
    }

    #[test]
    fn a_token_that_was_not_made_here_is_not_read() {
        let token = tokens(1).issue(&refresh());
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
    use crate::property_testing::{check, near_misses};

    fn tokens(byte: u8) -> RefreshTokenCodec {
        RefreshTokenCodec::new(&AppSecret::new(vec![byte; 32]).expect("long enough"))
    }

    fn refresh() -> impl Strategy<Value = RefreshTokenPayload> {
        let secret = any::<Option<[u8; 32]>>();
        (any::<u128>(), any::<i32>(), secret).prop_map(|(id, generation, secret)| RefreshTokenPayload {
            login: Uuid::from_u128(id),
            generation,
            secret: secret.map(LoginSecret::from),
        })
    }

    #[test]
    fn what_is_issued_is_read_back_under_the_same_secret_only() {
        check((refresh(), any::<u8>(), 1..=255_u8), |(refresh, byte, step)| {
            let token = tokens(byte).issue(&refresh);
            prop_assert_eq!(tokens(byte).read(&token), Some(refresh));
            prop_assert_eq!(tokens(byte.wrapping_add(step)).read(&token), None);
            Ok(())
        });
    }

    #[test]
    fn a_refresh_token_with_a_slip_in_it_is_refused() {
        let issued = refresh().prop_map(|refresh| tokens(1).issue(&refresh).to_string());
        check(near_misses(issued), |(_, other)| {
            prop_assert_eq!(tokens(1).read(&other), None);
            Ok(())
        });
    }

    #[test]
    fn what_nobody_issued_is_refused() {
        let made_up = prop_oneof![
            "dur_[A-Za-z0-9_-]{69}[AQgw]",
            "dur_[A-Za-z0-9_-]{112}",
            "(dur_)?[A-Za-z0-9_=-]{60,80}",
            any::<String>()
        ];
        check(made_up, |text| {
            prop_assert_eq!(tokens(1).read(&text), None);
            Ok(())
        });
    }
}
