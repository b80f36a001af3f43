//! The signature.

use aws_lc_rs::signature::{
    RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dualauth::config::JwtAlgorithm;
use serde_json::json;

use super::forger::Forger;
use crate::support::{signer::signed, with};

/// The order of P-256's base point, big end first (SEC 2, section 2.4.2).
const N: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The order of Ed25519's base point, little end first (RFC 8032, section 5.1).
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// Points of Ed25519 of order 1, 2, 4 and 8, and two of them not as RFC 8032 writes them.
const SMALL_ORDER: [&str; 8] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

fn hex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(byte).collect()
}

/// The sum, little end first, in one byte more.
fn sum(one: &[u8], other: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let mut sum: Vec<u8> = one
        .iter()
        .zip(other)
        .map(|(one, other)| {
            carry += u16::from(*one) + u16::from(*other);
            let [digit, rest] = carry.to_le_bytes();
            carry = rest.into();
            digit
        })
        .collect();
    sum.push(u8::try_from(carry).expect("a digit"));
    sum
}

/// `n - s`, big end first.
fn negated(s: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let digits = N.iter().zip(s).rev().map(|(n, s)| {
        let digit = i16::from(*n) - i16::from(*s) - borrow;
        borrow = i16::from(digit < 0);
        digit.rem_euclid(256) as u8
    });
    let mut difference: Vec<u8> = digits.collect();
    difference.reverse();
    difference
}

/// An ECDSA signature as X.509 has it (RFC 3279, section 2.2.3).
fn der(signature: &[u8]) -> Vec<u8> {
    let integer = |digits: &[u8]| {
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        let mut digits = digits[zeros..].to_vec();
        if digits[0] >= 0x80 {
            digits.insert(0, 0);
        }
        [vec![2, digits.len() as u8], digits].concat()
    };
    let (r, s) = signature.split_at(32);
    let both = [integer(r), integer(s)].concat();
    [vec![0x30, both.len() as u8], both].concat()
}

/// What no key has signed, for any algorithm.
fn of_no_key(good: &[u8]) -> Vec<Vec<u8>> {
    let (half, last) = (good.len() / 2, good.len() - 1);
    let mut all = vec![
        vec![],
        vec![0],
        vec![0; good.len()],
        vec![0; good.len() + 1],
        vec![0xff; good.len()],
        good[1..].to_vec(),
        good[..last].to_vec(),
        good[..half].to_vec(),
        [&[0], good].concat(),
        [good, &[0]].concat(),
        [good, good].concat(),
        [&good[half..], &good[..half]].concat(),
        good.iter().rev().copied().collect(),
    ];
    for at in [0, 1, half - 1, half, last - 1, last] {
        for bit in [1, 0x80] {
            let mut changed = good.to_vec();
            changed[at] ^= bit;
            all.push(changed);
        }
    }
    all
}

fn of_no_ecdsa_key(good: &[u8]) -> Vec<Vec<u8>> {
    let (r, s) = good.split_at(32);
    let (zero, one, n) = (&[0; 32][..], &hex(&format!("{:0>64}", "1"))[..], &N[..]);
    let mut less = N;
    less[31] -= 1;
    let mut all = vec![der(good), der(&[r, &negated(s)].concat())];
    for number in [zero, one, &less, n, &[0xff; 32]] {
        all.extend([[number, s].concat(), [r, number].concat(), [number, number].concat()]);
        all.extend([[zero, number].concat(), [number, zero].concat()]);
    }
    // Each half in one byte more.
    all.push([&[0], r, &[0], s].concat());
    all.push([zero, r, zero, s].concat());
    all
}

fn of_no_ed25519_key(good: &[u8], public: &[u8]) -> Vec<Vec<u8>> {
    let (r, s) = good.split_at(32);
    // (R, S + L) satisfies the equation too: RFC 8032 has S less than L (section 5.1.7).
    let mut all = Vec::new();
    let mut malleable = s.to_vec();
    for _ in 0..14 {
        malleable = sum(&malleable, &L)[..32].to_vec();
        all.push([r, &malleable].concat());
    }
    let small: Vec<Vec<u8>> = SMALL_ORDER.map(hex).into();
    for point in small.iter().map(Vec::as_slice).chain([public]) {
        for number in [&[0; 32], s, &L] {
            all.push([point, number].concat());
        }
    }
    all
}

