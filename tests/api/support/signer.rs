//! Keys as `JWT_KEY_FILE` has them, in the hands of a test: it signs with them whatever it likes.

use std::{path::PathBuf, sync::OnceLock};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    hmac,
    rand::SystemRandom,
    rsa::{self, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RsaEncoding,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dualauth::{
    config::JwtAlgorithm,
    crypto::{random_bytes, sha256},
};
use jsonwebtoken::{
    Algorithm, EncodingKey,
    jwk::{Jwk, ThumbprintHash},
};
use pem::Pem;
use serde_json::Value;

/// What a key is to the server.
#[derive(Clone, Copy)]
pub enum Role {
    Active,
    Next,
    Superseded,
    /// Nothing.
    Strange,
}

/// A key, made once for all tests: one for RSA takes a while.
pub fn key(algorithm: JwtAlgorithm, role: Role) -> &'static Signer {
    static KEYS: [[OnceLock<Signer>; 4]; 4] = [const { [const { OnceLock::new() }; 4] }; 4];
    KEYS[algorithm as usize][role as usize].get_or_init(|| Signer::new(algorithm))
}

/// A key with its private half.
pub struct Signer {
    pub algorithm: JwtAlgorithm,
    /// As `JWT_KEY_FILE` has it.
    pub file: String,
    pair: KeyPair,
}

enum KeyPair {
    Hs256,
    EdDsa(Ed25519KeyPair),
    Es256(EcdsaKeyPair),
    Rs256(rsa::KeyPair),
}

fn to_pem(der: &[u8]) -> String {
    pem::encode(&Pem::new("PRIVATE KEY", der))
}

impl Signer {
    fn new(algorithm: JwtAlgorithm) -> Self {
        let (file, pair) = match algorithm {
            JwtAlgorithm::Hs256 => (URL_SAFE_NO_PAD.encode(random_bytes::<32>()), KeyPair::Hs256),
            JwtAlgorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate().expect("a pair");
                (to_pem(pair.to_pkcs8v1().expect("PKCS #8").as_ref()), KeyPair::EdDsa(pair))
            }
            JwtAlgorithm::Es256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a pair");
                (to_pem(pair.to_pkcs8v1().expect("PKCS #8").as_ref()), KeyPair::Es256(pair))
            }
            JwtAlgorithm::Rs256 => {
                let pair = rsa::KeyPair::generate(KeySize::Rsa2048).expect("a pair");
                let der: Pkcs8V1Der<'_> = pair.as_der().expect("PKCS #8");
                (to_pem(der.as_ref()), KeyPair::Rs256(pair))
            }
        };
        Self { algorithm, file, pair }
    }

    pub fn signature(&self, message: &[u8]) -> Vec<u8> {
        match &self.pair {
            KeyPair::Hs256 => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, self.file.as_bytes());
                hmac::sign(&key, message).as_ref().to_vec()
            }
            KeyPair::EdDsa(pair) => pair.sign(message).as_ref().to_vec(),
            KeyPair::Es256(pair) => {
                pair.sign(&SystemRandom::new(), message).expect("a signature").as_ref().to_vec()
            }
            KeyPair::Rs256(_) => self.rsa_signature(&RSA_PKCS1_SHA256, message).expect("an RSA key"),
        }
    }

    /// `None` unless it is an RSA key.
    pub fn rsa_signature(&self, padding: &'static dyn RsaEncoding, message: &[u8]) -> Option<Vec<u8>> {
        let KeyPair::Rs256(pair) = &self.pair else { return None };
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(padding, &SystemRandom::new(), message, &mut signature).expect("a signature");
        Some(signature)
    }

    /// `None`: HS256 has no public half.
    pub fn jwk(&self) -> Option<Jwk> {
        let pem = self.file.as_bytes();
        let (key, algorithm) = match self.algorithm {
            JwtAlgorithm::Hs256 => return None,
            JwtAlgorithm::EdDsa => (EncodingKey::from_ed_pem(pem), Algorithm::EdDSA),
            JwtAlgorithm::Es256 => (EncodingKey::from_ec_pem(pem), Algorithm::ES256),
            JwtAlgorithm::Rs256 => (EncodingKey::from_rsa_pem(pem), Algorithm::RS256),
        };
        Some(Jwk::from_encoding_key(&key.expect("a key"), algorithm).expect("a JWK"))
    }

    pub fn kid(&self) -> String {
        match self.jwk() {
            Some(jwk) => jwk.thumbprint(ThumbprintHash::SHA256).expect("a thumbprint"),
            None => symmetric_kid(self.file.as_bytes()),
        }
    }

    /// The public half in DER: as SubjectPublicKeyInfo (RFC 5280), and as its algorithm alone has it.
    pub fn public_der(&self) -> Option<[Vec<u8>; 2]> {
        let spki = |key: &dyn AsDer<PublicKeyX509Der<'static>>| {
            key.as_der().expect("SubjectPublicKeyInfo").as_ref().to_vec()
        };
        Some(match &self.pair {
            KeyPair::Hs256 => return None,
            KeyPair::EdDsa(pair) => [spki(pair.public_key()), pair.public_key().as_ref().to_vec()],
            KeyPair::Es256(pair) => [spki(pair.public_key()), pair.public_key().as_ref().to_vec()],
            KeyPair::Rs256(pair) => [spki(pair.public_key()), pair.public_key().as_ref().to_vec()],
        })
    }

    /// A token with a good signature by this key.
    pub fn token(&self, header: &impl ToString, claims: &impl ToString) -> String {
        self.sign(&message(header, claims))
    }

    pub fn sign(&self, message: &str) -> String {
        signed(message, &self.signature(message.as_bytes()))
    }
}

/// A file that goes when it goes.
pub struct KeyFile(PathBuf);

impl KeyFile {
    pub fn of(keys: &[&str]) -> Self {
        let path = std::env::temp_dir().join(format!("dualauth-{}.pem", uuid::Uuid::new_v4()));
        std::fs::write(&path, keys.concat()).expect("a file");
        Self(path)
    }

    pub fn setting(&self) -> (&str, &str) {
        ("JWT_KEY_FILE", self.0.to_str().expect("a path that is text"))
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        // A test that fails has more to say than that something is left over.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// How dualauth names an HS256 key.
pub fn symmetric_kid(secret: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(sha256(&[b"dualauth kid v1:", secret].concat()))
}

/// The two parts of a token that are signed.
pub fn message(header: &impl ToString, claims: &impl ToString) -> String {
    let [header, claims] = [header.to_string(), claims.to_string()].map(|it| URL_SAFE_NO_PAD.encode(it));
    format!("{header}.{claims}")
}

pub fn signed(message: &str, signature: &[u8]) -> String {
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A part of a token, read.
pub fn part(token: &str, number: usize) -> Value {
    let part = token.split('.').nth(number).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}
