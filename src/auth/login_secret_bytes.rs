//! The random bytes of a login's secret, from which its credentials are made.

use std::fmt;

use zeroize::Zeroizing;

use crate::crypto::random_bytes;

/// 256 random bits. Only the client has them: the database stores a hash, which the mode computes.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginSecretBytes(Zeroizing<[u8; Self::BYTES]>);

impl LoginSecretBytes {
    /// Its length in bytes.
    pub const BYTES: usize = 32;

    /// A new secret, for a new login.
    pub fn generate() -> Self {
        Self::from(random_bytes())
    }

    /// The bytes, for hashing or for a credential.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl From<[u8; Self::BYTES]> for LoginSecretBytes {
    fn from(bytes: [u8; Self::BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for LoginSecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginSecretBytes([redacted])")
    }
}
