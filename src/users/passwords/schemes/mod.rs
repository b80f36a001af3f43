//! What a stored password hash may be: argon2, bcrypt, PBKDF2 or scrypt, as Django writes them or as others do.

mod argon2;
mod bcrypt;
mod pbkdf2;
mod scrypt;

use ::argon2::Params;

use crate::config::PasswordConfig;

use super::PasswordError;
use super::workspace::Workspace;

use self::bcrypt::BcryptHash;
use self::pbkdf2::Pbkdf2Hash;
use self::scrypt::ScryptHash;

pub(super) use self::argon2::Argon2Hash;

/// The most memory that a stored hash may take to verify, in KiB. All that are recommended anywhere take less.
const MAX_MEMORY_KIB: u64 = PasswordConfig::MAX_MEMORY_KIB as u64;

/// Why a stored hash can't be verified, in words that follow its name. Nothing of the hash itself is in them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Of no kind that is known, or no hash at all.
    #[error("is of no kind that is known here")]
    Unknown,
    /// It begins like one of this kind, and goes on otherwise.
    #[error("is no well-formed {0} hash")]
    Malformed(&'static str),
    /// To verify it would take more than a few seconds, or too much memory.
    #[error("costs too much to verify: {0} at most")]
    TooCostly(String),
}

/// A hash that can be verified, within bounds.
pub(super) enum StoredHash {
    Argon2(Argon2Hash),
    DjangoArgon2(Argon2Hash),
    Bcrypt(BcryptHash),
    Pbkdf2(Pbkdf2Hash),
    Scrypt(ScryptHash),
}

impl StoredHash {
    /// Either `$name$…`, as crypt(3) and the PHC string format have it, or `name$…`, as Django has it.
    pub(super) fn parse(text: &str) -> Result<Self, Unusable> {
        let (name, rest) = text.split_once('$').ok_or(Unusable::Unknown)?;
        match name {
            "" => Self::parse_crypt(text),
            "argon2" => Argon2Hash::parse(&text[name.len()..]).map(Self::DjangoArgon2),
            "bcrypt" => BcryptHash::parse(rest).map(Self::Bcrypt),
            "bcrypt_sha256" => BcryptHash::parse_of_sha256(rest).map(Self::Bcrypt),
            "pbkdf2_sha256" => Pbkdf2Hash::parse(rest).map(Self::Pbkdf2),
            "scrypt" => ScryptHash::parse_django(rest).map(Self::Scrypt),
            _ => Err(Unusable::Unknown),
        }
    }

    fn parse_crypt(text: &str) -> Result<Self, Unusable> {
        match text.split('$').nth(1) {
            Some("argon2d" | "argon2i" | "argon2id") => Argon2Hash::parse(text).map(Self::Argon2),
            Some("2a" | "2b" | "2y") => BcryptHash::parse(text).map(Self::Bcrypt),
            Some("scrypt") => ScryptHash::parse_phc(text).map(Self::Scrypt),
            _ => Err(Unusable::Unknown),
        }
    }

    /// Whether it is to be replaced by one of today's. What may be ours and costs more than that is not: somebody lowered
    /// the settings, which makes no hash weaker.
    pub(super) fn is_outdated(&self, today: &Params) -> bool {
        match self {
            Self::Argon2(hash) => hash.is_weaker_than(today),
            Self::DjangoArgon2(_) | Self::Bcrypt(_) | Self::Pbkdf2(_) | Self::Scrypt(_) => true,
        }
    }

    /// Whether it is the hash of these bytes.
    pub(super) fn matches(&self, password: &[u8], workspace: &mut Workspace) -> Result<bool, PasswordError> {
        match self {
            Self::Argon2(hash) | Self::DjangoArgon2(hash) => hash.matches(password, workspace),
            Self::Bcrypt(hash) => Ok(hash.matches(password)),
            Self::Pbkdf2(hash) => Ok(hash.matches(password)),
            Self::Scrypt(hash) => Ok(hash.matches(password, workspace)),
        }
    }
}

#[cfg(test)]
mod tests;
