//! Signing keys, and the one form of access token that they make and accept: `at+jwt` (RFC 9068), stricter.
//!
//! jsonwebtoken computes the signature and no more. Left to itself it overlooks `crit` and `typ`, lets repeated
//! claims and arrays through, and is generous with time; so header, claims and times are read here.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::auth::AuthError;
use crate::error::Problem;
use crate::tokens::{AppSecret, sha256};

/// The media type of an access token, as `typ` (RFC 9068, section 2.1).
const TYPE: &str = "at+jwt";

/// How far another node's clock may be ahead of this one's when it dates a token, in seconds.
const LEEWAY: i64 = 5;

/// The header: these three members, no other.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: Algorithm,
    typ: String,
    kid: String,
}

/// The claims: these, no other, each once.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) aud: String,
    /// The user.
    pub(super) sub: Uuid,
    /// Seconds since 1970.
    pub(super) iat: i64,
    /// Seconds since 1970: not valid at that moment any more.
    pub(super) exp: i64,
    pub(super) jti: Uuid,
    /// The login.
    pub(super) sid: Uuid,
    pub(super) username: String,
    pub(super) roles: Vec<String>,
}

impl Claims {
    /// Whether they are from here and for here, and have not run out at `now` (seconds since 1970).
    ///
    /// # Errors
    /// [`AuthError::InvalidToken`], [`AuthError::TokenExpired`].
    pub(super) fn check(&self, iss: &str, aud: &str, now: i64) -> Result<(), AuthError> {
        if self.iss != iss || self.aud != aud || self.iat > now + LEEWAY {
            return Err(AuthError::InvalidToken);
        }
        // No leeway here: a token's last second is its last second.
        if now >= self.exp { Err(AuthError::TokenExpired) } else { Ok(()) }
    }
}

/// A key that signs access tokens and verifies them.
pub(super) struct Key {
    kid: String,
    /// The first part of every token that it signs.
    header: String,
    algorithm: Algorithm,
    signing: EncodingKey,
    verifying: DecodingKey,
}

impl Key {
    /// HS256 under a key of its own, derived from the service's secret.
    pub(super) fn derive(secret: &AppSecret) -> Self {
        let key = secret.derive("dualauth jwt hs256 v1");
        let kid = sha256(secret.derive("dualauth jwt hs256 v1, kid").as_slice());
        let kid = URL_SAFE_NO_PAD.encode(&kid[..12]);
        let header = Header { alg: Algorithm::HS256, typ: TYPE.to_owned(), kid: kid.clone() };
        Self {
            kid,
            // Three texts serialise, always.
            header: encode(&header).unwrap_or_default(),
            algorithm: Algorithm::HS256,
            signing: EncodingKey::from_secret(key.as_slice()),
            verifying: DecodingKey::from_secret(key.as_slice()),
        }
    }

    /// The token that says this (RFC 7515, section 7.1).
    ///
    /// # Errors
    /// `internal` when the key can't sign.
    pub(super) fn sign(&self, claims: &Claims) -> Result<String, Problem> {
        let message = format!("{}.{}", self.header, encode(claims)?);
        let signature = crypto::sign(message.as_bytes(), &self.signing, self.algorithm);
        Ok(format!("{message}.{}", signature.map_err(Problem::internal)?))
    }

    /// What a token says, if it is of this key.
    ///
    /// # Errors
    /// [`AuthError::InvalidToken`].
    pub(super) fn open(&self, token: &str) -> Result<Claims, AuthError> {
        self.claims(token).ok_or(AuthError::InvalidToken)
    }

