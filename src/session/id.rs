//! Session ids: a chain for each login, of which every refresh hands out the next.
//!
//! The beginning of a chain is 256 random bits, its root, and nothing else. Each later id is the root, a counter, and a
//! MAC of both. So whoever shows an id shows what its successor is made of, and the database, which has the hash of the
//! beginning, can't name a single one, not even to somebody who has `APP_SECRET` as well.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::auth::LoginSecret;
use crate::crypto::{AppSecret, MacKey, sha256};
use crate::logins::HandleHash;

/// Tells a session id from every other secret.
pub(super) const PREFIX: &str = "dus_";

const ROOT_BYTES: usize = LoginSecret::BYTES;

/// The root, and the counter's 4 bytes.
const MESSAGE_BYTES: usize = ROOT_BYTES + 4;

/// The same, and the first half of its MAC.
const LONG_BYTES: usize = MESSAGE_BYTES + 16;

/// The beginning of a chain, as text.
const SHORT_TEXT: usize = PREFIX.len() + 43;

/// One of a chain.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SessionId {
    root: LoginSecret,
    generation: i32,
}

impl SessionId {
    /// The one that so many came before in the chain with this root.
    pub(super) fn new(root: LoginSecret, generation: i32) -> Self {
        Self { root, generation }
    }

    /// The root of its chain.
    pub(super) fn into_secret(self) -> LoginSecret {
        self.root
    }

    /// How many came before it.
    pub(super) fn generation(&self) -> i32 {
        self.generation
    }

    /// What the database knows of its chain.
    pub(super) fn hash(&self) -> HandleHash {
        handle_hash(&self.root)
    }

