//! What all credentials of a login are made of.

use std::fmt;

use zeroize::Zeroizing;

use crate::crypto::random_bytes;

/// 256 random bits of a login. Only its holder has them: the database knows a hash, made by the mode.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginSecret(Zeroizing<[u8; Self::BYTES]>);

impl LoginSecret {
    /// Its length.
    pub const BYTES: usize = 32;

    /// For a login that is about to begin.
    pub fn generate() -> Self {
        Self::from(random_bytes())
    }

    /// To be hashed, or written into a credential.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl From<[u8; Self::BYTES]> for LoginSecret {
    fn from(bytes: [u8; Self::BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for LoginSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginSecret([redacted])")
    }
}
