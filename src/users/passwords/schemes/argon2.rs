//! argon2 hashes (RFC 9106) as PHC strings: `$argon2id$v=19$m=19456,t=2,p=1$salt$digest`. The format of our own
//! hashes.

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use zeroize::Zeroizing;

use crate::config::PasswordConfig;
use crate::crypto;

use super::super::PasswordError;
use super::super::workspace::Workspace;
use super::Unusable;

/// Length of a new salt in bytes (RFC 9106, section 3.1).
const SALT: usize = 16;
const DIGEST: usize = 32;

const MALFORMED: Unusable = Unusable::Malformed("argon2");

/// A hash of any of the three variants.
pub(in super::super) struct Argon2Hash {
    algorithm: Algorithm,
    version: Version,
    params: Params,
    salt: Salt,
    digest: Output,
}

impl Argon2Hash {
    /// Hashes a password at this cost. Returns a PHC string.
    pub(in super::super) fn make(
        password: &str,
        params: &Params,
        workspace: &mut Workspace,
    ) -> Result<String, PasswordError> {
        let salt = crypto::random_bytes::<SALT>();
        let mut digest = Zeroizing::new([0; DIGEST]);
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        workspace.argon2(&argon2, password.as_bytes(), &salt, digest.as_mut_slice())?;
        let [salt, digest] = [salt.as_slice(), digest.as_slice()].map(|bytes| STANDARD_NO_PAD.encode(bytes));
        Ok(format!("$argon2id$v=19${params}${salt}${digest}"))
    }

    pub(super) fn parse(text: &str) -> Result<Self, Unusable> {
        let hash = PasswordHash::new(text).map_err(|_| MALFORMED)?;
        let (Some(salt), Some(digest)) = (hash.salt, hash.hash) else { return Err(MALFORMED) };
        Ok(Self {
            algorithm: Algorithm::new(hash.algorithm).map_err(|_| MALFORMED)?,
            // The first version, whose strings have no version field.
            version: hash.version.map_or(Ok(Version::V0x10), Version::try_from).map_err(|_| MALFORMED)?,
            params: cost(&hash.params)?,
            salt,
            digest,
        })
    }

    /// Ignores parallelism, which makes a hash neither stronger nor weaker here: one thread computes all lanes.
    pub(super) fn is_weaker_than(&self, today: &Params) -> bool {
        let is_ours = self.algorithm == Algorithm::Argon2id && self.version == Version::V0x13;
        !is_ours
            || self.params.m_cost() < today.m_cost()
            || self.params.t_cost() < today.t_cost()
            || self.salt.len() < SALT
            || self.digest.len() < DIGEST
    }

    pub(super) fn matches(&self, password: &[u8], workspace: &mut Workspace) -> Result<bool, PasswordError> {
        let argon2 = Argon2::new(self.algorithm, self.version, self.params.clone());
        let mut digest = Zeroizing::new(vec![0; self.digest.len()]);
        workspace.argon2(&argon2, password, &self.salt, &mut digest)?;
        Ok(crypto::equal(&digest, self.digest.as_bytes()))
    }
}

/// Parses exactly `m`, `t` and `p`. A hash with a key or associated data can't be verified by the password alone.
fn cost(params: &ParamsString) -> Result<Params, Unusable> {
    let get = |name: &str| params.get_decimal(name).ok_or(MALFORMED);
    let (memory, iterations, parallelism) = (get("m")?, get("t")?, get("p")?);
    if params.iter().count() != 3 {
        return Err(MALFORMED);
    }
    PasswordConfig::check_argon2(memory, iterations).map_err(Unusable::TooCostly)?;
    Params::new(memory, iterations, parallelism, None).map_err(|_| MALFORMED)
}
