//! Property tests of token verification.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::json;
use uuid::Uuid;

use super::tests::{Role, claims, key, ring_of};
use super::*;
use crate::config::JwtAlgorithm;
use crate::property_testing::{check, near_misses};

/// A ring for each of the fast algorithms.
static RINGS: LazyLock<[Ring; 2]> = LazyLock::new(|| {
    [JwtAlgorithm::Hs256, JwtAlgorithm::EdDsa].map(|algorithm| ring_of([key(algorithm, Role::Active)]))
});

fn opens(token: &str) -> bool {
    RINGS.iter().any(|ring| ring.verify(token, DateTime::UNIX_EPOCH).is_ok())
}

fn of_one_of_the_keys() -> impl Strategy<Value = &'static JwtKey> {
    (0..RINGS.len()).prop_map(|at| RINGS[at].entries[0].key.as_ref())
}

fn tokens() -> impl Strategy<Value = String> {
    (of_one_of_the_keys(), any::<u128>(), any::<String>()).prop_map(|(key, id, username)| {
        let mut claims = claims();
        claims["jti"] = json!(Uuid::from_u128(id));
        claims["username"] = json!(username);
        key.sign(&serde_json::from_value(claims).expect("claims")).expect("a token")
    })
}

#[test]
fn a_token_opens_and_nothing_that_a_slip_makes_of_it() {
    check(near_misses(tokens()), |(token, other)| {
        prop_assert!(opens(&token));
        prop_assert!(!opens(&other), "{other}");
        Ok(())
    });
}

#[test]
fn a_bit_that_is_flipped_closes_a_token() {
    check((tokens(), any::<Index>(), 0..7_u32), |(token, at, bit)| {
        let mut bytes = token.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let flipped = String::from_utf8(bytes).expect("ASCII stays ASCII but for the highest bit");
        prop_assert!(!opens(&flipped));
        Ok(())
    });
}

#[test]
fn no_other_token_is_put_together_from_the_parts_of_two() {
    let two = (tokens(), tokens(), prop::collection::vec(0..6_usize, 0..6));
    check(two, |(one, other, picks)| {
        let parts: Vec<&str> = one.split('.').chain(other.split('.')).collect();
        let mixed = picks.iter().map(|at| parts[*at]).collect::<Vec<_>>().join(".");
        prop_assert_eq!(opens(&mixed), mixed == one || mixed == other, "{}", mixed);
        Ok(())
    });
}

#[test]
fn no_other_token_begins_as_one_and_ends_as_another() {
    check((tokens(), tokens(), any::<Index>(), any::<Index>()), |(one, other, end, start)| {
        let (end, start) = (end.index(one.len() + 1), start.index(other.len() + 1));
        let mixed = format!("{}{}", &one[..end], &other[start..]);
        prop_assert_eq!(opens(&mixed), mixed == one || mixed == other, "{}", mixed);
        Ok(())
    });
}

#[test]
fn nothing_that_somebody_makes_up_opens() {
    let part = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80).prop_map(|bytes| URL_SAFE_NO_PAD.encode(bytes)),
        "[A-Za-z0-9_-]{0,60}",
        tokens().prop_map(|token| token.split('.').next().unwrap_or_default().to_owned()),
    ];
    let parts = prop::collection::vec(part, 0..6).prop_map(|parts| parts.join("."));
    check(prop_oneof![parts, any::<String>()], |token| {
        prop_assert!(!opens(&token));
        Ok(())
    });
}

/// The holder of the key can sign any bytes; only well-formed claims are accepted.
#[test]
fn nothing_that_is_signed_opens_unless_it_is_claims() {
    let json = prop_oneof![
        any::<String>(),
        select(vec!["null", "{}", "[]", "{\"iss\":", "1e999", "\"\\ud800\""]).prop_map(str::to_owned),
        near_misses(Just(claims().to_string())).prop_map(|(_, other)| other),
    ];
    let bytes = prop_oneof![json.prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..200)];
    check((of_one_of_the_keys(), bytes), |(key, bytes)| {
        let good = key.sign(&serde_json::from_value(claims()).expect("claims")).expect("a token");
        let (header, _) = good.split_once('.').expect("parts");
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(&bytes));
        let token = format!("{message}.{}", key.signature(message.as_bytes()).expect("a signature"));
        // A mutation may leave valid claims, for example with another name.
        let is_claims =
            bytes.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<Claims>(&bytes).is_ok();
        prop_assert_eq!(opens(&token), is_claims);
        Ok(())
    });
}
