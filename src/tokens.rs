//! Opaque tokens: generated, parsed and hashed.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::crypto::{random_bytes, sha256};

/// Bytes of randomness in an opaque token: 256 bits, so that its hash needs neither salt nor stretching.
const RANDOM_BYTES: usize = 32;

/// A random secret for a client to hold: a prefix that names its kind, then 256 random bits in base64url.
///
/// The prefix lets secret scanners recognise a leaked token. Only [`OpaqueToken::hash`] is stored.
#[derive(Clone)]
pub struct OpaqueToken(Zeroizing<String>);

impl OpaqueToken {
    /// A new token with this prefix.
    pub fn generate(prefix: &str) -> Self {
        let random: Zeroizing<[u8; RANDOM_BYTES]> = Zeroizing::new(random_bytes());
        Self(Zeroizing::new(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random.as_slice()))))
    }

    /// Parses a token from a client. `None` when it is not well-formed for this prefix.
    pub fn parse(prefix: &str, text: &str) -> Option<Self> {
        // One byte more than expected, to detect a token that is too long.
        let mut decoded = Zeroizing::new([0; RANDOM_BYTES + 1]);
        let length = URL_SAFE_NO_PAD.decode_slice(text.strip_prefix(prefix)?, decoded.as_mut_slice()).ok()?;
        (length == RANDOM_BYTES).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// SHA-256 of the whole token, which the database stores.
    pub fn hash(&self) -> [u8; 32] {
        sha256(self.0.as_bytes())
    }

    /// The token itself, for the response to its holder.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OpaqueToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpaqueToken([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_parses_back_to_the_same_hash() {
        let token = OpaqueToken::generate("x_");
        let parsed = OpaqueToken::parse("x_", token.reveal()).expect("it is one of ours");
        assert_eq!(parsed.hash(), token.hash());
    }

    #[test]
    fn another_prefix_or_length_is_no_token() {
        let token = OpaqueToken::generate("x_");
        assert!(OpaqueToken::parse("y_", token.reveal()).is_none());
        assert!(OpaqueToken::parse("x_", &token.reveal()[..20]).is_none());
    }

    #[test]
    fn a_token_is_not_printed() {
        let token = OpaqueToken::generate("x_");
        let printed = format!("{token:?}");
        assert!(!printed.contains(&token.reveal()[2..]), "{printed}");
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;
    use crate::property_testing::{check, near_misses};

    const PREFIX: &str = "x_";

    fn token() -> impl Strategy<Value = String> {
        any::<[u8; RANDOM_BYTES]>().prop_map(|random| format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random)))
    }

    /// The prefix, and 256 bits in the only valid encoding (RFC 4648, sections 3.5 and 5).
    fn is_token(text: &str) -> bool {
        let Some(secret) = text.strip_prefix(PREFIX) else { return false };
        let of_alphabet = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
        secret.len() == 43
            && secret.chars().all(of_alphabet)
            && secret.ends_with(|last| "AEIMQUYcgkosw048".contains(last))
    }

    #[test]
    fn exactly_what_can_be_a_token_is_read_and_stays_as_it_is() {
        let texts = prop_oneof![
            token(),
            near_misses(token()).prop_map(|(_, other)| other),
            "x_[A-Za-z0-9_-]{43}",
            "(x_)?[A-Za-z0-9_=+/-]{40,46}",
            any::<String>(),
        ];
        check(texts, |text| {
            let read = OpaqueToken::parse(PREFIX, &text);
            prop_assert_eq!(read.as_ref().map(OpaqueToken::reveal), is_token(&text).then_some(text.as_str()));
            Ok(())
        });
    }

    #[test]
    fn a_token_with_a_slip_in_it_is_none_or_another() {
        check(near_misses(token()), |(text, other)| {
            let hash = |text| OpaqueToken::parse(PREFIX, text).map(|token| token.hash());
            prop_assert!(hash(&text).is_some());
            prop_assert_ne!(hash(&text), hash(&other));
            Ok(())
        });
    }
}
