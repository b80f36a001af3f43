//! Unit tests of token verification. That the server applies it to every transport is tested over HTTP.

mod claims;
mod form;
mod header;
mod signature;

use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::auth::Audience;
use crate::auth::AuthError;
use crate::config::JwtAlgorithm;
use crate::crypto::SecretBytes;
use crate::jwt::keys::key::generate;

const NOW: i64 = 1_790_000_000;

/// Issuer and audience of the tests' tokens.
const HERE: &str = "http://auth.example.org";

/// The role of a key in a ring.
#[derive(Clone, Copy)]
pub(super) enum Role {
    Active,
    Next,
    Superseded,
    /// Not in the ring.
    Strange,
}

/// A private key, generated once for all tests, because RSA takes a while.
fn secret(algorithm: JwtAlgorithm, role: Role) -> &'static SecretBytes {
    static SECRETS: [[OnceLock<SecretBytes>; 4]; 4] = [const { [const { OnceLock::new() }; 4] }; 4];
    SECRETS[algorithm as usize][role as usize].get_or_init(|| generate(algorithm).expect("a new key"))
}

pub(super) fn key(algorithm: JwtAlgorithm, role: Role) -> JwtKey {
    JwtKey::private(algorithm, secret(algorithm, role)).expect("a good key")
}

pub(super) fn ring_of(keys: impl IntoIterator<Item = JwtKey>) -> Ring {
    let entry = |key| RingKey {
        key: Arc::new(key),
        state: KeyState::Active,
        created_at: DateTime::UNIX_EPOCH,
        activated_at: Some(DateTime::UNIX_EPOCH),
        verify_until: None,
    };
    Ring::new(keys.into_iter().map(entry).collect(), None)
}

pub(super) fn claims() -> Value {
    json!({
        "iss": HERE, "aud": HERE, "sub": Uuid::nil(), "iat": NOW, "exp": NOW + 900, "jti": Uuid::nil(),
        "sid": Uuid::nil(), "client_id": "dualauth", "auth_time": NOW, "acr": "aal1", "amr": ["pwd"],
        "username": "ada", "roles": ["user"],
    })
}

/// The signed parts of a token: header and claims.
fn message(header: &impl ToString, claims: &impl ToString) -> String {
    let [header, claims] = [header.to_string(), claims.to_string()].map(|it| URL_SAFE_NO_PAD.encode(it));
    format!("{header}.{claims}")
}

fn signature(key: &JwtKey, message: &str) -> String {
    key.signature(message.as_bytes()).expect("a signature")
}

fn sign(key: &JwtKey, message: &str) -> String {
    format!("{message}.{}", signature(key, message))
}

fn token(key: &JwtKey, header: &impl ToString, claims: &impl ToString) -> String {
    sign(key, &message(header, claims))
}

fn verify(ring: &Ring, token: &str) -> Result<(), AuthError> {
    verify_at(ring, token, NOW)
}

fn verify_at(ring: &Ring, token: &str, now: i64) -> Result<(), AuthError> {
    let opened = ring.verify(token, DateTime::UNIX_EPOCH).map_err(|_| AuthError::InvalidToken)?;
    opened.claims.check(HERE, &Audience::One(HERE.to_owned()), now)
}

fn with(mut object: Value, name: &str, value: impl Into<Value>) -> Value {
    object[name] = value.into();
    object
}

#[track_caller]
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a string was expected, not {value}"))
}

fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().expect("an object").remove(name).expect("a member to leave out");
    object
}

/// Signs arbitrary tokens with the ring's own key, so that a refusal is due to the token's content alone.
struct Forger {
    ring: Ring,
    key: Arc<JwtKey>,
    header: Value,
    claims: Value,
}

impl Forger {
    /// One for each algorithm.
    fn all() -> [Self; 4] {
        JwtAlgorithm::ALL.map(|algorithm| Self::of(ring_of([key(algorithm, Role::Active)])))
    }

    /// Has the first of its keys.
    fn of(ring: Ring) -> Self {
        let key = Arc::clone(&ring.entries[0].key);
        let header = json!({ "alg": key.algorithm.as_str(), "typ": "at+jwt", "kid": key.kid });
        let forger = Self { ring, key, header, claims: claims() };
        forger.assert_accepted(&forger.good_token());
        forger
    }

    /// Header and claims as in the ring's own tokens.
    fn message(&self) -> String {
        message(&self.header, &self.claims)
    }

