//! A signing key: generation, parsing, `kid`, signing and verification.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use pem::Pem;

use crate::config::JwtAlgorithm;
use crate::crypto::{SecretBytes, random_bytes, sha256};
use crate::error::Problem;

use crate::jwt::claims::{Claims, Header, TYPE, decode, encode};

/// The minimum size of an HS256 key in bytes (RFC 7518, section 3.2).
const MIN_SYMMETRIC_BYTES: usize = 32;

/// The message that a key signs and verifies before it is used.
const SELF_TEST_MESSAGE: &[u8] = b"dualauth";

/// Why a key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key is malformed, or for another algorithm.
    #[error("{0}")]
    Unreadable(String),
    /// The crypto library could not generate or encrypt a key.
    #[error("the system's random number generator failed")]
    NotMade(#[from] Unspecified),
}

impl From<jsonwebtoken::errors::Error> for KeyError {
    fn from(error: jsonwebtoken::errors::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// A key that verifies access tokens, and signs them if the private key is known.
pub(in crate::jwt) struct JwtKey {
    pub(super) kid: String,
    pub(super) algorithm: JwtAlgorithm,
    /// The encoded header of every token that the key signs.
    header: String,
    signing: Option<EncodingKey>,
    verifying: DecodingKey,
    /// The public key. `None` for HS256.
    pub(super) public: Option<Jwk>,
}

/// Generates a private key: 32 random bytes for HS256, else PKCS #8 (RFC 5958) in PEM (RFC 7468). RSA keys have 2,048
/// bits.
pub(super) fn generate(algorithm: JwtAlgorithm) -> Result<SecretBytes, KeyError> {
    let random = SystemRandom::new();
    Ok(match algorithm {
        JwtAlgorithm::Hs256 => SecretBytes::new(random_bytes::<MIN_SYMMETRIC_BYTES>().to_vec()),
        JwtAlgorithm::EdDsa => to_pem(Ed25519KeyPair::generate()?.to_pkcs8v1()?.as_ref()),
        JwtAlgorithm::Es256 => {
            to_pem(EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)?.as_ref())
        }
        JwtAlgorithm::Rs256 => {
            let pair = rsa::KeyPair::generate(KeySize::Rsa2048)?;
            let der: Pkcs8V1Der<'_> = pair.as_der()?;
            to_pem(der.as_ref())
        }
    })
}

fn to_pem(der: &[u8]) -> SecretBytes {
    SecretBytes::new(pem::encode(&Pem::new("PRIVATE KEY", der)).into_bytes())
}

impl JwtKey {
    /// Parses a private key, and tests it by signing and verifying.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`].
    pub(super) fn private(algorithm: JwtAlgorithm, secret: &SecretBytes) -> Result<Self, KeyError> {
        match algorithm {
            JwtAlgorithm::Hs256 => Self::symmetric(secret.reveal()),
            _ => {
                Self::asymmetric(algorithm, secret.reveal()).map_err(|error| key_error_for(algorithm, &error))
            }
        }
    }

    fn asymmetric(algorithm: JwtAlgorithm, pem: &[u8]) -> Result<Self, KeyError> {
        let signing = match algorithm {
            JwtAlgorithm::Rs256 => EncodingKey::from_rsa_pem(pem)?,
            JwtAlgorithm::Es256 => EncodingKey::from_ec_pem(pem)?,
            JwtAlgorithm::EdDsa | JwtAlgorithm::Hs256 => EncodingKey::from_ed_pem(pem)?,
        };
        let key = Self::public(algorithm, Jwk::from_encoding_key(&signing, jws_algorithm(algorithm))?)?;
        Self { signing: Some(signing), ..key }.self_tested()
    }

    /// Makes a verification key of a public key.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`].
    pub(super) fn public(algorithm: JwtAlgorithm, mut jwk: Jwk) -> Result<Self, KeyError> {
        let kid = jwk.thumbprint(ThumbprintHash::SHA256)?;
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let verifying = DecodingKey::from_jwk(&jwk)?;
        Self::new(algorithm, kid, None, verifying, Some(jwk))
    }

    fn symmetric(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < MIN_SYMMETRIC_BYTES {
            return Err(KeyError::Unreadable(format!("HS256 needs {MIN_SYMMETRIC_BYTES} bytes or more")));
        }
        // Not the plain thumbprint: a bare hash of a symmetric key must not be published (RFC 7638, section 7).
        let kid = URL_SAFE_NO_PAD.encode(sha256(&[b"dualauth kid v1:", secret].concat()));
        let (signing, verifying) = (EncodingKey::from_secret(secret), DecodingKey::from_secret(secret));
        Self::new(JwtAlgorithm::Hs256, kid, Some(signing), verifying, None)?.self_tested()
    }

    fn new(
        algorithm: JwtAlgorithm,
        kid: String,
        signing: Option<EncodingKey>,
        verifying: DecodingKey,
        public: Option<Jwk>,
    ) -> Result<Self, KeyError> {
        let header = Header { alg: jws_algorithm(algorithm), typ: TYPE.to_owned(), kid: kid.clone() };
        let header = encode(&header).map_err(|error| KeyError::Unreadable(error.to_string()))?;
        Ok(Self { kid, algorithm, header, signing, verifying, public })
    }