fn of_no_rsa_key(forger: &Forger, good: &[u8]) -> Vec<Vec<u8>> {
    let message = forger.message();
    let modulus = forger.key.jwk().map(|jwk| serde_json::to_value(jwk).expect("a JWK"));
    let modulus = modulus.and_then(|jwk| URL_SAFE_NO_PAD.decode(jwk["n"].as_str()?).ok()).expect("a modulus");
    let reversed = |number: &[u8]| number.iter().rev().copied().collect::<Vec<u8>>();
    // The same number to the key, but for its size.
    let larger = reversed(&sum(&reversed(good), &reversed(&modulus)));
    let paddings: [&'static dyn RsaEncoding; 5] =
        [&RSA_PKCS1_SHA384, &RSA_PKCS1_SHA512, &RSA_PSS_SHA256, &RSA_PSS_SHA384, &RSA_PSS_SHA512];
    let others = paddings.map(|padding| forger.key.rsa_signature(padding, message.as_bytes()).expect("RSA"));
    let mut one = vec![0; 256];
    one[255] = 1;
    let mut all = vec![larger[larger.len() - 256..].to_vec(), larger, modulus, vec![1], one];
    all.extend(others);
    all
}

#[tokio::test]
async fn a_signature_that_no_key_has_made_is_refused() {
    for forger in Forger::all().await {
        let message = forger.message();
        let good = forger.key.signature(message.as_bytes());
        forger.assert_accepted(&signed(&message, &good)).await;
        let mut bad = of_no_key(&good);
        bad.extend(match forger.key.algorithm {
            JwtAlgorithm::Hs256 => vec![],
            JwtAlgorithm::EdDsa => {
                let [_, public] = forger.key.public_der().expect("a public half");
                of_no_ed25519_key(&good, &public)
            }
            JwtAlgorithm::Es256 => of_no_ecdsa_key(&good),
            JwtAlgorithm::Rs256 => of_no_rsa_key(&forger, &good),
        });
        for signature in bad {
            forger.assert_refused(&signed(&message, &signature), "invalid_token").await;
        }
    }
}

/// Of an ES256 signature (r, s) anybody can make (r, n - s), which is as good. It says the same, by the same key:
/// nothing may depend on there being one signature only.
#[tokio::test]
async fn the_twin_of_an_es256_signature_is_accepted_and_gains_nothing() {
    let mut forger = Forger::of(JwtAlgorithm::Es256).await;
    let good = forger.client.credential();
    let (message, signature) = good.rsplit_once('.').expect("a signature");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let (r, s) = signature.split_at(32);
    let twin = signed(message, &[r, &negated(s)].concat());
    assert_ne!(twin, good);
    forger.assert_accepted(&twin).await;

    forger.client.logout().await.expect(204);

    for token in [&good, &twin] {
        forger.assert_refused_every_way(token, "token_revoked").await;
    }
}

#[tokio::test]
async fn a_login_that_has_ended_is_over_whatever_bytes_its_tokens_have() {
    let mut forger = Forger::of(JwtAlgorithm::EdDsa).await;
    let spaced = format!(" {} ", forger.claims);
    let reordered =
        format!(r#"{{"typ":"at+jwt","kid":{},"alg":{}}}"#, forger.header["kid"], forger.header["alg"]);
    let another = with(forger.claims.clone(), "jti", json!(uuid::Uuid::nil()));
    let tokens = [
        forger.client.credential(),
        forger.token(&forger.header, &forger.claims),
        forger.token(&forger.header, &spaced),
        forger.token(&reordered, &forger.claims),
        forger.token(&forger.header, &another),
    ];
    // The one that was shown before, and is remembered, and one that never was.
    let unseen = forger.token(&reordered, &spaced);
    for token in &tokens {
        forger.assert_accepted(token).await;
    }

    forger.client.logout().await.expect(204);

    for token in tokens.iter().chain([&unseen]) {
        forger.assert_refused_every_way(token, "token_revoked").await;
    }
}
