//! The public key of a credential: a COSE_Key (RFC 9052, section 7; WebAuthn Level 3, section 5.8.5) of an algorithm that is offered.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};

use super::cbor::CborMap;
use super::error::PasskeyError;

/// Labels of a COSE_Key (RFC 9052, section 7.1; RFC 9053, section 7; RFC 8230, section 4).
const KEY_TYPE: i64 = 1;
const ALGORITHM: i64 = 3;
const CURVE: i64 = -1;
const X: i64 = -2;
const Y: i64 = -3;
const MODULUS: i64 = -1;
const EXPONENT: i64 = -2;

/// Values of `KEY_TYPE` and `CURVE`.
const OCTET_KEY_PAIR: i64 = 1;
const TWO_COORDINATES: i64 = 2;
const RSA: i64 = 3;
const P256: i64 = 1;
const ED25519_CURVE: i64 = 6;

/// 2,048 to 4,096 bits: a longer key takes long to verify with.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=512;
/// 65,537, which every authenticator with RSA has.
const USUAL_EXPONENT: [u8; 3] = [1, 0, 1];

/// A signature algorithm (the registry "COSE Algorithms").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasskeyAlgorithm {
    /// Ed25519.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, which TPMs of older machines have alone.
    Rs256,
}

impl PasskeyAlgorithm {
    /// The algorithms that are offered, the preferred one first.
    pub const OFFERED: [Self; 3] = [Self::EdDsa, Self::Es256, Self::Rs256];

    /// Its identifier.
    pub fn identifier(self) -> i32 {
        match self {
            Self::EdDsa => -8,
            Self::Es256 => -7,
            Self::Rs256 => -257,
        }
    }

    fn of_identifier(identifier: i64) -> Option<Self> {
        Self::OFFERED.into_iter().find(|algorithm| i64::from(algorithm.identifier()) == identifier)
    }
}

/// The public key of a credential.
#[derive(Debug)]
pub(super) struct PasskeyPublicKey {
    pub(super) algorithm: PasskeyAlgorithm,
    key: KeyMaterial,
}

#[derive(Debug)]
enum KeyMaterial {
    Parsed(ParsedPublicKey),
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
}

impl PasskeyPublicKey {
    /// Parses a COSE_Key, which has exactly the parameters of its type.
    pub(super) fn parse(cose_key: &[u8]) -> Result<Self, PasskeyError> {
        let map = CborMap::read_all(cose_key)?;
        let identifier = map.integer(ALGORITHM).ok_or(PasskeyError::InvalidPublicKey)?;
        let algorithm =
            PasskeyAlgorithm::of_identifier(identifier).ok_or(PasskeyError::AlgorithmNotOffered)?;
        let key = match algorithm {
            PasskeyAlgorithm::EdDsa => ed25519(&map),
            PasskeyAlgorithm::Es256 => p256(&map),
            PasskeyAlgorithm::Rs256 => rsa(&map),
        };
        key.map(|key| Self { algorithm, key }).ok_or(PasskeyError::InvalidPublicKey)
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), PasskeyError> {
        let verified = match &self.key {
            KeyMaterial::Parsed(key) => key.verify_sig(message, signature),
            KeyMaterial::Rsa { modulus, exponent } => RsaPublicKeyComponents { n: modulus, e: exponent }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
        };
        verified.map_err(|_| PasskeyError::WrongSignature)
    }
}

fn ed25519(map: &CborMap) -> Option<KeyMaterial> {
    let is_type = map.len() == 4
        && map.integer(KEY_TYPE) == Some(OCTET_KEY_PAIR)
        && map.integer(CURVE) == Some(ED25519_CURVE);
    let x = map.bytes(X).filter(|x| is_type && x.len() == 32)?;
    ParsedPublicKey::new(&ED25519, x).ok().map(KeyMaterial::Parsed)
}

/// Uncompressed: both coordinates are given.
fn p256(map: &CborMap) -> Option<KeyMaterial> {
    let is_type =
        map.len() == 5 && map.integer(KEY_TYPE) == Some(TWO_COORDINATES) && map.integer(CURVE) == Some(P256);
    let x = map.bytes(X).filter(|x| is_type && x.len() == 32)?;
    let y = map.bytes(Y).filter(|y| y.len() == 32)?;
    let point = [&[4], x, y].concat();
    ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).ok().map(KeyMaterial::Parsed)
}

fn rsa(map: &CborMap) -> Option<KeyMaterial> {
    let is_type = map.len() == 4 && map.integer(KEY_TYPE) == Some(RSA);
    let is_modulus = |modulus: &&[u8]| {
        is_type
            && MODULUS_BYTES.contains(&modulus.len())
            && modulus.first().is_some_and(|first| first & 0x80 != 0)
            && modulus.last().is_some_and(|last| last % 2 == 1)
    };
    let modulus = map.bytes(MODULUS).filter(is_modulus)?.to_vec();
    let exponent = map.bytes(EXPONENT).filter(|exponent| *exponent == USUAL_EXPONENT)?.to_vec();
    Some(KeyMaterial::Rsa { modulus, exponent })
}
