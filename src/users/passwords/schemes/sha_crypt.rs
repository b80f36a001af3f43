//! SHA-crypt hashes of crypt(3): `$5$rounds=5000$salt$digest` with SHA-256, `$6$…` with SHA-512; 5,000 rounds by
//! default.

use sha_crypt::{PasswordHashRef, PasswordVerifier, ShaCrypt};

use super::Unusable;

/// Maximum number of rounds: twice that of passlib, at most four seconds unless the password has hundreds of
/// characters.
const MAX_ROUNDS: u32 = 1_000_000;

/// Minimum number of rounds of crypt(3).
const MIN_ROUNDS: u32 = 1_000;

const MALFORMED: Unusable = Unusable::Malformed("SHA-crypt");

pub(in super::super) struct ShaCryptHash {
    /// Well-formed, within bounds.
    text: String,
}

impl ShaCryptHash {
    pub(super) fn parse(text: &str) -> Result<Self, Unusable> {
        let fields: Vec<&str> = text.split('$').collect();
        let (name, rounds, digest) = match fields[..] {
            ["", name, _salt, digest] => (name, None, digest),
            ["", name, rounds, _salt, digest] => (name, Some(rounds), digest),
            _ => return Err(MALFORMED),
        };
        if let Some(rounds) = rounds {
            check_rounds(rounds)?;
        }
        let length = if name == "5" { 43 } else { 86 };
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"./".contains(&byte);
        if digest.len() != length || !digest.bytes().all(is_letter) || PasswordHashRef::new(text).is_err() {
            return Err(MALFORMED);
        }
        Ok(Self { text: text.to_owned() })
    }

    pub(super) fn matches(&self, password: &[u8]) -> bool {
        ShaCrypt::default().verify_password(password, self.text.as_str()).is_ok()
    }
}

fn check_rounds(text: &str) -> Result<(), Unusable> {
    let rounds = text.strip_prefix("rounds=").and_then(|rounds| rounds.parse().ok());
    match rounds.ok_or(MALFORMED)? {
        MIN_ROUNDS..=MAX_ROUNDS => Ok(()),
        0..MIN_ROUNDS => Err(MALFORMED),
        _ => Err(Unusable::TooCostly(format!("{MAX_ROUNDS} rounds"))),
    }
}
