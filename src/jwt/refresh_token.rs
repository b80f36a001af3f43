//! Refresh tokens: the login's id, a generation and the login's secret under a MAC, as an opaque string.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::auth::LoginSecretBytes;
use crate::crypto::{AppSecret, MacKey, sha256};
use crate::logins::{RefreshTokenClaims, SecretHash};

use super::NAME;

/// The prefix of refresh tokens, which distinguishes them from other secrets.
pub(super) const PREFIX: &str = "dur_";

/// Returns `true` if a cookie value may be a refresh token of this service, whatever the secret.
pub(super) fn may_be_refresh_token(value: &str) -> bool {
    value.starts_with(PREFIX)
}

/// The hash of a login's secret, as stored in the database.
pub(super) fn secret_hash(secret: &LoginSecretBytes) -> SecretHash {
    sha256(secret.as_bytes())
}

/// The content of a refresh token: a login, and the generation of its credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RefreshTokenPayload {
    pub(super) login: Uuid,
    pub(super) generation: i32,
    /// `None` in tokens of logins that started before refresh tokens contained a secret.
    pub(super) secret: Option<LoginSecretBytes>,
}

impl RefreshTokenPayload {
    /// The payload with the secret's hash, for `logins`.
    pub(super) fn claimed(&self) -> RefreshTokenClaims {
        let secret_hash = self.secret.as_ref().map(secret_hash);
        RefreshTokenClaims { mode: NAME, login: self.login, generation: self.generation, secret_hash }
    }

    /// The bytes that the MAC authenticates.
    fn mac_input(&self) -> Zeroizing<Vec<u8>> {
        let secret = self.secret.as_ref().map_or(&[][..], |secret| secret.as_bytes().as_slice());
        Zeroizing::new([self.login.as_bytes().as_slice(), &self.generation.to_be_bytes(), secret].concat())
    }
}

/// Encodes and decodes refresh tokens: the login's id, the generation and the login's secret under a MAC. The encoding is
/// deterministic, so that concurrent refreshes get the same successor without a stored row per token.
pub(super) struct RefreshTokenCodec(MacKey);

const MAC_BYTES: usize = 32;

impl RefreshTokenCodec {
    pub(super) fn new(secret: &AppSecret) -> Self {
        Self(MacKey::derive(secret, "dualauth refresh token v1"))
    }

    pub(super) fn encode(&self, refresh: &RefreshTokenPayload) -> Zeroizing<String> {
        let message = refresh.mac_input();
        let bytes = Zeroizing::new([message.as_slice(), &self.0.sign(&message)].concat());
        Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes.as_slice())))
    }

    /// Decodes a token. `None` if it is malformed or its MAC is wrong.
    pub(super) fn decode(&self, token: &str) -> Option<RefreshTokenPayload> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?);
        let (message, mac) = bytes.split_last_chunk::<MAC_BYTES>()?;
        let (id, rest) = message.split_first_chunk()?;
        let (generation, secret) = rest.split_first_chunk()?;
        let secret = match secret {
            [] => None,
            secret => Some(LoginSecretBytes::from(<[u8; LoginSecretBytes::BYTES]>::try_from(secret).ok()?)),
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
        f.write_str("RefreshTokenCodec([redacted])")
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
            secret: Some(LoginSecretBytes::generate()),
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
        assert_eq!(tokens(1).encode(&refresh), tokens(1).encode(&refresh));
        assert_ne!(
            tokens(1).encode(&refresh),
            tokens(1).encode(&RefreshTokenPayload { generation: 4, ..refresh.clone() })
        );
        assert_eq!(tokens(1).decode(&tokens(1).encode(&refresh)), Some(refresh));
    }

    #[test]
    fn a_token_that_was_not_made_here_is_not_read() {
        let token = tokens(1).encode(&refresh());
        assert_eq!(tokens(2).decode(&token), None);
        assert_eq!(tokens(1).decode(&token.replacen("dur_", "dus_", 1)), None);
        assert_eq!(tokens(1).decode(&format!("{}A", token.as_str())), None);
        for at in PREFIX.len()..token.len() {
            let mut other = token.as_bytes().to_vec();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).expect("ASCII");
            assert_eq!(tokens(1).decode(&other), None, "changed at {at}");
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
            secret: secret.map(LoginSecretBytes::from),
        })
    }

    #[test]
    fn what_is_issued_is_read_back_under_the_same_secret_only() {
        check((refresh(), any::<u8>(), 1..=255_u8), |(refresh, byte, step)| {
            let token = tokens(byte).encode(&refresh);
            prop_assert_eq!(tokens(byte).decode(&token), Some(refresh));
            prop_assert_eq!(tokens(byte.wrapping_add(step)).decode(&token), None);
            Ok(())
        });
    }

    #[test]
    fn a_refresh_token_with_a_slip_in_it_is_refused() {
        let issued = refresh().prop_map(|refresh| tokens(1).encode(&refresh).to_string());
        check(near_misses(issued), |(_, other)| {
            prop_assert_eq!(tokens(1).decode(&other), None);
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
            prop_assert_eq!(tokens(1).decode(&text), None);
            Ok(())
        });
    }
}
