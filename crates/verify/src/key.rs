//! A public key of the JWK set (RFC 7517), and the signatures that it verifies.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::claims::{Header, TYPE, decode};

/// A JWK, as far as it matters here. Of a kind that is not supported, it has other members.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Jwk {
    kid: Option<String>,
    kty: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

/// The signature algorithms (RFC 7518, section 3.1; RFC 8037). HS256 is none of them: who verifies with it can sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    EdDsa,
    Es256,
    Rs256,
}

impl Algorithm {
    const ALL: [Self; 3] = [Self::EdDsa, Self::Es256, Self::Rs256];

    fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    /// The one algorithm of a key: that of its type, which its own `alg` must not contradict.
    fn of(jwk: &Jwk) -> Option<Self> {
        let algorithm = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => Self::EdDsa,
            ("EC", Some("P-256")) => Self::Es256,
            ("RSA", None) => Self::Rs256,
            _ => return None,
        };
        jwk.alg.as_deref().is_none_or(|alg| alg == algorithm.as_str()).then_some(algorithm)
    }
}

/// A key that verifies access tokens.
pub(crate) struct PublicKey {
    kid: String,
    algorithm: Algorithm,
    /// The encoded header of nearly every token that the key signs.
    header: String,
    verifying: ParsedPublicKey,
    jwk: Jwk,
}

impl PublicKey {
    /// The key, if it is of a supported kind and for signatures.
    pub(crate) fn new(jwk: Jwk) -> Option<Self> {
        let algorithm = Algorithm::of(&jwk)?;
        let kid = jwk.kid.clone().filter(|kid| names_a_hash(kid))?;
        if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return None;
        }
        let verifying = verifying(algorithm, &jwk)?;
        let header = format!(r#"{{"alg":"{}","typ":"{TYPE}","kid":"{kid}"}}"#, algorithm.as_str());
        Some(Self { header: URL_SAFE_NO_PAD.encode(header), kid, algorithm, verifying, jwk })
    }

    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// The JWK that the key was made of.
    pub(crate) fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// Whether a signature, the third part of a token, is this key's of these bytes.
    pub(crate) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let signature = URL_SAFE_NO_PAD.decode(signature);
        signature.is_ok_and(|signature| self.verifying.verify_sig(message, &signature).is_ok())
    }

    /// Whether an encoded token header names this key. Compares the text first, which avoids decoding JSON; the same
    /// members in another spelling match as well.
    pub(crate) fn matches_header(&self, header: &str) -> bool {
        header == self.header
            || decode::<Header>(header).is_some_and(|header| {
                header.alg == self.algorithm.as_str() && header.typ == TYPE && header.kid == self.kid
            })
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").field("jwk", &self.jwk).finish_non_exhaustive()
    }
}

/// The `kid` in an encoded token header, if it may be a key of dualauth's.
pub(crate) fn kid_of_header(header: &str) -> Option<String> {
    let header = decode::<Header>(header)?;
    let is_supported = Algorithm::ALL.iter().any(|algorithm| algorithm.as_str() == header.alg);
    (header.typ == TYPE && is_supported && names_a_hash(&header.kid)).then_some(header.kid)
}

/// dualauth's `kid` is a thumbprint with SHA-256 (RFC 7638). Nothing else is looked for.
fn names_a_hash(kid: &str) -> bool {
    URL_SAFE_NO_PAD.decode(kid).is_ok_and(|hash| hash.len() == 32)
}

fn verifying(algorithm: Algorithm, jwk: &Jwk) -> Option<ParsedPublicKey> {
    let bytes = |member: &Option<String>| URL_SAFE_NO_PAD.decode(member.as_deref()?).ok();
    match algorithm {
        Algorithm::EdDsa => ParsedPublicKey::new(&ED25519, bytes(&jwk.x)?).ok(),
        Algorithm::Es256 => {
            // An uncompressed point (SEC 1, section 2.3.3).
            let point = [&[4], bytes(&jwk.x)?.as_slice(), bytes(&jwk.y)?.as_slice()].concat();
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()
        }
        Algorithm::Rs256 => {
            let components = RsaPublicKeyComponents { n: bytes(&jwk.n)?, e: bytes(&jwk.e)? };
            components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()
        }
    }
}
