//! scrypt hashes (RFC 7914): as PHC strings, and of Django, Werkzeug and Spring Security.

use argon2::password_hash::phc::PasswordHash;
use base64::{Engine, engine::general_purpose::STANDARD};
use scrypt::Params;
use zeroize::Zeroizing;

use crate::crypto;

use super::super::workspace::Workspace;
use super::{MAX_MEMORY_KIB, Unusable};

/// Maximum of N·r·p: eight times OWASP's recommendation, at most four seconds.
const MAX_WORK: u64 = 1 << 23;

const MALFORMED: Unusable = Unusable::Malformed("scrypt");

pub(in super::super) struct ScryptHash {
    cost: ScryptCost,
    salt: Vec<u8>,
    digest: Vec<u8>,
}

impl ScryptHash {
    /// Parses `$scrypt$ln=16,r=8,p=1$salt$digest`.
    pub(super) fn parse_phc(text: &str) -> Result<Self, Unusable> {
        let hash = PasswordHash::new(text).map_err(|_| MALFORMED)?;
        let (Some(salt), Some(digest)) = (hash.salt, hash.hash) else { return Err(MALFORMED) };
        let get = |name: &str| hash.params.get_decimal(name).ok_or(MALFORMED);
        let (log_n, r, p) = (get("ln")?, get("r")?, get("p")?);
        if hash.params.iter().count() != 3 || hash.version.is_some() {
            return Err(MALFORMED);
        }
        let cost = ScryptCost::checked(log_n, r, p, MALFORMED)?;
        Ok(Self { cost, salt: salt.to_vec(), digest: digest.as_bytes().to_vec() })
    }

    /// Parses Django's `scrypt$16384$salt$8$5$base64`, after the prefix.
    pub(super) fn parse_django(text: &str) -> Result<Self, Unusable> {
        let fields: Vec<&str> = text.split('$').collect();
        let [n, salt, r, p, digest] = fields[..] else { return Err(MALFORMED) };
        Self::of_64_bytes([n, r, p], salt, STANDARD.decode(digest).map_err(|_| MALFORMED)?)
    }

    /// Parses Werkzeug's `scrypt:32768:8:1$salt$hexadecimal`, after the prefix.
    pub(super) fn parse_werkzeug(text: &str) -> Result<Self, Unusable> {
        let fields: Vec<&str> = text.split(['$', ':']).collect();
        let [n, r, p, salt, digest] = fields[..] else { return Err(MALFORMED) };
        Self::of_64_bytes([n, r, p], salt, hex::decode(digest).map_err(|_| MALFORMED)?)
    }

    fn of_64_bytes(cost: [&str; 3], salt: &str, digest: Vec<u8>) -> Result<Self, Unusable> {
        let number = |text: &str| text.parse::<u32>().map_err(|_| MALFORMED);
        let [n, r, p] = cost.map(number);
        let n = n?;
        if !n.is_power_of_two() || digest.len() != 64 {
            return Err(MALFORMED);
        }
        let cost = ScryptCost::checked(n.ilog2(), r?, p?, MALFORMED)?;
        Ok(Self { cost, salt: salt.into(), digest })
    }

    /// Parses Spring Security's `$e0801$salt$digest`: the binary logarithm of N in 16 bits, r and p in 8 bits each;
    /// base64.
    pub(super) fn parse_spring(text: &str) -> Result<Self, Unusable> {
        let fields: Vec<&str> = text.split('$').collect();
        let ["", cost, salt, digest] = fields[..] else { return Err(MALFORMED) };
        let cost = u32::from_str_radix(cost, 16).map_err(|_| MALFORMED)?;
        let [salt, digest] = [salt, digest].map(|text| STANDARD.decode(text));
        let (salt, digest) = (salt.map_err(|_| MALFORMED)?, digest.map_err(|_| MALFORMED)?);
        if digest.len() < 16 {
            return Err(MALFORMED);
        }
        let cost = ScryptCost::checked(cost >> 16, cost >> 8 & 0xff, cost & 0xff, MALFORMED)?;
        Ok(Self { cost, salt, digest })
    }

    pub(super) fn matches(&self, password: &[u8], workspace: &Workspace) -> bool {
        let mut digest = Zeroizing::new(vec![0; self.digest.len()]);
        self.cost.derive(password, &self.salt, &mut digest, workspace) && crypto::equal(&digest, &self.digest)
    }
}

/// Valid scrypt parameters within the limits.
pub(super) struct ScryptCost {
    params: Params,
    /// In bytes.
    memory: usize,
}

impl ScryptCost {
    /// Checks the parameters. `malformed` is the error for invalid ones.
    pub(super) fn checked(log_n: u32, r: u32, p: u32, malformed: Unusable) -> Result<Self, Unusable> {
        if [log_n, r, p].contains(&0) {
            return Err(malformed);
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
        let params = u8::try_from(log_n).ok().and_then(|log_n| Params::new(log_n, r, p).ok());
        match (params, usize::try_from(memory)) {
            (Some(params), Ok(memory)) => Ok(Self { params, memory }),
            _ => Err(malformed),
        }
    }

    /// Derives a key into `key`. Returns whether it succeeded.
    pub(super) fn derive(&self, password: &[u8], salt: &[u8], key: &mut [u8], workspace: &Workspace) -> bool {
        workspace.with_room_for(self.memory, || scrypt::scrypt(password, salt, &self.params, key)).is_ok()
    }
}
