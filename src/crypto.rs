//! Cryptographic keys derived from `APP_SECRET`, for signing and encryption, with types that never print them.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::{constant_time, digest, hmac};
use zeroize::Zeroizing;

/// The secret that all keys of the service are derived from, at least 32 bytes. During a rotation it also holds the
/// previous secret.
#[derive(Clone)]
pub struct AppSecret {
    bytes: Zeroizing<Vec<u8>>,
    previous: Option<Zeroizing<Vec<u8>>>,
}

impl AppSecret {
    /// Minimum length in bytes.
    pub const MIN_BYTES: usize = 32;

    /// `None` when it is shorter than [`Self::MIN_BYTES`].
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        let bytes = Zeroizing::new(bytes);
        (bytes.len() >= Self::MIN_BYTES).then_some(Self { bytes, previous: None })
    }

    /// A new random secret.
    pub fn generate() -> Self {
        Self { bytes: Zeroizing::new(random_bytes::<{ Self::MIN_BYTES }>().to_vec()), previous: None }
    }

    /// This secret with `previous` as the previous one, whose signatures and sealed values stay valid.
    pub fn replacing(self, previous: &Self) -> Self {
        Self { previous: Some(previous.bytes.clone()), ..self }
    }

    /// Whether there is a previous secret.
    pub fn has_previous(&self) -> bool {
        self.previous.is_some()
    }

    /// Whether the previous secret is the same as this one.
    pub fn repeats_previous(&self) -> bool {
        self.previous.as_ref().is_some_and(|previous| equal(previous, &self.bytes))
    }

    /// The bytes, for storage.
    pub fn reveal(&self) -> &[u8] {
        &self.bytes
    }

    /// Derives an independent key for each purpose: HMAC-SHA-256 of the purpose's name under the secret.
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        derive(&self.bytes, purpose)
    }

    /// The key for this purpose under the previous secret.
    fn derive_previous(&self, purpose: &str) -> Option<Zeroizing<[u8; 32]>> {
        self.previous.as_ref().map(|bytes| derive(bytes, purpose))
    }
}

fn derive(secret: &[u8], purpose: &str) -> Zeroizing<[u8; 32]> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut derived = Zeroizing::new([0; 32]);
    derived.copy_from_slice(hmac::sign(&key, purpose.as_bytes()).as_ref());
    derived
}

impl fmt::Debug for AppSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppSecret([redacted])")
    }
}

/// A key for message authentication codes: HMAC-SHA-256 (RFC 2104).
pub struct MacKey {
    key: hmac::Key,
    previous: Option<hmac::Key>,
}

impl MacKey {
    /// The key for this purpose.
    pub fn derive(secret: &AppSecret, purpose: &str) -> Self {
        let key = |bytes: Zeroizing<[u8; 32]>| hmac::Key::new(hmac::HMAC_SHA256, bytes.as_slice());
        Self { key: key(secret.derive(purpose)), previous: secret.derive_previous(purpose).map(key) }
    }

    /// The MAC of the message, 32 bytes, under the current secret.
    pub fn sign(&self, message: &[u8]) -> [u8; 32] {
        let mut mac = [0; 32];
        mac.copy_from_slice(hmac::sign(&self.key, message).as_ref());
        mac
    }

    /// The MACs of the message under the current and, if there is one, the previous secret, where another program compares
    /// them.
    pub fn sign_with_each(&self, message: &[u8]) -> Vec<Vec<u8>> {
        let keys = std::iter::once(&self.key).chain(&self.previous);
        keys.map(|key| hmac::sign(key, message).as_ref().to_vec()).collect()
    }

    /// Whether `mac` is the MAC of the message under the current or the previous secret. Compares in constant time.
    pub fn verifies(&self, message: &[u8], mac: &[u8]) -> bool {
        let mut keys = std::iter::once(&self.key).chain(&self.previous);
        keys.any(|key| hmac::verify(key, message, mac).is_ok())
    }

    /// The first 16 bytes of the MAC, where it must be short (RFC 2104, section 5).
    pub fn sign_short(&self, message: &[u8]) -> [u8; 16] {
        truncated_mac(&self.key, message)
    }

    /// Like [`Self::verifies`], for a short MAC.
    pub fn verifies_short(&self, message: &[u8], mac: &[u8; 16]) -> bool {
        let mut keys = std::iter::once(&self.key).chain(&self.previous);
        keys.any(|key| equal(&truncated_mac(key, message), mac))
    }
}

fn truncated_mac(key: &hmac::Key, message: &[u8]) -> [u8; 16] {
    let mut mac = [0; 16];
    mac.iter_mut().zip(hmac::sign(key, message).as_ref()).for_each(|(mac, byte)| *mac = *byte);
    mac
}

/// The bytes of a secret, such as a private key. Zeroized when dropped.
#[derive(Clone)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Wraps these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for use.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes([redacted])")
    }
}

/// Encrypts secrets that are stored where others may read them: AES-256-GCM with a random nonce (NIST SP 800-38D).
pub struct Sealer {
    key: RandomizedNonceKey,
    previous: Option<RandomizedNonceKey>,
}

/// A decrypted secret.
#[derive(Debug)]
pub struct Unsealed {
    /// The secret.
    pub secret: SecretBytes,
    /// Whether it was sealed under the previous secret, and should be sealed again.
    pub is_sealed_under_previous: bool,
}

/// Length of the nonce at the start of a sealed secret.
const NONCE_BYTES: usize = 12;

