//! scrypt (RFC 7914): `$scrypt$ln=16,r=8,p=1$salt$digest` in PHC strings, `scrypt$16384$salt$8$5$digest` in Django.

use argon2::password_hash::phc::PasswordHash;
use base64::{Engine, engine::general_purpose::STANDARD};
use scrypt::Params;
use zeroize::Zeroizing;

use crate::tokens;

use super::super::workspace::Workspace;
use super::{MAX_MEMORY_KIB, Unusable};

/// The most that N·r·p may be: eight times OWASP's recommendation, four seconds or less.
const MAX_WORK: u64 = 1 << 23;

const MALFORMED: Unusable = Unusable::Malformed("scrypt");

pub(in super::super) struct ScryptHash {
    params: Params,
    /// What it takes, in bytes.
    memory: usize,
    salt: Vec<u8>,
    digest: Vec<u8>,
}

impl ScryptHash {
    pub(super) fn parse_phc(text: &str) -> Result<Self, Unusable> {
        let hash = PasswordHash::new(text).map_err(|_| MALFORMED)?;
        let (Some(salt), Some(digest)) = (hash.salt, hash.hash) else { return Err(MALFORMED) };
        let get = |name: &str| hash.params.get_decimal(name).ok_or(MALFORMED);
        let (log_n, r, p) = (get("ln")?, get("r")?, get("p")?);
        if hash.params.iter().count() != 3 || hash.version.is_some() {
            return Err(MALFORMED);
        }
        Self::checked(log_n, r, p, salt.to_vec(), digest.as_bytes().to_vec())
    }

    /// What follows the name.
    pub(super) fn parse_django(text: &str) -> Result<Self, Unusable> {
        let fields: Vec<&str> = text.split('$').collect();
        let [n, salt, r, p, digest] = fields[..] else { return Err(MALFORMED) };
        let number = |text: &str| text.parse::<u32>().map_err(|_| MALFORMED);
        let n = number(n)?;
        let digest = STANDARD.decode(digest).map_err(|_| MALFORMED)?;
        if !n.is_power_of_two() || digest.len() != 64 {
            return Err(MALFORMED);
        }
        Self::checked(n.ilog2(), number(r)?, number(p)?, salt.as_bytes().to_vec(), digest)
    }

    fn checked(log_n: u32, r: u32, p: u32, salt: Vec<u8>, digest: Vec<u8>) -> Result<Self, Unusable> {
        if [log_n, r, p].contains(&0) {
            return Err(MALFORMED);
        }
        let n = 1_u64.checked_shl(log_n).unwrap_or(u64::MAX);
        let of = |factors: [u64; 3]| factors.into_iter().fold(1, u64::saturating_mul);
        let [r_wide, p_wide] = [r, p].map(u64::from);
        // Scratch space for N blocks, and the p blocks that are mixed.
        let memory = of([n.saturating_add(p_wide), r_wide, 128]);
        if memory > MAX_MEMORY_KIB * 1024 || of([n, r_wide, p_wide]) > MAX_WORK {
            let limit = format!("{MAX_MEMORY_KIB} KiB, and N·r·p of {MAX_WORK}");
            return Err(Unusable::TooCostly(limit));
        }
        let log_n = u8::try_from(log_n).map_err(|_| MALFORMED)?;
        let params = Params::new(log_n, r, p).map_err(|_| MALFORMED)?;
        Ok(Self { params, memory: usize::try_from(memory).map_err(|_| MALFORMED)?, salt, digest })
    }

    pub(super) fn matches(&self, password: &[u8], workspace: &Workspace) -> bool {
        let mut digest = Zeroizing::new(vec![0; self.digest.len()]);
        let derive = || scrypt::scrypt(password, &self.salt, &self.params, &mut digest);
        let derived = workspace.with_room_for(self.memory, derive);
        derived.is_ok() && tokens::equal(&digest, &self.digest)
    }
}
