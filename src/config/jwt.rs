//! What access tokens say, and what signs them.

use std::path::PathBuf;
use std::time::Duration;

use crate::crypto::SecretBytes;

/// The key file, as it was read.
#[derive(Clone, Debug)]
pub struct KeyFile {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it.
    pub bytes: SecretBytes,
}

/// What access tokens say, and what signs them.
#[derive(Clone, Debug)]
pub struct JwtConfig {
    /// `JWT_ISSUER`; none: the public URL.
    pub issuer: Option<String>,
    /// `JWT_AUDIENCE`, each of them; none: the public URL.
    pub audience: Vec<String>,
    /// `JWT_CLIENT_ID`.
    pub client_id: String,
    /// `JWT_ALGORITHM`.
    pub algorithm: JwtAlgorithm,
    /// `JWT_KEY_FILE`; none: keys are made, and kept in the database.
    pub key_file: Option<KeyFile>,
    /// `KEY_ROTATION`: how long a key signs; none: until somebody rotates.
    pub rotation: Option<Duration>,
}

/// How access tokens are signed (RFC 7518, section 3.1; RFC 8037, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the standard's own name")]
pub enum JwtAlgorithm {
    Hs256,
    EdDsa,
    Es256,
    Rs256,
}

impl JwtAlgorithm {
    /// Each of them.
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

    /// The one of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}
