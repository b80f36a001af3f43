//! Users in Auth0's formats: its export with password hashes, and the input of its bulk import.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::users::{ForeignUser, NO_PASSWORD};

use super::parsed_row::ParsedRow;

#[derive(Deserialize)]
pub(super) struct Auth0User {
    username: Option<String>,
    email: Option<String>,
    blocked: Option<bool>,
    /// Of an export: bcrypt.
    #[serde(rename = "passwordHash")]
    exported: Option<SecretString>,
    /// Of a bulk import: bcrypt.
    password_hash: Option<SecretString>,
    /// Of a bulk import: the hash of another system.
    custom_password_hash: Option<CustomHash>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CustomHash {
    algorithm: String,
    hash: Encoded,
    salt: Option<Encoded>,
    cost: Option<u32>,
    block_size: Option<u32>,
    parallelization: Option<u32>,
}

#[derive(Deserialize)]
struct Encoded {
    value: SecretString,
    encoding: Option<String>,
}

impl Auth0User {
    pub(super) fn row(self) -> ParsedRow {
        let Self { username, email, blocked, exported, password_hash, custom_password_hash } = self;
        let refused = |why: &str| ParsedRow::refused(username.as_deref(), email.as_deref(), why);
        if blocked == Some(true) {
            return refused("the account is blocked there, and would be active here");
        }
        let hash = match (exported.or(password_hash), custom_password_hash) {
            (Some(hash), _) => Some(hash),
            (None, Some(custom)) => custom.hash(),
            // The user signs in with another identity provider.
            (None, None) => Some(SecretString::from(NO_PASSWORD)),
        };
        let Some(password_hash) = hash else {
            return refused("custom_password_hash has an unsupported algorithm, or is malformed");
        };
        ParsedRow::of(ForeignUser { username, email: email.unwrap_or_default(), password_hash })
    }
}

impl CustomHash {
    /// The hash as a self-contained string (PHC format).
    fn hash(self) -> Option<SecretString> {
        match self.algorithm.as_str() {
            "bcrypt" | "argon2" | "pbkdf2" => Some(self.hash.value),
            "scrypt" => self.scrypt(),
            _ => None,
        }
    }

    fn scrypt(self) -> Option<SecretString> {
        let (hash, salt) = (self.hash.unpadded()?, self.salt?.unpadded()?);
        let n = self.cost.filter(|n| n.is_power_of_two())?;
        let (log_n, r, p) = (n.ilog2(), self.block_size?, self.parallelization?);
        Some(SecretString::from(format!("$scrypt$ln={log_n},r={r},p={p}${salt}${hash}")))
    }
}

impl Encoded {
    /// The value in base64 without padding.
    fn unpadded(&self) -> Option<String> {
        let text = self.value.expose_secret();
        let bytes = match self.encoding.as_deref() {
            Some("hex") => hex::decode(text).ok()?,
            Some("base64") => STANDARD.decode(text).ok()?,
            Some("utf8") => text.into(),
            _ => return None,
        };
        Some(STANDARD_NO_PAD.encode(bytes))
    }
}
