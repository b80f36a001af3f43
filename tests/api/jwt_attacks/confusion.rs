//! The public half of a key, which everybody has, taken for the secret of an HS256 key.

use aws_lc_rs::hmac;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use dualauth::config::JwtAlgorithm;
use pem::{EncodeConfig, LineEnding, Pem, encode_config};
use serde_json::json;

use super::forger::Forger;
use crate::support::{
    http::Request,
    signer::{message, signed, symmetric_kid},
    text, with, without,
};

/// Every way to write down the public half that has been used as a secret, or might be.
async fn public_halves(forger: &Forger) -> Vec<Vec<u8>> {
    let [spki, own_form] = forger.key.public_der().expect("a public half");
    let set = forger.server.send(Request::get("/.well-known/jwks.json")).await.expect(200);
    let published = &set.json()["keys"][0];
    let bare = serde_json::to_string(&forger.key.jwk()).expect("JSON");
    let served = set.text();
    let (_, keys) = served.split_once('[').expect("a list");
    let (first, _) = keys.split_once('}').expect("an object");
    let texts = [
        format!("{first}}}"),
        STANDARD.encode(&spki),
        URL_SAFE_NO_PAD.encode(&spki),
        URL_SAFE_NO_PAD.encode(&own_form),
        forger.key.kid(),
        served.clone(),
        published.to_string(),
        json!({ "keys": [published] }).to_string(),
        serde_json::to_string_pretty(published).expect("JSON"),
        bare,
    ];
    let mut halves: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
    for (tag, der) in [("PUBLIC KEY", &spki), ("RSA PUBLIC KEY", &own_form), ("EC PUBLIC KEY", &own_form)] {
        for line_ending in [LineEnding::LF, LineEnding::CRLF] {
            let config = EncodeConfig::new().set_line_ending(line_ending);
            halves.push(encode_config(&Pem::new(tag, der.clone()), config).into_bytes());
        }
    }
    for member in ["x", "y", "n", "e"] {
        if let Some(value) = published.get(member) {
            halves.push(text(value).as_bytes().to_vec());
            halves.push(URL_SAFE_NO_PAD.decode(text(value)).expect("base64url"));
        }
    }
    // A point of a curve without the byte that says how it is written.
    halves.push(own_form[1..].to_vec());
    halves.extend([spki, own_form]);
    let mut all = Vec::new();
    for half in halves {
        let trimmed = half.trim_ascii_end();
        all.extend([trimmed.to_vec(), [trimmed, b"\n"].concat(), [trimmed, b"\r\n"].concat(), half.clone()]);
        all.push([trimmed, b"\0"].concat());
    }
    all.sort();
    all.dedup();
    all
}

#[tokio::test]
async fn a_token_signed_with_a_public_key_as_if_it_were_a_secret_is_refused() {
    for forger in Forger::asymmetric().await {
        let halves = public_halves(&forger).await;
        assert!(halves.len() > 50, "{}", halves.len());
        for (number, half) in halves.iter().enumerate() {
            let key = hmac::Key::new(hmac::HMAC_SHA256, half);
            let hs256 = with(forger.header.clone(), "alg", "HS256");
            let mut headers = vec![hs256.clone(), without(hs256.clone(), "kid"), forger.header.clone()];
            // As dualauth would name it, if it were a secret. Not all: for a name that is new, it has to look.
            if number % 10 == 0 {
                headers.push(with(hs256, "kid", symmetric_kid(half)));
            }
            for header in headers {
                let message = message(&header, &forger.claims);
                let token = signed(&message, hmac::sign(&key, message.as_bytes()).as_ref());
                forger.assert_refused(&token, "invalid_token").await;
            }
        }
    }
}

#[tokio::test]
async fn the_macs_of_a_secret_by_another_hash_are_refused() {
    let forger = Forger::of(JwtAlgorithm::Hs256).await;
    for hash in [hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, hmac::HMAC_SHA224, hmac::HMAC_SHA384, hmac::HMAC_SHA512]
    {
        let key = hmac::Key::new(hash, forger.key.file.as_bytes());
        for alg in ["HS256", "HS384", "HS512"] {
            let message = message(&with(forger.header.clone(), "alg", alg), &forger.claims);
            let mac = hmac::sign(&key, message.as_bytes());
            let (whole, cut) = (mac.as_ref(), &mac.as_ref()[..mac.as_ref().len().min(32)]);
            for mac in [whole, cut] {
                forger.assert_refused(&signed(&message, mac), "invalid_token").await;
            }
        }
    }
}
