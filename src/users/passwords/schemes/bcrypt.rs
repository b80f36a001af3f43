//! bcrypt hashes: `$2b$12$…` of the password itself, and of the prehashes of Django, passlib and WordPress, which
//! make more than 72 bytes count.

use std::ops::Range;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use bcrypt::HashParts;
use zeroize::Zeroizing;

use crate::crypto;

use super::{Unusable, wordpress_trim_and_slashes};

/// Maximum cost; each step doubles the time. At most four seconds.
const MAX_COST: u32 = 15;

/// Position of the salt.
const SALT: Range<usize> = 7..29;

const MALFORMED: Unusable = Unusable::Malformed("bcrypt");

pub(in super::super) struct BcryptHash {
    /// Well-formed, within bounds.
    text: String,
    of: Prehash,
}

/// The input of bcrypt.
enum Prehash {
    /// The first 72 bytes of the password, as such hashes are made.
    Password,
    /// The password's SHA-256, in hexadecimal digits.
    HexOfSha256,
    /// The password's SHA-256, in base64.
    Base64OfSha256,
    /// The password's HMAC-SHA-256 by the salt as it is written, in base64.
    Base64OfHmac,
    /// The HMAC-SHA-384 of the password in WordPress' encoding, in base64.
    WordPress,
}

impl BcryptHash {
    /// Parses plain bcrypt.
    pub(super) fn parse(text: &str) -> Result<Self, Unusable> {
        Self::checked(text.to_owned(), Prehash::Password)
    }

    /// Parses Django's `bcrypt_sha256$$2b$12$…`, after the prefix.
    pub(super) fn parse_django(text: &str) -> Result<Self, Unusable> {
        Self::checked(text.to_owned(), Prehash::HexOfSha256)
    }

    /// Parses passlib's `$bcrypt-sha256$v=2,t=2b,r=12$salt$digest`, after the prefix. Versions before 1.7.3 wrote
    /// `2b,12`, which means another prehash.
    pub(super) fn parse_passlib(text: &str) -> Result<Self, Unusable> {
        let fields: Vec<&str> = text.split('$').collect();
        let [cost, salt, digest] = fields[..] else { return Err(MALFORMED) };
        let (version, cost, of) = match cost.strip_prefix("v=2,t=") {
            Some(cost) => {
                let (version, cost) = cost.split_once(",r=").ok_or(MALFORMED)?;
                (version, cost, Prehash::Base64OfHmac)
            }
            None => {
                let (version, cost) = cost.split_once(',').ok_or(MALFORMED)?;
                (version, cost, Prehash::Base64OfSha256)
            }
        };
        if salt.len() != SALT.len() {
            return Err(MALFORMED);
        }
        Self::checked(format!("${version}${cost:0>2}${salt}{digest}"), of)
    }

    /// Parses WordPress' `$wp$2y$10$…`, used since version 6.8.
    pub(super) fn parse_wordpress(text: &str) -> Result<Self, Unusable> {
        Self::checked(text.strip_prefix("$wp").ok_or(MALFORMED)?.to_owned(), Prehash::WordPress)
    }

    fn checked(text: String, of: Prehash) -> Result<Self, Unusable> {
        let is_known = ["$2a$", "$2b$", "$2y$"].iter().any(|version| text.starts_with(version));
        let parts: HashParts = text.parse().map_err(|_| MALFORMED)?;
        match parts.get_cost() {
            4..=MAX_COST if is_known => Ok(Self { text, of }),
            0..4 => Err(MALFORMED),
            _ if !is_known => Err(MALFORMED),
            _ => Err(Unusable::TooCostly(format!("a cost of {MAX_COST}"))),
        }
    }

    pub(super) fn matches(&self, password: &[u8]) -> bool {
        match self.of {
            Prehash::Password => self.verifies(password),
            Prehash::HexOfSha256 => self.verifies(hexadecimal(&crypto::sha256(password)).as_bytes()),
            Prehash::Base64OfSha256 => self.verifies(base64(&crypto::sha256(password)).as_bytes()),
            Prehash::Base64OfHmac => self.verifies_mac(hmac::HMAC_SHA256, self.salt(), password),
            Prehash::WordPress => wordpress_trim_and_slashes::encodings(password)
                .iter()
                .any(|spelling| self.verifies_mac(hmac::HMAC_SHA384, b"wp-sha384", spelling)),
        }
    }

    fn verifies_mac(&self, algorithm: hmac::Algorithm, key: &[u8], password: &[u8]) -> bool {
        let mac = hmac::sign(&hmac::Key::new(algorithm, key), password);
        self.verifies(base64(mac.as_ref()).as_bytes())
    }

    fn verifies(&self, password: &[u8]) -> bool {
        bcrypt::verify(password, &self.text).unwrap_or(false)
    }

    /// The salt in its text form.
    fn salt(&self) -> &[u8] {
        self.text.as_bytes().get(SALT).unwrap_or_default()
    }
}

fn base64(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(STANDARD.encode(bytes))
}

fn hexadecimal(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(hex::encode(bytes))
}
