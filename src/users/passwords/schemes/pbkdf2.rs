//! PBKDF2 hashes (RFC 8018) of Django, Werkzeug, passlib, Spring Security, ASP.NET Core Identity, and as PHC strings.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;

use super::{Unusable, decode_base64};

/// Maximum number of SHA-1 or SHA-256 steps: ten times Django's of 2026, at most four seconds.
const MAX_WORK: u64 = 12_000_000;

/// Bounds for the length of a digest, in bytes.
const MIN_DIGEST: usize = 16;
const MAX_DIGEST: usize = 64;

const MALFORMED: Unusable = Unusable::Malformed("PBKDF2");

/// The hash function of HMAC.
#[derive(Clone, Copy)]
pub(super) enum Digest {
    Sha1,
    Sha256,
    Sha512,
}

impl Digest {
    fn algorithm(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }

    /// Its output length in bytes.
    fn size(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// Relative cost of an iteration: SHA-512 takes twice as long as the others.
    fn cost(self) -> u64 {
        match self {
            Self::Sha1 | Self::Sha256 => 1,
            Self::Sha512 => 2,
        }
    }
}

pub(in super::super) struct Pbkdf2Hash {
    digest: Digest,
    iterations: NonZeroU32,
    salt: Vec<u8>,
    derived: Vec<u8>,
}

impl Pbkdf2Hash {
    /// Parses Django's `pbkdf2_sha256$1000000$salt$base64`, from the iterations on.
    pub(super) fn parse_django(digest: Digest, text: &str) -> Result<Self, Unusable> {
        let [iterations, salt, derived] = fields(text)?;
        let derived = decode_base64(derived).filter(|derived| derived.len() == digest.size());
        Self::checked(digest, number(iterations)?, salt.into(), derived.ok_or(MALFORMED)?)
    }

    /// Parses Werkzeug's `pbkdf2:sha256:600000$salt$hexadecimal`, from the digest's name on.
    pub(super) fn parse_werkzeug(text: &str) -> Result<Self, Unusable> {
        let [method, salt, derived] = fields(text)?;
        let (digest, iterations) = match method.split_once(':').ok_or(MALFORMED)? {
            ("sha1", iterations) => (Digest::Sha1, iterations),
            ("sha256", iterations) => (Digest::Sha256, iterations),
            ("sha512", iterations) => (Digest::Sha512, iterations),
            _ => return Err(MALFORMED),
        };
        let derived = hex::decode(derived).ok().filter(|derived| derived.len() == digest.size());
        Self::checked(digest, number(iterations)?, salt.into(), derived.ok_or(MALFORMED)?)
    }

    /// Parses passlib's `$pbkdf2-sha256$29000$salt$digest` and the PHC string
    /// `$pbkdf2-sha256$i=29000,l=32$salt$digest`, from the iterations on. Keycloak and Auth0 hashes have the latter
    /// form.
    pub(super) fn parse_crypt(digest: Digest, text: &str) -> Result<Self, Unusable> {
        let [cost, salt, derived] = fields(text)?;
        let [salt, derived] = [salt, derived].map(decode_base64);
        let (salt, derived) = (salt.ok_or(MALFORMED)?, derived.ok_or(MALFORMED)?);
        let iterations = match cost.strip_prefix("i=").map(|cost| cost.split_once(",l=")) {
            None => number(cost)?,
            Some(None) => number(&cost[2..])?,
            Some(Some((iterations, length))) => {
                let length: usize = length.parse().map_err(|_| MALFORMED)?;
                if length != derived.len() {
                    return Err(MALFORMED);
                }
                number(iterations)?
            }
        };
        Self::checked(digest, iterations, salt, derived)
    }

    /// Parses Spring Security's `{pbkdf2}`, after the label: hexadecimal of salt and digest, with the cost of version
    /// 5.5.
    pub(super) fn parse_spring(text: &str) -> Result<Self, Unusable> {
        Self::parse_joined(Digest::Sha1, 185_000, 8, text)
    }