    /// Returns the key if it verifies its own signature; otherwise it is too short or for another purpose.
    fn self_tested(self) -> Result<Self, KeyError> {
        let error = || KeyError::Unreadable("it does not sign".to_owned());
        let signature = self.signature(SELF_TEST_MESSAGE).ok_or_else(error)?;
        if self.verifies(SELF_TEST_MESSAGE, &signature) { Ok(self) } else { Err(error()) }
    }

    /// Returns `true` if the private key is known.
    pub(super) fn can_sign(&self) -> bool {
        self.signing.is_some()
    }

    /// Signs claims: a JWT in compact serialisation (RFC 7515, section 7.1).
    ///
    /// # Errors
    /// `internal` if the key can't sign.
    pub(super) fn sign(&self, claims: &Claims) -> Result<String, Problem> {
        let message = format!("{}.{}", self.header, encode(claims)?);
        let signature = self.signature(message.as_bytes());
        let signature = signature.ok_or_else(|| Problem::internal("the signing key does not sign"))?;
        Ok(format!("{message}.{signature}"))
    }

    /// The signature of a message in base64url, as the third part of a token. `None` without a private key.
    pub(super) fn signature(&self, message: &[u8]) -> Option<String> {
        crypto::sign(message, self.signing.as_ref()?, jws_algorithm(self.algorithm)).ok()
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        crypto::verify(signature, message, &self.verifying, jws_algorithm(self.algorithm)).unwrap_or(false)
    }

    /// Returns `true` if an encoded token header names this key. Compares the text first, which avoids decoding JSON; the same
    /// members in another spelling match as well.
    pub(super) fn matches_header(&self, header: &str) -> bool {
        header == self.header
            || decode::<Header>(header).is_some_and(|header| {
                header.alg == jws_algorithm(self.algorithm) && header.typ == TYPE && header.kid == self.kid
            })
    }
}

/// The `kid` in an encoded token header, if it may be a key of this service.
pub(super) fn kid_of_header(header: &str) -> Option<String> {
    let header = decode::<Header>(header)?;
    let names_a_hash = URL_SAFE_NO_PAD.decode(&header.kid).is_ok_and(|hash| hash.len() == 32);
    let is_ours =
        header.typ == TYPE && JwtAlgorithm::ALL.into_iter().any(|it| jws_algorithm(it) == header.alg);
    (names_a_hash && is_ours).then_some(header.kid)
}

/// An error that says which key the algorithm needs: the library's own text says little.
fn key_error_for(algorithm: JwtAlgorithm, error: &KeyError) -> KeyError {
    let kind = match algorithm {
        JwtAlgorithm::Hs256 => "32 bytes or more",
        JwtAlgorithm::EdDsa => "an Ed25519 key",
        JwtAlgorithm::Es256 => "a P-256 key",
        JwtAlgorithm::Rs256 => "an RSA key of 2048 bits or more",
    };
    KeyError::Unreadable(format!("{} needs {kind} ({error})", algorithm.as_str()))
}

fn jws_algorithm(algorithm: JwtAlgorithm) -> Algorithm {
    match algorithm {
        JwtAlgorithm::Hs256 => Algorithm::HS256,
        JwtAlgorithm::EdDsa => Algorithm::EdDSA,
        JwtAlgorithm::Es256 => Algorithm::ES256,
        JwtAlgorithm::Rs256 => Algorithm::RS256,
    }
}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_read_back_and_its_public_half_verifies_what_it_signs() {
        for algorithm in JwtAlgorithm::ALL {
            let secret = generate(algorithm).expect("a new key");
            let key = JwtKey::private(algorithm, &secret).expect("a good key");
            assert_eq!(URL_SAFE_NO_PAD.decode(&key.kid).expect("base64url").len(), 32);
            let signature = key.signature(b"message").expect("a signature");
            let Some(jwk) = key.public.clone() else {
                assert_eq!(algorithm, JwtAlgorithm::Hs256, "no other is without a public half");
                continue;
            };
            let public = JwtKey::public(algorithm, jwk).expect("a good key");
            assert_eq!(public.kid, key.kid);
            assert!(public.verifies(b"message", &signature) && !public.verifies(b"massage", &signature));
            assert!(!public.can_sign() && public.signature(b"message").is_none());
            let json = serde_json::to_string(&public.public).expect("it serialises");
            assert!(!json.contains(r#""d":"#) && !json.contains(r#""p":"#), "a private half in {json}");
        }
    }

    #[test]
    fn a_key_for_another_algorithm_is_not_read() {
        for algorithm in JwtAlgorithm::ALL {
            let secret = generate(algorithm).expect("a new key");
            for other in JwtAlgorithm::ALL.into_iter().filter(|other| *other != algorithm) {
                let is_bytes = other == JwtAlgorithm::Hs256;
                assert_eq!(JwtKey::private(other, &secret).is_ok(), is_bytes, "{algorithm:?} as {other:?}");
            }
        }
        assert!(JwtKey::private(JwtAlgorithm::Hs256, &SecretBytes::new(vec![7; 31])).is_err());
    }

    #[test]
    fn a_kid_is_the_thumbprint_of_the_public_half() {
        // RFC 8037, appendix A.3.
        let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let key =
            JwtKey::public(JwtAlgorithm::EdDsa, serde_json::from_str(jwk).expect("a JWK")).expect("a key");
        assert_eq!(key.kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