    fn claims(&self, token: &str) -> Option<Claims> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let verifies = self.is_ours(header)
            && crypto::verify(signature, message.as_bytes(), &self.verifying, self.algorithm)
                .unwrap_or(false);
        if verifies { decode(claims) } else { None }
    }

    /// As it is written here, or with the same members written in another way.
    fn is_ours(&self, header: &str) -> bool {
        header == self.header
            || decode::<Header>(header).is_some_and(|header| {
                header.alg == self.algorithm && header.typ == TYPE && header.kid == self.kid
            })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

fn encode(part: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_vec(part).map(|json| URL_SAFE_NO_PAD.encode(json)).map_err(Problem::internal)
}

/// base64url without padding, of a JSON object: serde would take an array of the members for one.
fn decode<T: DeserializeOwned>(part: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode(part).ok()?;
    json.trim_ascii_start().starts_with(b"{").then(|| serde_json::from_slice(&json).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_790_000_000;

    fn key() -> Key {
        Key::derive(&AppSecret::new(vec![7; 32]).expect("long enough"))
    }

    fn claims() -> Value {
        json!({
            "iss": "here", "aud": "there", "sub": Uuid::nil(), "iat": NOW, "exp": NOW + 900, "jti": Uuid::nil(),
            "sid": Uuid::nil(), "username": "ada", "roles": ["user"],
        })
    }

    fn header() -> Value {
        json!({"alg": "HS256", "typ": "at+jwt", "kid": key().kid})
    }

    /// Signed by the real key, whatever it says: what is refused is refused for what it says.
    fn signed(header: &str, claims: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature =
            crypto::sign(message.as_bytes(), &key().signing, Algorithm::HS256).expect("a signature");
        format!("{message}.{signature}")
    }

    fn verify(key: &Key, token: &str) -> Result<(), AuthError> {
        key.open(token)?.check("here", "there", NOW)
    }

    fn outcome(header: &str, claims: &str) -> &'static str {
        match verify(&key(), &signed(header, claims)) {
            Ok(()) => "accepted",
            Err(AuthError::TokenExpired) => "expired",
            Err(_) => "invalid",
        }
    }

    fn with(mut object: Value, name: &str, value: Value) -> String {
        object[name] = value;
        object.to_string()
    }

    fn without(mut object: Value, name: &str) -> String {
        object.as_object_mut().expect("an object").remove(name);
        object.to_string()
    }

    #[test]
    fn exactly_this_header_and_these_claims_are_accepted() {
        assert_eq!(outcome(&header().to_string(), &claims().to_string()), "accepted");
    }

    #[test]
    fn a_header_with_more_less_or_other_members_is_refused() {
        let claims = claims().to_string();
        for (name, value) in [
            ("crit", json!(["exp"])),
            ("b64", json!(false)),
            ("jku", json!("https://evil.example/keys")),
            ("x5u", json!("https://evil.example/cert")),
            ("jwk", json!({"kty": "oct", "k": "AA"})),
            ("cty", json!("JWT")),
            ("typ", json!("JWT")),
            ("typ", json!("AT+JWT")),
            ("alg", json!("HS384")),
            ("alg", json!("none")),
            ("alg", json!("RS256")),
            ("kid", json!("../../dev/null")),
            ("kid", json!(null)),
        ] {
            assert_eq!(outcome(&with(header(), name, value.clone()), &claims), "invalid", "{name}: {value}");
        }
        for name in ["alg", "typ", "kid"] {
            assert_eq!(outcome(&without(header(), name), &claims), "invalid", "without {name}");
        }
        let repeated = format!(r#"{{"alg":"HS256","alg":"HS256","typ":"at+jwt","kid":"{}"}}"#, key().kid);
        assert_eq!(outcome(&repeated, &claims), "invalid");
        let array = format!(r#"["HS256","at+jwt","{}"]"#, key().kid);
        assert_eq!(outcome(&array, &claims), "invalid");
    }

    #[test]
    fn claims_with_more_less_or_other_members_are_refused() {
        let header = header().to_string();
        for (name, value) in [
            ("iss", json!("elsewhere")),
            ("iss", json!(["here"])),
            ("aud", json!("elsewhere")),
            ("aud", json!(["there"])),
            ("iat", json!(NOW + LEEWAY + 1)),
            ("exp", json!("tomorrow")),
            ("exp", json!(1e300)),
            ("nbf", json!(NOW)),
            ("admin", json!(true)),
            ("sub", json!("ada")),
        ] {
            assert_eq!(outcome(&header, &with(claims(), name, value.clone())), "invalid", "{name}: {value}");
        }
        for name in ["iss", "aud", "sub", "iat", "exp", "jti", "sid", "username", "roles"] {
            assert_eq!(outcome(&header, &without(claims(), name)), "invalid", "without {name}");
        }
        let repeated = claims().to_string().replacen('{', &format!(r#"{{"exp":{},"#, NOW + 9_000), 1);
        assert_eq!(outcome(&header, &repeated), "invalid");
        assert_eq!(outcome(&header, r#"["here","there"]"#), "invalid");
        assert_eq!(outcome(&header, "null"), "invalid");
    }

    #[test]
    fn a_token_is_expired_at_the_very_second_of_its_end() {
        let header = header().to_string();
        assert_eq!(outcome(&header, &with(claims(), "exp", json!(NOW))), "expired");
        assert_eq!(outcome(&header, &with(claims(), "exp", json!(NOW + 1))), "accepted");
    }

    #[test]
    fn another_form_of_the_same_token_is_refused() {
        let token = signed(&header().to_string(), &claims().to_string());
        let verifies = |token: &str| verify(&key(), token).is_ok();
        assert!(verifies(&token));
        let parts: Vec<&str> = token.split('.').collect();
        for other in [
            format!("{token}="),
            format!("{token}."),
            format!(" {token}"),
            format!(".{token}"),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.{}", parts[0], parts[1]),
            format!("{}=.{}.{}", parts[0], parts[1], parts[2]),
            format!("{}.{}.{}", parts[0], parts[1], &parts[2][..parts[2].len() - 1]),
            format!("{}.{}.{}", parts[0], parts[1], "A".repeat(parts[2].len())),
        ] {
            assert!(!verifies(&other), "{other}");
        }
    }

    #[test]
    fn another_secret_s_token_is_refused() {
        let other = Key::derive(&AppSecret::new(vec![8; 32]).expect("long enough"));
        let token = other.sign(&serde_json::from_value(claims()).expect("claims")).expect("a token");
        assert!(verify(&key(), &token).is_err());
    }
}