    /// Like [`Self::parse_spring`], with the cost of `{pbkdf2@SpringSecurity_v5_8}`.
    pub(super) fn parse_spring_v5_8(text: &str) -> Result<Self, Unusable> {
        Self::parse_joined(Digest::Sha256, 310_000, 16, text)
    }

    fn parse_joined(digest: Digest, iterations: u32, salt: usize, text: &str) -> Result<Self, Unusable> {
        let bytes = hex::decode(text).ok().filter(|bytes| bytes.len() == salt + 32).ok_or(MALFORMED)?;
        let (salt, derived) = bytes.split_at(salt);
        Self::checked(digest, iterations, salt.to_vec(), derived.to_vec())
    }

    /// Parses ASP.NET Core Identity's version 3, in base64: a byte 1; 32 bits big-endian each for the digest, the
    /// iterations and the salt's length; then salt and digest.
    pub(super) fn parse_identity_v3(text: &str) -> Result<Self, Unusable> {
        let bytes = decode_base64(text).ok_or(MALFORMED)?;
        let rest = bytes.get(1..).ok_or(MALFORMED)?;
        let (digest, rest) = take_number(rest)?;
        let (iterations, rest) = take_number(rest)?;
        let (salt, rest) = take_number(rest)?;
        let digest = match digest {
            0 => Digest::Sha1,
            1 => Digest::Sha256,
            2 => Digest::Sha512,
            _ => return Err(MALFORMED),
        };
        let salt = usize::try_from(salt).map_err(|_| MALFORMED)?;
        let (salt, derived) = rest.split_at_checked(salt).ok_or(MALFORMED)?;
        Self::checked(digest, iterations, salt.to_vec(), derived.to_vec())
    }

    /// Parses ASP.NET Identity's version 2, in base64: a byte 0, 16 bytes of salt and 32 of digest, with a fixed
    /// cost.
    pub(super) fn parse_identity_v2(text: &str) -> Result<Self, Unusable> {
        // Not `MALFORMED`: the prefix is only an `A`, which other text may begin with.
        let bytes = decode_base64(text).filter(|bytes| bytes.len() == 49).ok_or(Unusable::Unknown)?;
        match bytes.split_first() {
            Some((0, rest)) => {
                let (salt, derived) = rest.split_at(16);
                Self::checked(Digest::Sha1, 1_000, salt.to_vec(), derived.to_vec())
            }
            _ => Err(Unusable::Unknown),
        }
    }

    fn checked(digest: Digest, iterations: u32, salt: Vec<u8>, derived: Vec<u8>) -> Result<Self, Unusable> {
        let iterations = NonZeroU32::new(iterations).ok_or(MALFORMED)?;
        if !(MIN_DIGEST..=MAX_DIGEST).contains(&derived.len()) {
            return Err(MALFORMED);
        }
        let steps = derived.len().div_ceil(digest.size()) as u64 * digest.cost();
        if u64::from(iterations.get()) * steps > MAX_WORK {
            return Err(Unusable::TooCostly(format!("{} iterations", MAX_WORK / steps)));
        }
        Ok(Self { digest, iterations, salt, derived })
    }

    pub(super) fn matches(&self, password: &[u8]) -> bool {
        let Self { digest, iterations, salt, derived } = self;
        pbkdf2::verify(digest.algorithm(), *iterations, salt, password, derived).is_ok()
    }
}

fn fields<const N: usize>(text: &str) -> Result<[&str; N], Unusable> {
    let fields: Vec<&str> = text.split('$').collect();
    fields.try_into().map_err(|_| MALFORMED)
}

fn number(text: &str) -> Result<u32, Unusable> {
    text.parse().map_err(|_| MALFORMED)
}

fn take_number(bytes: &[u8]) -> Result<(u32, &[u8]), Unusable> {
    let (number, rest) = bytes.split_first_chunk().ok_or(MALFORMED)?;
    Ok((u32::from_be_bytes(*number), rest))
}
