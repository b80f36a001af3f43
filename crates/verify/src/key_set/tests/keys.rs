//! JWK sets: which keys are taken from them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Forger, JwkSet, KeySet, Role, key, set_of, with, without};

#[test]
fn a_set_may_have_keys_of_other_kinds_which_are_left_out() {
    let own = key(0, Role::Published);
    let strange = |member: &str, value: Value| with(key(0, Role::Strange).jwk.clone(), member, value);
    let others = [
        json!(null),
        json!({}),
        json!({ "kty": "oct", "kid": own.kid, "k": "c2VjcmV0", "alg": "HS256" }),
        strange("kty", json!("AKP")),
        strange("crv", json!("Ed448")),
        strange("alg", json!("HS256")),
        strange("alg", json!("ES256")),
        strange("use", json!("enc")),
        strange("kid", json!("short")),
        strange("x", json!("AAAA")),
        strange("x", json!("+/")),
        without(key(0, Role::Strange).jwk.clone(), "x"),
        without(key(0, Role::Strange).jwk.clone(), "kid"),
        with(key(1, Role::Strange).jwk.clone(), "y", json!("AAAA")),
        without(key(2, Role::Strange).jwk.clone(), "n"),
    ];
    let keys = set_of(others.into_iter().chain([own.jwk.clone()]));
    assert_eq!(keys.0.len(), 1, "{keys:?}");
    assert!(set_of([]).is_empty());
}

#[test]
fn a_key_without_alg_or_use_is_of_its_type_s_algorithm() {
    for forger in Forger::all() {
        let jwk = without(without(forger.key.jwk.clone(), "alg"), "use");
        let forger = Forger { keys: set_of([jwk]), ..forger };
        forger.assert_accepted(&forger.good_token());
    }
}

#[test]
fn of_two_keys_of_a_name_the_first_counts() {
    let (first, second) = (key(0, Role::Published), key(0, Role::Strange));
    let keys = set_of([first.jwk.clone(), with(second.jwk.clone(), "kid", first.kid.as_str())]);
    let claims = crate::testing::claims(super::NOW);
    assert!(keys.verify(&first.token(&claims)).is_ok());
    assert!(keys.verify(&second.token_of(&first.header(), &claims)).is_err());
}

#[test]
fn a_key_that_is_fetched_again_stays_the_same_one_and_another_of_its_name_does_not() {
    let known = set_of([key(0, Role::Published).jwk.clone()]);
    let again = |jwk: Value| KeySet::new(JwkSet { keys: vec![jwk] }, &known);
    let same = again(key(0, Role::Published).jwk.clone());
    assert!(Arc::ptr_eq(&same.0[0], &known.0[0]) && same.accepts(&known.0[0]));
    let name = key(0, Role::Published).kid.as_str();
    let other = again(with(key(0, Role::Strange).jwk.clone(), "kid", name));
    assert!(!other.accepts(&known.0[0]));
}
