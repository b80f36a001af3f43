//! Session ids: each login has a chain of them, and every refresh issues the next one.
//!
//! The first id of a chain is the login's secret, 256 random bits. Each later id is that secret, a generation number and a
//! MAC of both. So the server can make the next id from the one that a client presents, and stores only the hash of the
//! first one: no id can be made from the database's content, not even with `APP_SECRET`.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::auth::LoginSecretBytes;
use crate::crypto::{AppSecret, MacKey, sha256};
use crate::logins::HandleHash;

/// The prefix of session ids, which distinguishes them from other secrets.
pub(super) const PREFIX: &str = "dus_";

const SECRET_BYTES: usize = LoginSecretBytes::BYTES;

/// The length of the MAC's input: the login's secret and the generation (4 bytes, big-endian).
const MAC_INPUT_BYTES: usize = SECRET_BYTES + 4;

/// The length of a later id before encoding: the MAC's input and the first half of the MAC.
const LATER_ID_BYTES: usize = MAC_INPUT_BYTES + 16;

/// The length of the first id of a chain, as text.
const FIRST_ID_LENGTH: usize = PREFIX.len() + 43;

/// A session id: the login's secret and the generation. Generation 0 is the first of its chain.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SessionId {
    secret: LoginSecretBytes,
    generation: i32,
}

impl SessionId {
    /// The id of a generation of the login with this secret.
    pub(super) fn new(secret: LoginSecretBytes, generation: i32) -> Self {
        Self { secret, generation }
    }

    /// The login's secret.
    pub(super) fn into_secret(self) -> LoginSecretBytes {
        self.secret
    }

    /// The number of ids before this one in its chain.
    pub(super) fn generation(&self) -> i32 {
        self.generation
    }

    /// The hash of the chain's first id, as stored in the database.
    pub(super) fn hash(&self) -> HandleHash {
        handle_hash(&self.secret)
    }