    /// What the MAC is of.
    fn message(&self) -> Zeroizing<[u8; MESSAGE_BYTES]> {
        let mut message = Zeroizing::new([0; MESSAGE_BYTES]);
        let (root, generation) = message.split_at_mut(ROOT_BYTES);
        root.copy_from_slice(self.root.as_bytes());
        generation.copy_from_slice(&self.generation.to_be_bytes());
        message
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionId").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// SHA-256 of the beginning of the chain with this root.
pub(super) fn handle_hash(root: &LoginSecret) -> HandleHash {
    let mut text = Zeroizing::new([0; SHORT_TEXT]);
    let (prefix, encoded) = text.split_at_mut(PREFIX.len());
    prefix.copy_from_slice(PREFIX.as_bytes());
    // It has the length that it takes.
    let _ = URL_SAFE_NO_PAD.encode_slice(root.as_bytes(), encoded);
    sha256(text.as_slice())
}

/// Writes and reads session ids.
#[derive(Debug)]
pub(super) struct SessionIdCodec(MacKey);

impl SessionIdCodec {
    pub(super) fn new(secret: &AppSecret) -> Self {
        Self(MacKey::derive(secret, "dualauth session id v1"))
    }

    /// As it is given to its holder.
    pub(super) fn write(&self, id: &SessionId) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(id.root.as_bytes().to_vec());
        if id.generation > 0 {
            let message = id.message();
            *bytes = [message.as_slice(), &self.0.sign_short(message.as_slice())].concat();
        }
        Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes.as_slice())))
    }

    /// One that a client presents. `None` when it can't be the beginning of a chain, and was not made here as a later
    /// one.
    pub(super) fn read(&self, text: &str) -> Option<SessionId> {
        // One byte more than there can be, to tell one that is too long.
        let mut decoded = Zeroizing::new([0; LONG_BYTES + 1]);
        let length = URL_SAFE_NO_PAD.decode_slice(text.strip_prefix(PREFIX)?, decoded.as_mut_slice()).ok()?;
        let (root, rest) = decoded.get(..length)?.split_first_chunk()?;
        let root = LoginSecret::from(*root);
        if rest.is_empty() {
            return Some(SessionId { root, generation: 0 });
        }
        let (generation, mac) = rest.split_first_chunk()?;
        let id = SessionId { root, generation: i32::from_be_bytes(*generation) };
        let is_ours =
            id.generation > 0 && self.0.verifies_short(id.message().as_slice(), mac.try_into().ok()?);
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
        let beginning = SessionId::new(LoginSecret::generate(), 0);
        let token = OpaqueToken::parse(PREFIX, &ids(1).write(&beginning)).expect("an opaque token");
        assert_eq!(token.hash(), beginning.hash());
        assert_eq!(SessionId::new(beginning.root.clone(), 7).hash(), beginning.hash());
        assert_ne!(SessionId::new(LoginSecret::generate(), 0).hash(), beginning.hash());
    }

    #[test]
    fn an_id_is_not_printed() {
        let id = SessionId::new([0xab; 32].into(), 3);
        assert_eq!(format!("{id:?}"), "SessionId { generation: 3, .. }");
        assert_eq!(format!("{:?}", ids(1)), "SessionIds(MacKey([redacted]))");
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
        any::<[u8; 32]>().prop_map(|root| SessionId::new(root.into(), 0))
    }

    fn later() -> impl Strategy<Value = SessionId> {
        (beginning(), 1..=i32::MAX)
            .prop_map(|(beginning, generation)| SessionId::new(beginning.into_secret(), generation))
    }

    #[test]
    fn what_is_written_is_read_back_and_a_later_id_under_the_same_secret_only() {
        check((prop_oneof![beginning(), later()], any::<u8>(), 1..=255_u8), |(id, byte, step)| {
            let text = ids(byte).write(&id);
            prop_assert_eq!(ids(byte).read(&text), Some(id.clone()));
            let elsewhere = ids(byte.wrapping_add(step)).read(&text);
            prop_assert_eq!(elsewhere, (id.generation == 0).then_some(id));
            Ok(())
        });
    }

    #[test]
    fn what_the_secret_before_signed_is_read() {
        check(later(), |id| {
            let changing = SessionIdCodec::new(&secret(2).replacing(&secret(1)));
            prop_assert_eq!(changing.read(&ids(1).write(&id)), Some(id.clone()));
            prop_assert_eq!(ids(2).read(&changing.write(&id)), Some(id));
            Ok(())
        });
    }

    #[test]
    fn a_later_id_with_a_slip_in_it_is_refused_unless_the_beginning_of_its_chain_is_left() {
        check(near_misses(later().prop_map(|id| ids(1).write(&id).to_string())), |(text, other)| {
            // Whoever has a later id has the beginning as well: it is no secret to them, and was replaced.
            let is_beginning = other.len() == SHORT_TEXT && text.starts_with(&other);
            prop_assert!(ids(1).read(&other).is_none_or(|id| is_beginning && id.generation == 0));
            Ok(())
        });
    }

    #[test]
    fn a_beginning_with_a_slip_in_it_is_refused_or_that_of_another_chain() {
        check(near_misses(beginning().prop_map(|id| ids(1).write(&id).to_string())), |(text, other)| {
            let [id, other] = [&text, &other].map(|text| ids(1).read(text));
            prop_assert!(id.is_some());
            prop_assert_ne!(id, other);
            Ok(())
        });
    }

    #[test]
    fn the_mac_of_one_id_is_that_of_no_other() {
        check((later(), later()), |(one, other)| {
            let bytes = |id: &SessionId| {
                let text = ids(1).write(id);
                URL_SAFE_NO_PAD.decode(&text[PREFIX.len()..]).expect("base64")
            };
            let forged = [&bytes(&one)[..MESSAGE_BYTES], &bytes(&other)[MESSAGE_BYTES..]].concat();
            let forged = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(forged));
            prop_assert_eq!(ids(1).read(&forged), (one == other).then_some(one));
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
            if let Some(id) = ids(1).read(&text) {
                prop_assert_eq!(id.generation, 0, "nobody signed it");
                prop_assert_eq!(ids(1).write(&id).to_string(), text);
            }
            Ok(())
        });
    }

    /// The beginning in the form of a later id, under a MAC of its own, and a counter that went round.
    #[test]
    fn a_counter_that_no_refresh_reaches_is_refused() {
        check((beginning(), i32::MIN..=0), |(beginning, generation)| {
            let message = SessionId::new(beginning.into_secret(), generation).message();
            let bytes = [message.as_slice(), &ids(1).0.sign_short(message.as_slice())].concat();
            prop_assert_eq!(ids(1).read(&format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))), None);
            Ok(())
        });
    }
}
