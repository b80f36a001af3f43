//! phpass hashes (repeated MD5): `$P$B` and 30 more characters in WordPress before version 6.8, `$H$…` in phpBB.

use md5::{Digest, Md5};
use zeroize::Zeroizing;

use crate::crypto;

use super::{Unusable, wordpress_trim_and_slashes};

/// The base64 alphabet of phpass.
const LETTERS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Bounds for the binary logarithm of the number of rounds. phpass itself allows 7 to 30; this takes at most four
/// seconds.
const MIN_COST: usize = 7;
const MAX_COST: usize = 20;

const SALT: usize = 8;
const DIGEST: usize = 22;

const MALFORMED: Unusable = Unusable::Malformed("phpass");

pub(in super::super) struct PhpassHash {
    cost: usize,
    salt: [u8; SALT],
    digest: [u8; DIGEST],
    may_be_of_wordpress: bool,
}

impl PhpassHash {
    /// Parses a hash after the prefix.
    pub(super) fn parse(text: &str) -> Result<Self, Unusable> {
        let (cost, rest) = text.as_bytes().split_first().ok_or(MALFORMED)?;
        let (salt, digest) = rest.split_first_chunk().ok_or(MALFORMED)?;
        let digest = digest.try_into().map_err(|_| MALFORMED)?;
        let cost = LETTERS.iter().position(|letter| letter == cost).ok_or(MALFORMED)?;
        match cost {
            MIN_COST..=MAX_COST => Ok(Self { cost, salt: *salt, digest, may_be_of_wordpress: false }),
            0..MIN_COST => Err(MALFORMED),
            _ => Err(Unusable::TooCostly(format!("2^{MAX_COST} rounds"))),
        }
    }

    /// Parses a hash that WordPress or another system with the prefix `$P$` has made.
    pub(super) fn parse_wordpress(text: &str) -> Result<Self, Unusable> {
        Self::parse(text).map(|hash| Self { may_be_of_wordpress: true, ..hash })
    }

    pub(super) fn matches(&self, password: &[u8]) -> bool {
        let is_other = |spelling: &&Zeroizing<Vec<u8>>| spelling.as_slice() != password;
        self.is_of(password)
            || self.may_be_of_wordpress
                && wordpress_trim_and_slashes::encodings(password)
                    .iter()
                    .filter(is_other)
                    .any(|spelling| self.is_of(spelling))
    }

    fn is_of(&self, password: &[u8]) -> bool {
        let mut digest = Md5::new().chain_update(self.salt).chain_update(password).finalize();
        for _ in 0..1_u32 << self.cost {
            digest = Md5::new().chain_update(digest).chain_update(password).finalize();
        }
        crypto::equal(&encode(&digest), &self.digest)
    }
}

/// Encodes base64 in phpass' variant: the first byte's lowest six bits come first.
fn encode(bytes: &[u8]) -> Vec<u8> {
    let letters = |group: &[u8]| {
        let bits = group.iter().rev().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        (0..=group.len()).map(move |place| LETTERS[bits >> (6 * place) & 63])
    };
    bytes.chunks(3).flat_map(letters).collect()
}
