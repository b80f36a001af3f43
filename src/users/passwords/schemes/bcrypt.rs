//! bcrypt: `$2b$12$…` as it is, and Django's `bcrypt_sha256$$2b$12$…`, which is that of the password's SHA-256.

use std::fmt::Write;

use bcrypt::HashParts;
use zeroize::Zeroizing;

use crate::tokens;

use super::Unusable;

/// The highest cost, of which each one more doubles the time: four seconds or less.
const MAX_COST: u32 = 15;

const MALFORMED: Unusable = Unusable::Malformed("bcrypt");

pub(in super::super) struct BcryptHash {
    /// Well-formed, within bounds.
    text: String,
    is_of_sha256: bool,
}

impl BcryptHash {
    /// Of the first 72 bytes of the password: that is how such hashes were made.
    pub(super) fn parse(text: &str) -> Result<Self, Unusable> {
        Self::checked(text, false)
    }

    /// Of the SHA-256 of the whole password, in hexadecimal digits.
    pub(super) fn parse_of_sha256(text: &str) -> Result<Self, Unusable> {
        Self::checked(text, true)
    }

    fn checked(text: &str, is_of_sha256: bool) -> Result<Self, Unusable> {
        let is_known = ["$2a$", "$2b$", "$2y$"].iter().any(|version| text.starts_with(version));
        let parts: HashParts = text.parse().map_err(|_| MALFORMED)?;
        match parts.get_cost() {
            4..=MAX_COST if is_known => Ok(Self { text: text.to_owned(), is_of_sha256 }),
            0..4 => Err(MALFORMED),
            _ if !is_known => Err(MALFORMED),
            _ => Err(Unusable::TooCostly(format!("a cost of {MAX_COST}"))),
        }
    }

    pub(super) fn matches(&self, password: &[u8]) -> bool {
        let verifies = |password: &[u8]| bcrypt::verify(password, &self.text).unwrap_or(false);
        if !self.is_of_sha256 {
            return verifies(password);
        }
        let mut digits = Zeroizing::new(String::with_capacity(64));
        for byte in Zeroizing::new(tokens::sha256(password)).iter() {
            // Writing to a string can't fail.
            let _ = write!(digits, "{byte:02x}");
        }
        verifies(digits.as_bytes())
    }
}
