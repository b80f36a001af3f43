//! Unit tests of token verification: headers, claims, forms and keys that are refused.

use std::sync::LazyLock;

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

pub(super) fn secret(algorithm: JwtAlgorithm) -> SecretBytes {
    static SECRETS: LazyLock<Vec<SecretBytes>> =
        LazyLock::new(|| JwtAlgorithm::ALL.map(|it| generate(it).expect("a new key")).to_vec());
    SECRETS[algorithm as usize].clone()
}

fn key() -> JwtKey {
    JwtKey::private(JwtAlgorithm::Hs256, &secret(JwtAlgorithm::Hs256)).expect("a good key")
}

pub(super) fn ring_of(key: JwtKey) -> Ring {
    let entry = RingKey {
        key: Arc::new(key),
        state: KeyState::Active,
        created_at: DateTime::UNIX_EPOCH,
        activated_at: Some(DateTime::UNIX_EPOCH),
        verify_until: None,
    };
    Ring::new(vec![entry], None)
}

pub(super) fn claims() -> Value {
    json!({
        "iss": "here", "aud": "there", "sub": Uuid::nil(), "iat": NOW, "exp": NOW + 900, "jti": Uuid::nil(),
        "sid": Uuid::nil(), "username": "ada", "roles": ["user"],
    })
}

fn header() -> Value {
    json!({"alg": "HS256", "typ": "at+jwt", "kid": key().kid})
}

/// A token signed by the real key, so that a refusal is due to its content alone.
fn signed(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    format!("{message}.{}", key().signature(message.as_bytes()).expect("a signature"))
}

fn verify(ring: &Ring, token: &str) -> Result<(), AuthError> {
    let opened = ring.verify(token, DateTime::UNIX_EPOCH).map_err(|_| AuthError::InvalidToken)?;
    opened.claims.check("here", &Audience::One("there".to_owned()), NOW)
}

fn outcome(header: &str, claims: &str) -> &'static str {
    match verify(&ring_of(key()), &signed(header, claims)) {
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
fn this_header_and_these_claims_are_accepted() {
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
fn claims_with_less_or_other_members_are_refused() {
    let header = header().to_string();
    for (name, value) in [
        ("iss", json!("elsewhere")),
        ("iss", json!(["here"])),
        ("aud", json!("elsewhere")),
        ("aud", json!(["there"])),
        ("iat", json!(NOW + 6)),
        ("exp", json!("tomorrow")),
        ("exp", json!(1e300)),
        ("nbf", json!(NOW + 6)),
        ("nbf", json!(null)),
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
fn claims_of_a_later_version_are_ignored() {
    let header = header().to_string();
    for (name, value) in
        [("client_id", json!("dualauth")), ("act", json!({})), ("", json!(null)), ("nbf", json!(NOW))]
    {
        assert_eq!(outcome(&header, &with(claims(), name, value.clone())), "accepted", "{name}: {value}");
    }
    let repeated = claims().to_string().replacen('{', r#"{"later":1,"l\u0061ter":1,"#, 1);
    assert_eq!(outcome(&header, &repeated), "invalid");
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
    let verifies = |token: &str| verify(&ring_of(key()), token).is_ok();
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
fn another_key_s_token_is_refused() {
    for algorithm in JwtAlgorithm::ALL {
        let own = JwtKey::private(algorithm, &secret(algorithm)).expect("a good key");
        let other = JwtKey::private(algorithm, &generate(algorithm).expect("a new key")).expect("a good key");
        let claims: Claims = serde_json::from_value(claims()).expect("claims");
        let token = |key: &JwtKey| key.sign(&claims).expect("a token");
        let (good, bad) = (token(&own), token(&other));
        let (signed, _) = good.rsplit_once('.').expect("a signature");
        let (_, foreign) = bad.rsplit_once('.').expect("a signature");
        let ring = ring_of(own);
        assert!(verify(&ring, &good).is_ok());
        assert_eq!(ring.verify(&bad, DateTime::UNIX_EPOCH).err(), Some(TokenRejection::UnknownKey));
        let mixed = format!("{signed}.{foreign}");
        assert_eq!(ring.verify(&mixed, DateTime::UNIX_EPOCH).err(), Some(TokenRejection::Invalid));
    }
}

#[test]
fn a_known_key_under_another_algorithm_s_name_is_not_looked_for() {
    let closed = |alg, kid: &str| {
        let header = json!({"alg": alg, "typ": "at+jwt", "kid": kid});
        let token = signed(&header.to_string(), &claims().to_string());
        ring_of(key()).verify(&token, DateTime::UNIX_EPOCH).err()
    };
    let other = URL_SAFE_NO_PAD.encode([7; 32]);
    for alg in ["EdDSA", "ES256", "RS256"] {
        assert_eq!(closed(alg, &key().kid), Some(TokenRejection::Invalid), "{alg}");
        assert_eq!(closed(alg, &other), Some(TokenRejection::UnknownKey), "{alg}");
    }
    assert_eq!(closed("HS384", &other), Some(TokenRejection::Invalid));
}

#[test]
fn a_token_is_accepted_until_its_key_is_retired() {
    let at = |seconds| DateTime::from_timestamp(NOW + seconds, 0).expect("a time");
    let mut ring = ring_of(key());
    ring.entries[0].verify_until = Some(at(10));
    let token = signed(&header().to_string(), &claims().to_string());
    let Ok(opened) = ring.verify(&token, at(9)) else { panic!("it verifies") };
    assert!(ring.still_accepts(&opened, at(9)) && !ring.still_accepts(&opened, at(10)));
    assert!(ring.verify(&token, at(10)).is_err());
    assert!(!Ring::default().still_accepts(&opened, at(9)), "the key is gone");
}
