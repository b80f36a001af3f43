//! Formats of stored password hashes, recognised by their prefix: our own, and those of other systems.

mod argon2;
mod bcrypt;
mod firebase;
mod pbkdf2;
mod phpass;
mod scrypt;
mod sha_crypt;
mod wordpress_trim_and_slashes;

use ::argon2::Params;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::config::PasswordConfig;

use super::PasswordError;
use super::workspace::Workspace;

use self::bcrypt::BcryptHash;
use self::firebase::FirebaseHash;
use self::pbkdf2::{Digest, Pbkdf2Hash};
use self::phpass::PhpassHash;
use self::scrypt::ScryptHash;
use self::sha_crypt::ShaCryptHash;

pub(super) use self::argon2::Argon2Hash;

/// Maximum memory for verifying a stored hash, in KiB. All recommended settings need less.
const MAX_MEMORY_KIB: u64 = PasswordConfig::MAX_MEMORY_KIB as u64;

/// Why a stored hash can't be verified, as a continuation of a sentence with its name. Contains nothing of the hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The format is unknown.
    #[error("has an unknown format")]
    Unknown,
    /// The format is known and rejected. Contains its name.
    #[error("is {0}, which is not accepted")]
    NotTaken(&'static str),
    /// The format is known by its prefix, but the rest is malformed.
    #[error("is not a well-formed {0} hash")]
    Malformed(&'static str),
    /// Verifying it would take more than a few seconds, or too much memory.
    #[error("costs too much to verify: {0} at most")]
    TooCostly(String),
}

/// A hash that can be verified within the limits.
pub(super) enum StoredHash {
    Argon2(Argon2Hash),
    /// With another system's prefix.
    LabelledArgon2(Argon2Hash),
    Bcrypt(BcryptHash),
    Firebase(FirebaseHash),
    Pbkdf2(Pbkdf2Hash),
    Phpass(PhpassHash),
    Scrypt(ScryptHash),
    ShaCrypt(ShaCryptHash),
    /// Matches no password.
    NoPassword,
}

/// Parses a hash, given whole and without its prefix.
type Parser = fn(&str, &str) -> Result<StoredHash, Unusable>;

/// Prefixes and their parsers. If one is a prefix of another, the longer one comes first.
const KINDS: &[(&str, Parser)] = &[
    // PHC strings and crypt(3).
    ("$argon2", |text, _| Argon2Hash::parse(text).map(StoredHash::Argon2)),
    ("$2a$", |text, _| BcryptHash::parse(text).map(StoredHash::Bcrypt)),
    ("$2b$", |text, _| BcryptHash::parse(text).map(StoredHash::Bcrypt)),
    ("$2y$", |text, _| BcryptHash::parse(text).map(StoredHash::Bcrypt)),
    ("$5$", |text, _| ShaCryptHash::parse(text).map(StoredHash::ShaCrypt)),
    ("$6$", |text, _| ShaCryptHash::parse(text).map(StoredHash::ShaCrypt)),
    ("$scrypt$", |text, _| ScryptHash::parse_phc(text).map(StoredHash::Scrypt)),
    ("$pbkdf2$", |_, rest| Pbkdf2Hash::parse_crypt(Digest::Sha1, rest).map(StoredHash::Pbkdf2)),
    ("$pbkdf2-sha1$", |_, rest| Pbkdf2Hash::parse_crypt(Digest::Sha1, rest).map(StoredHash::Pbkdf2)),
    ("$pbkdf2-sha256$", |_, rest| Pbkdf2Hash::parse_crypt(Digest::Sha256, rest).map(StoredHash::Pbkdf2)),
    ("$pbkdf2-sha512$", |_, rest| Pbkdf2Hash::parse_crypt(Digest::Sha512, rest).map(StoredHash::Pbkdf2)),
    // passlib.
    ("$bcrypt-sha256$", |_, rest| BcryptHash::parse_passlib(rest).map(StoredHash::Bcrypt)),
    // WordPress, phpBB.
    ("$P$", |_, rest| PhpassHash::parse_wordpress(rest).map(StoredHash::Phpass)),
    ("$H$", |_, rest| PhpassHash::parse(rest).map(StoredHash::Phpass)),
    ("$wp$", |text, _| BcryptHash::parse_wordpress(text).map(StoredHash::Bcrypt)),
    // Firebase.
    ("$fbscrypt$", |_, rest| FirebaseHash::parse(rest).map(StoredHash::Firebase)),
    // Django.
    ("argon2$", |_, rest| Argon2Hash::parse(&format!("${rest}")).map(StoredHash::LabelledArgon2)),
    ("bcrypt$", |_, rest| BcryptHash::parse(rest).map(StoredHash::Bcrypt)),
    ("bcrypt_sha256$", |_, rest| BcryptHash::parse_django(rest).map(StoredHash::Bcrypt)),
    ("pbkdf2_sha1$", |_, rest| Pbkdf2Hash::parse_django(Digest::Sha1, rest).map(StoredHash::Pbkdf2)),
    ("pbkdf2_sha256$", |_, rest| Pbkdf2Hash::parse_django(Digest::Sha256, rest).map(StoredHash::Pbkdf2)),
    ("scrypt$", |_, rest| ScryptHash::parse_django(rest).map(StoredHash::Scrypt)),
    // Werkzeug.
    ("pbkdf2:", |_, rest| Pbkdf2Hash::parse_werkzeug(rest).map(StoredHash::Pbkdf2)),
    ("scrypt:", |_, rest| ScryptHash::parse_werkzeug(rest).map(StoredHash::Scrypt)),
    // Spring Security, LDAP.
    ("{", |_, rest| StoredHash::parse_labelled(rest)),
    // ASP.NET Core Identity: base64 whose first byte is the version.
    ("AQAAAA", |text, _| Pbkdf2Hash::parse_identity_v3(text).map(StoredHash::Pbkdf2)),
    ("A", |text, _| Pbkdf2Hash::parse_identity_v2(text).map(StoredHash::Pbkdf2)),
    // Django, shadow(5).
    ("!", |_, _| Ok(StoredHash::NoPassword)),
    ("*", |_, _| Ok(StoredHash::NoPassword)),
];

/// Formats that are insecure, or can't be verified with the password alone.
const NOT_TAKEN: &[(&str, &str)] = &[
    ("$1$", "md5-crypt"),
    ("$apr1$", "Apache's md5-crypt"),
    ("$2x$", "bcrypt by a faulty crypt_blowfish"),
    ("$3$", "an NT hash"),
    ("$7$", "crypt's scrypt"),
    ("$y$", "yescrypt"),
    ("$gy$", "gost-yescrypt"),
    ("$sha1$", "sha1-crypt"),
    ("$S$", "Drupal's SHA-512"),
    ("md5$", "salted MD5"),
    ("sha1$", "salted SHA-1"),
    ("sha256$", "salted SHA-256"),
    ("sha512$", "salted SHA-512"),
    ("unsalted_md5$", "MD5"),
    ("unsalted_sha1$", "SHA-1"),
    ("crypt$", "DES-crypt"),
    ("plain$", "a password in the clear"),
    ("{noop}", "a password in the clear"),
    ("{plain}", "a password in the clear"),
    ("{PLAIN}", "a password in the clear"),
    ("{CLEARTEXT}", "a password in the clear"),
    ("{ldap}", "salted SHA-1"),
    ("{SSHA}", "salted SHA-1"),
    ("{SHA}", "SHA-1"),
    ("{SHA-1}", "SHA-1"),
    ("{SHA-256}", "SHA-256"),
    ("{sha256}", "salted SHA-256"),
    ("{MD4}", "MD4"),
    ("{MD5}", "MD5"),
    ("{SMD5}", "salted MD5"),
];

impl StoredHash {
    /// Parses a hash of any format.
    pub(super) fn parse(text: &str) -> Result<Self, Unusable> {
        if let Some((_, name)) = NOT_TAKEN.iter().find(|(begins, _)| text.starts_with(begins)) {
            return Err(Unusable::NotTaken(name));
        }
        let read = |(begins, parser): &(&str, Parser)| Some(parser(text, text.strip_prefix(begins)?));
        KINDS.iter().find_map(read).unwrap_or(Err(Unusable::Unknown))
    }

    /// Parses `bcrypt}$2a$…`. The label usually repeats what the rest says.
    fn parse_labelled(text: &str) -> Result<Self, Unusable> {
        match text.split_once('}').ok_or(Unusable::Unknown)? {
            ("pbkdf2", hash) => Pbkdf2Hash::parse_spring(hash).map(Self::Pbkdf2),
            ("pbkdf2@SpringSecurity_v5_8", hash) => Pbkdf2Hash::parse_spring_v5_8(hash).map(Self::Pbkdf2),
            ("scrypt" | "scrypt@SpringSecurity_v5_8", hash) => {
                ScryptHash::parse_spring(hash).map(Self::Scrypt)
            }
            (_, hash) if hash.starts_with('$') => Self::parse(hash).map(Self::labelled),
            _ => Err(Unusable::Unknown),
        }
    }

    fn labelled(self) -> Self {
        match self {
            Self::Argon2(hash) => Self::LabelledArgon2(hash),
            other => other,
        }
    }

    /// Whether to replace it by a new hash. Not if it is argon2id with a higher cost: lowering the settings makes no
    /// hash weaker.
    pub(super) fn is_outdated(&self, today: &Params) -> bool {
        match self {
            Self::Argon2(hash) => hash.is_weaker_than(today),
            _ => true,
        }
    }

    /// Whether it is the hash of this password.
    pub(super) fn matches(&self, password: &[u8], workspace: &mut Workspace) -> Result<bool, PasswordError> {
        match self {
            Self::Argon2(hash) | Self::LabelledArgon2(hash) => hash.matches(password, workspace),
            Self::Bcrypt(hash) => Ok(hash.matches(password)),
            Self::Firebase(hash) => Ok(hash.matches(password, workspace)),
            Self::Pbkdf2(hash) => Ok(hash.matches(password)),
            Self::Phpass(hash) => Ok(hash.matches(password)),
            Self::Scrypt(hash) => Ok(hash.matches(password, workspace)),
            Self::ShaCrypt(hash) => Ok(hash.matches(password)),
            Self::NoPassword => Ok(false),
        }
    }
}

/// Decodes base64 of all variants in use: with or without padding, with `+/`, `-_` (RFC 4648) or `./` (passlib).
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let standard = |letter: char| match letter {
        '-' | '.' => '+',
        '_' => '/',
        letter => letter,
    };
    let text: String = text.trim_end_matches('=').chars().map(standard).collect();
    STANDARD_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests;