    /// The bytes that the MAC authenticates.
    fn mac_input(&self) -> Zeroizing<[u8; MAC_INPUT_BYTES]> {
        let mut message = Zeroizing::new([0; MAC_INPUT_BYTES]);
        let (secret, generation) = message.split_at_mut(SECRET_BYTES);
        secret.copy_from_slice(self.secret.as_bytes());
        generation.copy_from_slice(&self.generation.to_be_bytes());
        message
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionId").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// SHA-256 of the first id of the login with this secret.
pub(super) fn handle_hash(secret: &LoginSecretBytes) -> HandleHash {
    let mut text = Zeroizing::new([0; FIRST_ID_LENGTH]);
    let (prefix, encoded) = text.split_at_mut(PREFIX.len());
    prefix.copy_from_slice(PREFIX.as_bytes());
    // Can't fail: the buffer has exactly the encoded length.
    let _ = URL_SAFE_NO_PAD.encode_slice(secret.as_bytes(), encoded);
    sha256(text.as_slice())
}

/// Encodes and decodes session ids.
#[derive(Debug)]
pub(super) struct SessionIdCodec(MacKey);

impl SessionIdCodec {
    pub(super) fn new(secret: &AppSecret) -> Self {
        Self(MacKey::derive(secret, "dualauth session id v1"))
    }

    /// The id as text, as a client gets it.
    pub(super) fn encode(&self, id: &SessionId) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(id.secret.as_bytes().to_vec());
        if id.generation > 0 {
            let message = id.mac_input();
            *bytes = [message.as_slice(), &self.0.sign_short(message.as_slice())].concat();
        }
        Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes.as_slice())))
    }

    /// Decodes an id. `None` if it is malformed, or a later id with a wrong MAC. A first id has no MAC: only the look-up shows
    /// whether it exists.
    pub(super) fn decode(&self, text: &str) -> Option<SessionId> {
        // One byte more than the longest id, so that longer ones are recognised.
        let mut decoded = Zeroizing::new([0; LATER_ID_BYTES + 1]);
        let length = URL_SAFE_NO_PAD.decode_slice(text.strip_prefix(PREFIX)?, decoded.as_mut_slice()).ok()?;
        let (secret, rest) = decoded.get(..length)?.split_first_chunk()?;
        let secret = LoginSecretBytes::from(*secret);
        if rest.is_empty() {
            return Some(SessionId { secret, generation: 0 });
        }
        let (generation, mac) = rest.split_first_chunk()?;
        let id = SessionId { secret, generation: i32::from_be_bytes(*generation) };
        let is_ours =
            id.generation > 0 && self.0.verifies_short(id.mac_input().as_slice(), mac.try_into().ok()?);
        is_ours.then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::OpaqueToken;

    fn ids(byte: u8) -> SessionIdCodec {
        SessionIdCodec::new(&AppSecret::new(vec![byte; 32]).expect("long enough"))
    }

    #[test]
    fn the_beginning_of_a_chain_is_an_opaque_token_with_the_hash_of_all_of_it() {
        let beginning = SessionId::new(LoginSecretBytes::generate(), 0);
        let token = OpaqueToken::parse(PREFIX, &ids(1).encode(&beginning)).expect("an opaque token");
        assert_eq!(token.hash(), beginning.hash());
        assert_eq!(SessionId::new(beginning.secret.clone(), 7).hash(), beginning.hash());
        assert_ne!(SessionId::new(LoginSecretBytes::generate(), 0).hash(), beginning.hash());
    }

    #[test]
    fn an_id_is_not_printed() {
        let id = SessionId::new([0xab; 32].into(), 3);
        assert_eq!(format!("{id:?}"), "SessionId { generation: 3, .. }");
        assert_eq!(format!("{:?}", ids(1)), "SessionIdCodec(MacKey([redacted]))");
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;
    use crate::property_testing::{check, near_misses};

    fn secret(byte: u8) -> AppSecret {
        AppSecret::new(vec![byte; 32]).expect("long enough")
    }

    fn ids(byte: u8) -> SessionIdCodec {
        SessionIdCodec::new(&secret(byte))
    }

    fn beginning() -> impl Strategy<Value = SessionId> {
        any::<[u8; 32]>().prop_map(|secret| SessionId::new(secret.into(), 0))
    }

    fn later() -> impl Strategy<Value = SessionId> {
        (beginning(), 1..=i32::MAX)
            .prop_map(|(beginning, generation)| SessionId::new(beginning.into_secret(), generation))
    }

    #[test]
    fn what_is_written_is_read_back_and_a_later_id_under_the_same_secret_only() {
        check((prop_oneof![beginning(), later()], any::<u8>(), 1..=255_u8), |(id, byte, step)| {
            let text = ids(byte).encode(&id);
            prop_assert_eq!(ids(byte).decode(&text), Some(id.clone()));
            let elsewhere = ids(byte.wrapping_add(step)).decode(&text);
            prop_assert_eq!(elsewhere, (id.generation == 0).then_some(id));
            Ok(())
        });
    }

    #[test]
    fn what_the_secret_before_signed_is_read() {
        check(later(), |id| {
            let changing = SessionIdCodec::new(&secret(2).replacing(&secret(1)));
            prop_assert_eq!(changing.decode(&ids(1).encode(&id)), Some(id.clone()));
            prop_assert_eq!(ids(2).decode(&changing.encode(&id)), Some(id));
            Ok(())
        });
    }

    #[test]
    fn a_later_id_with_a_slip_in_it_is_refused_unless_the_beginning_of_its_chain_is_left() {
        check(near_misses(later().prop_map(|id| ids(1).encode(&id).to_string())), |(text, other)| {
            // The first id of the chain is part of a later one. Its holder knows it anyway, and it was replaced.
            let is_beginning = other.len() == FIRST_ID_LENGTH && text.starts_with(&other);
            prop_assert!(ids(1).decode(&other).is_none_or(|id| is_beginning && id.generation == 0));
            Ok(())
        });
    }

    #[test]
    fn a_beginning_with_a_slip_in_it_is_refused_or_that_of_another_chain() {
        check(near_misses(beginning().prop_map(|id| ids(1).encode(&id).to_string())), |(text, other)| {
            let [id, other] = [&text, &other].map(|text| ids(1).decode(text));
            prop_assert!(id.is_some());
            prop_assert_ne!(id, other);
            Ok(())
        });
    }

    #[test]
    fn the_mac_of_one_id_is_that_of_no_other() {
        check((later(), later()), |(one, other)| {
            let bytes = |id: &SessionId| {
                let text = ids(1).encode(id);
                URL_SAFE_NO_PAD.decode(&text[PREFIX.len()..]).expect("base64")
            };
            let forged = [&bytes(&one)[..MAC_INPUT_BYTES], &bytes(&other)[MAC_INPUT_BYTES..]].concat();
            let forged = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(forged));
            prop_assert_eq!(ids(1).decode(&forged), (one == other).then_some(one));
            Ok(())
        });
    }

    #[test]
    fn an_id_has_one_text_only() {
        let texts = prop_oneof![
            "dus_[A-Za-z0-9_-]{43}",
            "dus_[A-Za-z0-9_-]{69}[AQgw]",
            "(dus_)?[A-Za-z0-9_=-]{40,80}",
            any::<String>(),
        ];
        check(texts, |text| {
            if let Some(id) = ids(1).decode(&text) {
                prop_assert_eq!(id.generation, 0, "nobody signed it");
                prop_assert_eq!(ids(1).encode(&id).to_string(), text);
            }
            Ok(())
        });
    }

    /// Generation 0 in the form of a later id with a valid MAC, and negative generations after an overflow.
    #[test]
    fn a_counter_that_no_refresh_reaches_is_refused() {
        check((beginning(), i32::MIN..=0), |(beginning, generation)| {
            let message = SessionId::new(beginning.into_secret(), generation).mac_input();
            let bytes = [message.as_slice(), &ids(1).0.sign_short(message.as_slice())].concat();
            prop_assert_eq!(ids(1).decode(&format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))), None);
            Ok(())
        });
    }
}