    fn good_token(&self) -> String {
        self.token(&self.header, &self.claims)
    }

    fn token(&self, header: &impl ToString, claims: &impl ToString) -> String {
        token(&self.key, header, claims)
    }

    fn sign(&self, message: &str) -> String {
        sign(&self.key, message)
    }

    /// A token with its parts decoded as far as possible, for failure messages.
    fn read(&self, token: &str) -> String {
        let parts = token.split('.').take(2).map(|part| URL_SAFE_NO_PAD.decode(part).unwrap_or_default());
        let parts: String = parts.map(|json| String::from_utf8_lossy(&json).into_owned()).collect();
        format!("{parts} ({}; {token})", self.key.algorithm.as_str())
    }

    #[track_caller]
    fn assert_accepted(&self, token: &str) {
        let outcome = verify(&self.ring, token);
        assert!(outcome.is_ok(), "{outcome:?} for {}", self.read(token));
    }

    #[track_caller]
    fn assert_invalid(&self, token: &str) {
        let outcome = verify(&self.ring, token);
        assert!(matches!(outcome, Err(AuthError::InvalidToken)), "{outcome:?} for {}", self.read(token));
    }

    #[track_caller]
    fn assert_expired(&self, token: &str) {
        let outcome = verify(&self.ring, token);
        assert!(matches!(outcome, Err(AuthError::TokenExpired)), "{outcome:?} for {}", self.read(token));
    }

    #[track_caller]
    fn assert_header_refused(&self, header: impl ToString) {
        self.assert_invalid(&self.token(&header, &self.claims));
    }

    #[track_caller]
    fn assert_claims_refused(&self, claims: impl ToString) {
        self.assert_invalid(&self.token(&self.header, &claims));
    }
}

#[test]
fn another_key_s_token_is_refused() {
    for algorithm in JwtAlgorithm::ALL {
        let (own, other) = (key(algorithm, Role::Active), key(algorithm, Role::Strange));
        let claims: Claims = serde_json::from_value(claims()).expect("claims");
        let token = |key: &JwtKey| key.sign(&claims).expect("a token");
        let (good, bad) = (token(&own), token(&other));
        let (signed, _) = good.rsplit_once('.').expect("a signature");
        let (_, foreign) = bad.rsplit_once('.').expect("a signature");
        let ring = ring_of([own]);
        assert!(verify(&ring, &good).is_ok());
        assert_eq!(ring.verify(&bad, DateTime::UNIX_EPOCH).err(), Some(TokenRejection::UnknownKey));
        let mixed = format!("{signed}.{foreign}");
        assert_eq!(ring.verify(&mixed, DateTime::UNIX_EPOCH).err(), Some(TokenRejection::Invalid));
    }
}

#[test]
fn a_known_key_under_another_algorithm_s_name_is_not_looked_for() {
    let forger = Forger::of(ring_of([key(JwtAlgorithm::Hs256, Role::Active)]));
    let closed = |alg, kid: &str| {
        let header = json!({"alg": alg, "typ": "at+jwt", "kid": kid});
        let token = forger.token(&header, &forger.claims);
        forger.ring.verify(&token, DateTime::UNIX_EPOCH).err()
    };
    let other = URL_SAFE_NO_PAD.encode([7; 32]);
    for alg in ["EdDSA", "ES256", "RS256"] {
        assert_eq!(closed(alg, &forger.key.kid), Some(TokenRejection::Invalid), "{alg}");
        assert_eq!(closed(alg, &other), Some(TokenRejection::UnknownKey), "{alg}");
    }
    assert_eq!(closed("HS384", &other), Some(TokenRejection::Invalid));
}

#[test]
fn a_token_is_accepted_until_its_key_is_retired() {
    let at = |seconds| DateTime::from_timestamp(NOW + seconds, 0).expect("a time");
    let Forger { mut ring, key, header, claims } =
        Forger::of(ring_of([key(JwtAlgorithm::Hs256, Role::Active)]));
    ring.entries[0].verify_until = Some(at(10));
    let token = token(&key, &header, &claims);
    let Ok(opened) = ring.verify(&token, at(9)) else { panic!("it verifies") };
    assert!(ring.still_accepts(&opened, at(9)) && !ring.still_accepts(&opened, at(10)));
    assert!(ring.verify(&token, at(10)).is_err());
    assert!(!Ring::default().still_accepts(&opened, at(9)), "the key is gone");
}
