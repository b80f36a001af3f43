//! Recovery codes: for who has lost their authenticator. Each takes the place of a second factor, once.

use data_encoding::BASE32_NOPAD;
use secrecy::SecretString;

use crate::crypto::{random_bytes, sha256};

/// How many codes an account gets at a time.
pub const RECOVERY_CODES: usize = 10;

/// The length of a code: 24 letters and digits of five bits each.
const LENGTH: usize = 24;
const RANDOM_BYTES: usize = 15;

/// New codes: to be shown once, and what is stored of them.
pub struct NewRecoveryCodes {
    /// The codes.
    pub codes: Vec<SecretString>,
    /// SHA-256 of each.
    pub hashes: Vec<Vec<u8>>,
}

impl NewRecoveryCodes {
    /// Random codes.
    pub(super) fn generate() -> Self {
        let code = || BASE32_NOPAD.encode(&random_bytes::<RANDOM_BYTES>()).to_ascii_lowercase();
        let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| code()).collect();
        Self {
            hashes: codes.iter().map(|code| sha256(code.as_bytes()).to_vec()).collect(),
            codes: codes.into_iter().map(SecretString::from).collect(),
        }
    }
}

/// SHA-256 of a normalized code, if it has the form of a recovery code.
pub(super) fn hash(code: &str) -> Option<[u8; 32]> {
    let is_one = code.len() == LENGTH && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_one.then(|| sha256(code.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use secrecy::ExposeSecret;

    use super::*;
    use crate::challenges::ChallengeCode;

    #[test]
    fn there_are_ten_different_ones_of_24_letters_and_digits_and_their_hashes_are_kept() {
        let new = NewRecoveryCodes::generate();
        let codes: BTreeSet<&str> = new.codes.iter().map(|code| code.expose_secret()).collect();
        assert_eq!(codes.len(), RECOVERY_CODES);
        for (code, kept) in new.codes.iter().zip(&new.hashes) {
            let code = code.expose_secret();
            assert!(code.len() == 24 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{code}");
            let typed = format!(" {}-{} ", code[..8].to_ascii_uppercase(), &code[8..]);
            let hashed = hash(ChallengeCode::typed(&typed).reveal());
            assert_eq!(hashed.map(Vec::from).as_ref(), Some(kept), "however it is typed");
        }
    }

    #[test]
    fn nothing_else_has_their_form() {
        for code in ["", "123456", "12345678", &"a".repeat(23), &"a".repeat(25), &"ä".repeat(12)] {
            assert!(hash(code).is_none(), "{code}");
        }
    }
}
