//! PBKDF2 with HMAC-SHA-256 (RFC 8018), as Django writes it: `pbkdf2_sha256$1000000$salt$digest`.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use base64::{Engine, engine::general_purpose::STANDARD};

use super::Unusable;

/// Ten times what Django takes in 2026: four seconds or less.
const MAX_ITERATIONS: u32 = 12_000_000;

/// Of a digest, in bytes.
const DIGEST: usize = 32;

const MALFORMED: Unusable = Unusable::Malformed("pbkdf2_sha256");

pub(in super::super) struct Pbkdf2Hash {
    iterations: NonZeroU32,
    salt: String,
    digest: Vec<u8>,
}

impl Pbkdf2Hash {
    /// What follows the name.
    pub(super) fn parse(text: &str) -> Result<Self, Unusable> {
        let fields: Vec<&str> = text.split('$').collect();
        let [iterations, salt, digest] = fields[..] else { return Err(MALFORMED) };
        let iterations: NonZeroU32 = iterations.parse().map_err(|_| MALFORMED)?;
        let digest = STANDARD.decode(digest).map_err(|_| MALFORMED)?;
        if digest.len() != DIGEST {
            return Err(MALFORMED);
        }
        if iterations.get() > MAX_ITERATIONS {
            return Err(Unusable::TooCostly(format!("{MAX_ITERATIONS} iterations")));
        }
        Ok(Self { iterations, salt: salt.to_owned(), digest })
    }

    pub(super) fn matches(&self, password: &[u8]) -> bool {
        let Self { iterations, salt, digest } = self;
        pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA256, *iterations, salt.as_bytes(), password, digest).is_ok()
    }
}
