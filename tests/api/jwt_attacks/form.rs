//! How a token is written down: in base64url, once, and not without end.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use dualauth::config::JwtAlgorithm;
use serde_json::json;

use super::forger::Forger;
use crate::support::{
    http::Request,
    signer::{message, signed},
    with,
};

const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Nearly as large as the head of a request may be.
const LARGE: usize = 30_000;

/// A part's other spellings, by the bits of its last character that say nothing.
fn with_other_last_bits(part: &str) -> Vec<String> {
    let (but_last, last) = part.split_at(part.len() - 1);
    let value = ALPHABET.find(last).expect("base64url");
    let unused = [0, 0, 16, 4][part.len() % 4];
    let others = (0..unused).filter(|bits| *bits != value % unused.max(1));
    others.map(|bits| format!("{but_last}{}", &ALPHABET[value - value % unused + bits..][..1])).collect()
}

#[tokio::test]
async fn a_token_has_one_spelling() {
    for forger in Forger::all().await {
        // The other alphabet, where the two differ.
        let token = (0..100)
            .map(|number| with(forger.claims.clone(), "jti", uuid::Uuid::from_u128(number).to_string()))
            .map(|claims| forger.token(&forger.header, &claims))
            .find(|token| token.contains('-') && token.contains('_'))
            .expect("one of a hundred signatures has such characters");
        forger.assert_accepted(&token).await;
        for respelt in [token.replace('-', "+"), token.replace('_', "/"), token.replace('.', "%2E")] {
            forger.assert_never_taken(&respelt).await;
        }
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("{} parts", parts.len()) };
        let mut spellings = with_other_last_bits(signature);
        let unused = if signature.len() % 4 == 2 { 15 } else { 3 };
        assert_eq!(spellings.len(), unused);
        spellings.extend([format!("{signature}="), format!("{signature}=="), format!("{signature}A")]);
        spellings.extend([format!("{signature}AA"), format!("={signature}")]);
        for signature in spellings {
            forger.assert_never_taken(&format!("{header}.{claims}.{signature}")).await;
        }
        for (at, byte) in [(0, ' '), (header.len(), ' '), (header.len() + 1, '\t'), (token.len() - 1, ' ')] {
            let mut spaced = token.clone();
            spaced.insert(at, byte);
            // Space around a header's value is not part of it.
            if at > 0 {
                forger.assert_never_taken(&spaced).await;
            }
        }
    }
}

/// Signed as they are: nobody but the server could have made them, and they are not taken from it either.
#[tokio::test]
async fn parts_in_another_base64_are_refused_though_they_are_signed() {
    for forger in Forger::all().await {
        // A length that needs padding, and characters that the two alphabets write in two ways.
        let claims = (0..9)
            .map(|spaces| with(forger.claims.clone(), "username", format!("{}>>>???", " ".repeat(spaces))))
            .map(|claims| claims.to_string())
            .find(|claims| claims.len() % 3 == 1 && URL_SAFE_NO_PAD.encode(claims).contains(['-', '_']))
            .expect("one of nine");
        let header = URL_SAFE_NO_PAD.encode(forger.header.to_string());
        let part = URL_SAFE_NO_PAD.encode(&claims);
        forger.assert_accepted(&forger.key.sign(&format!("{header}.{part}"))).await;
        let mut spellings = with_other_last_bits(&part);
        assert_eq!(spellings.len(), 15);
        spellings.extend([URL_SAFE.encode(&claims), STANDARD_NO_PAD.encode(&claims), format!("{part}A")]);
        spellings.extend([format!("{part}="), part[..part.len() - 1].to_owned(), format!("{part}%3D")]);
        for part in spellings {
            forger.assert_never_taken(&forger.key.sign(&format!("{header}.{part}"))).await;
        }
        for header in [format!("{header}="), format!("{header}A"), format!("{header}%")] {
            forger.assert_never_taken(&forger.key.sign(&format!("{header}.{part}"))).await;
        }
    }
}

