//! Settings of access tokens and signing keys.

use std::path::PathBuf;
use std::time::Duration;

use crate::crypto::SecretBytes;

/// The content of the key file.
#[derive(Clone, Debug)]
pub struct KeyFile {
    /// Its path.
    pub path: PathBuf,
    /// Its content.
    pub bytes: SecretBytes,
}

/// Settings of access tokens and signing keys.
#[derive(Clone, Debug)]
pub struct JwtConfig {
    /// `JWT_ISSUER`; by default the public URL.
    pub issuer: Option<String>,
    /// `JWT_AUDIENCE`, a list; by default the public URL.
    pub audience: Vec<String>,
    /// `JWT_CLIENT_ID`.
    pub client_id: String,
    /// `JWT_ALGORITHM`.
    pub algorithm: JwtAlgorithm,
    /// `JWT_KEY_FILE`; without it, keys are generated and stored in the database.
    pub key_file: Option<KeyFile>,
    /// `KEY_ROTATION`: how long a key signs; `None`: until an operator rotates.
    pub rotation: Option<Duration>,
}

/// The signature algorithm of access tokens (RFC 7518, section 3.1; RFC 8037, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the standard's own name")]
pub enum JwtAlgorithm {
    Hs256,
    EdDsa,
    Es256,
    Rs256,
}

impl JwtAlgorithm {
    /// All algorithms.
    pub const ALL: [Self; 4] = [Self::Hs256, Self::EdDsa, Self::Es256, Self::Rs256];

    /// Its name in the standard.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    /// The algorithm with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}