impl Sealer {
    /// The sealer for this purpose.
    pub fn derive(secret: &AppSecret, purpose: &str) -> Self {
        let previous = secret.derive_previous(purpose).map(|bytes| sealing_key(&bytes));
        Self { key: sealing_key(&secret.derive(purpose)), previous }
    }

    /// Encrypts a secret. `name` is authenticated with it: it can be unsealed only under the same name.
    ///
    /// # Errors
    /// When the system's random number generator fails.
    pub fn seal(&self, name: &str, secret: &SecretBytes) -> Result<Vec<u8>, Unspecified> {
        let mut sealed = secret.reveal().to_vec();
        let nonce = self.key.seal_in_place_append_tag(Aad::from(name), &mut sealed)?;
        Ok([nonce.as_ref().as_slice(), &sealed].concat())
    }

    /// Decrypts a secret. `None` when it was sealed under another secret or name, or was modified.
    pub fn unseal(&self, name: &str, sealed: &[u8]) -> Option<Unsealed> {
        let dated = self.previous.iter().map(|key| (key, true));
        let mut keys = std::iter::once((&self.key, false)).chain(dated);
        keys.find_map(|(key, is_sealed_under_previous)| {
            Some(Unsealed { secret: unseal(key, name, sealed)?, is_sealed_under_previous })
        })
    }
}

#[expect(clippy::expect_used, reason = "AES-256 takes every key of 32 bytes")]
fn sealing_key(bytes: &[u8; 32]) -> RandomizedNonceKey {
    RandomizedNonceKey::new(&AES_256_GCM, bytes).expect("a key of 32 bytes")
}

fn unseal(key: &RandomizedNonceKey, name: &str, sealed: &[u8]) -> Option<SecretBytes> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut opened = Zeroizing::new(sealed.to_vec());
    let length = key.open_in_place(nonce, Aad::from(name), &mut opened).ok()?.len();
    opened.truncate(length);
    Some(SecretBytes(opened))
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer([redacted])")
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey([redacted])")
    }
}

/// Compares in constant time.
pub fn equal(left: &[u8], right: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// SHA-256 (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// Random bytes from the system's generator: aws-lc's own would first gather entropy, for a tenth of a second of a start.
///
/// # Panics
/// When the system's random number generator fails: nothing that this program does would be secure.
#[expect(clippy::expect_used, reason = "no secret can be made without randomness, whatever the caller did")]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system's random number generator works");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_key() -> SecretBytes {
        SecretBytes::new(b"a key".to_vec())
    }

    #[test]
    fn secrets_are_not_printed() {
        let secret = AppSecret::new(b"a secret of thirty-two bytes, at least".to_vec()).expect("long enough");
        let mac = MacKey::derive(&secret, "purpose");
        let sealer = Sealer::derive(&secret, "purpose");
        let unsealed = sealer.unseal("name", &sealer.seal("name", &a_key()).expect("sealed"));
        let printed = format!("{secret:?} {mac:?} {sealer:?} {unsealed:?} {:?}", a_key());
        for secret in ["thirty", "a key", "97, 32"] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }

    #[test]
    fn what_the_previous_secret_signed_or_sealed_is_good_still_and_what_another_did_is_not() {
        let [old, new, other] = [(); 3].map(|()| AppSecret::generate());
        let changing = new.clone().replacing(&old);
        let mac = |secret: &AppSecret| MacKey::derive(secret, "purpose");
        for (secret, is_good) in [(&old, true), (&new, true), (&other, false)] {
            assert_eq!(mac(&changing).verifies(b"message", &mac(secret).sign(b"message")), is_good);
            let signed = mac(&changing).sign_with_each(b"message");
            assert_eq!(signed.contains(&mac(secret).sign(b"message").to_vec()), is_good);
            assert_eq!(
                mac(&changing).verifies_short(b"message", &mac(secret).sign_short(b"message")),
                is_good
            );
        }
        assert!(!mac(&new).verifies(b"message", &mac(&old).sign(b"message")));
        assert!(mac(&new).verifies(b"message", &mac(&changing).sign(b"message")), "signed under the new one");

        let sealer = |secret: &AppSecret| Sealer::derive(secret, "purpose");
        let sealed = |secret: &AppSecret| sealer(secret).seal("name", &a_key()).expect("sealed");
        for (secret, is_sealed_under_previous) in [(&old, true), (&new, false)] {
            let unsealed = sealer(&changing).unseal("name", &sealed(secret)).expect("it opens");
            assert_eq!(
                (unsealed.secret.reveal(), unsealed.is_sealed_under_previous),
                (b"a key".as_slice(), is_sealed_under_previous)
            );
        }
        assert!(sealer(&changing).unseal("name", &sealed(&other)).is_none());
    }

    #[test]
    fn a_sealed_secret_opens_only_as_it_was_sealed() {
        let sealer = Sealer::derive(&AppSecret::generate(), "purpose");
        let sealed = sealer.seal("name", &a_key()).expect("sealed");
        assert!(sealer.unseal("other", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(sealer.unseal("name", &changed).is_none(), "changed at {at}");
            assert!(sealer.unseal("name", &sealed[..at]).is_none(), "cut at {at}");
        }
        assert_ne!(sealer.seal("name", &a_key()).expect("sealed"), sealed, "a nonce is used once");
    }

    #[test]
    fn each_purpose_has_a_key_of_its_own() {
        let secret = AppSecret::generate();
        assert_ne!(secret.derive("one").as_slice(), secret.derive("other").as_slice());
    }
}