#[tokio::test]
async fn a_token_in_a_token_is_refused() {
    for forger in Forger::all().await {
        let good = forger.client.credential();
        let parts: Vec<&str> = good.split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("{} parts", parts.len()) };
        let encrypted = json!({ "alg": "dir", "enc": "A128GCM", "typ": "at+jwt", "kid": forger.key.kid() });
        let encrypted = URL_SAFE_NO_PAD.encode(encrypted.to_string());
        let nested = with(forger.header.clone(), "cty", "JWT");
        for token in [
            forger.token(&forger.header, &good),
            forger.token(&forger.header, &json!(good)),
            forger.token(&nested, &good),
            // A JWS in JSON (RFC 7515, section 7.2).
            forger.token(
                &forger.header,
                &json!({ "protected": header, "payload": claims, "signature": signature }),
            ),
            forger.key.sign(&good),
            forger.key.sign(&forger.key.sign(&good)),
            // A JWE has five parts (RFC 7516, section 7.1).
            format!("{encrypted}..{}.{claims}.{signature}", "A".repeat(16)),
            format!("{header}..{}.{claims}.{signature}", "A".repeat(16)),
            format!("{header}.{claims}.{signature}.{claims}.{signature}"),
            format!("{good}.{good}"),
            format!("{good}~"),
        ] {
            forger.assert_never_taken(&token).await;
        }
        let object = json!({ "protected": header, "payload": claims, "signature": signature });
        forger.assert_never_taken(&object.to_string()).await;
    }
}

#[tokio::test]
async fn a_large_token_is_refused_wherever_it_is_large() {
    for forger in Forger::all().await {
        let long = "A".repeat(LARGE);
        let good = forger.client.credential();
        let message = forger.message();
        for token in [
            format!("ey{long}"),
            ".".repeat(LARGE),
            format!("ey{}", ".ey".repeat(LARGE / 3 + 1)),
            forger.token(&with(forger.header.clone(), "kid", long.as_str()), &forger.claims),
            forger.token(&with(forger.header.clone(), "x", long.as_str()), &forger.claims),
            forger.token(&forger.header, &with(forger.claims.clone(), "username", long.as_str())),
            forger.token(&forger.header, &with(forger.claims.clone(), "x", long.as_str())),
            signed(&message, &vec![7; LARGE]),
            format!("{good}{long}"),
            good.repeat(LARGE / good.len() + 1),
        ] {
            forger.assert_never_taken(&token).await;
            // No more than the head of a request may have.
            forger.assert_refused(&token[..LARGE], "invalid_token").await;
        }
        forger.assert_accepted(&good).await;
    }
}

#[tokio::test]
async fn no_large_or_broken_refresh_token_is_taken() {
    let forger = Forger::of(JwtAlgorithm::Hs256).await;
    let good = forger.client.renewal();
    let long = "A".repeat(LARGE);
    for token in [
        long.clone(),
        format!("dur_{long}"),
        format!("{good}{long}"),
        format!("{good}\n"),
        format!("\n{good}"),
        format!(" {good}"),
        format!("{good}="),
        format!("{good}\0"),
        good.replace("dur_", "DUR_"),
        good.replace("dur_", ""),
        forger.client.credential(),
        format!("{}\n", forger.client.credential()),
        String::new(),
    ] {
        let request = Request::post("/jwt/refresh").json(&json!({ "refresh_token": token }));
        let response = forger.server.send(request).await;
        assert!((400..500).contains(&response.status), "{response} for {token:.80}");
        let request = Request::post("/jwt/refresh").header("Cookie", format!("refresh_token={token}"));
        let response = forger.server.send(request).await;
        assert!((400..500).contains(&response.status), "{response} for {token:.80}");
    }
    forger.client.assert_goes_on().await;
}

#[tokio::test]
async fn a_token_with_a_line_break_is_refused() {
    for forger in Forger::all().await {
        let good = forger.client.credential();
        let (message, signature) = good.rsplit_once('.').expect("a signature");
        for token in [
            format!("{message}.\n{signature}"),
            format!("{message}\r\n .{signature}"),
            format!("{message}.{signature}\0"),
            format!("{}\n{}", &good[..10], &good[10..]),
            format!("{good}\u{0b}"),
            format!("{good}\u{a0}"),
            format!("\u{feff}{good}"),
            format!("{good},{good}"),
            format!("{good} {good}"),
            format!("\"{good}\""),
            format!("Bearer {good}"),
        ] {
            forger.assert_never_taken(&token).await;
        }
        // The same inside: the signature is of these very bytes.
        let spaced = message_with_a_line_break(&forger);
        forger.assert_never_taken(&forger.key.sign(&spaced)).await;
    }
}

fn message_with_a_line_break(forger: &Forger) -> String {
    let message = message(&forger.header, &forger.claims);
    let (start, end) = message.split_at(message.len() - 8);
    format!("{start}\n{end}")
}
