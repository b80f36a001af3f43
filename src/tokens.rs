//! Opaque secrets and the keys behind them: made, hashed, authenticated, and never printed.

use std::fmt;

use aws_lc_rs::{constant_time, digest, hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// Bytes of randomness in an opaque token: 256 bits, so that its hash needs neither salt nor stretching.
const RANDOM_BYTES: usize = 32;

/// A secret that only its holder knows: a prefix that tells what it is, then 256 random bits in base64url.
///
/// The prefix lets a secret scanner recognise a leaked one. What is stored is [`OpaqueToken::hash`].
#[derive(Clone)]
pub struct OpaqueToken(Zeroizing<String>);

impl OpaqueToken {
    /// A new one.
    pub fn generate(prefix: &str) -> Self {
        let random: Zeroizing<[u8; RANDOM_BYTES]> = Zeroizing::new(random_bytes());
        Self(Zeroizing::new(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random.as_slice()))))
    }

    /// One that a client presents; `None` when it can't be one of this kind.
    pub fn parse(prefix: &str, text: &str) -> Option<Self> {
        // One byte more than there should be, to tell one that is too long.
        let mut decoded = Zeroizing::new([0; RANDOM_BYTES + 1]);
        let length = URL_SAFE_NO_PAD.decode_slice(text.strip_prefix(prefix)?, decoded.as_mut_slice()).ok()?;
        (length == RANDOM_BYTES).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// SHA-256 of the whole token: what the database knows of it.
    pub fn hash(&self) -> [u8; 32] {
        sha256(self.0.as_bytes())
    }

    /// The token itself, to be given to its holder.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OpaqueToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpaqueToken([redacted])")
    }
}

/// The secret that every key of the service is derived from: 32 bytes or more.
#[derive(Clone)]
pub struct AppSecret(Zeroizing<Vec<u8>>);

impl AppSecret {
    /// The least number of bytes.
    pub const MIN_BYTES: usize = 32;

    /// `None` when it is too short.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        let bytes = Zeroizing::new(bytes);
        (bytes.len() >= Self::MIN_BYTES).then_some(Self(bytes))
    }

    /// A new one.
    pub fn generate() -> Self {
        Self(Zeroizing::new(random_bytes::<{ Self::MIN_BYTES }>().to_vec()))
    }

    /// The bytes, to be stored.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// An independent key for each purpose: HMAC-SHA-256 of the purpose's name under the secret.
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let mut derived = Zeroizing::new([0; 32]);
        derived.copy_from_slice(hmac::sign(&key, purpose.as_bytes()).as_ref());
        derived
    }
}

impl fmt::Debug for AppSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppSecret([redacted])")
    }
}

/// A key that proves that a text came from here: HMAC-SHA-256 (RFC 2104).
pub struct MacKey(hmac::Key);

impl MacKey {
    /// The key for one purpose.
    pub fn derive(secret: &AppSecret, purpose: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.derive(purpose).as_slice()))
    }

    /// The 32 bytes that prove the message.
    pub fn sign(&self, message: &[u8]) -> [u8; 32] {
        let mut mac = [0; 32];
        mac.copy_from_slice(hmac::sign(&self.0, message).as_ref());
        mac
    }

    /// Compares in constant time.
    pub fn verifies(&self, message: &[u8], mac: &[u8]) -> bool {
        hmac::verify(&self.0, message, mac).is_ok()
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey([redacted])")
    }
}

/// Equal or not, in a time that tells nothing of where they differ.
pub fn equal(left: &[u8], right: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// SHA-256 (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// Bytes from the system's generator.
///
/// # Panics
/// When the system has no randomness to give: then nothing that this program does would be safe.
#[expect(clippy::expect_used, reason = "no secret can be made without randomness, whatever the caller did")]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system's random number generator works");
    bytes
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
    fn secrets_are_not_printed() {
        let token = OpaqueToken::generate("x_");
        let secret = AppSecret::new(b"a secret of thirty-two bytes, at least".to_vec()).expect("long enough");
        let mac = MacKey::derive(&secret, "purpose");
        let printed = format!("{token:?} {secret:?} {mac:?}");
        assert!(!printed.contains(&token.reveal()[2..]) && !printed.contains("thirty"), "{printed}");
    }

    #[test]
    fn each_purpose_has_a_key_of_its_own() {
        let secret = AppSecret::generate();
        assert_ne!(secret.derive("one").as_slice(), secret.derive("other").as_slice());
    }
}
