//! How a token is written down: in base64url, once, and not without end.

use dualauth::config::JwtAlgorithm;
use serde_json::json;

use super::forger::Forger;
use crate::support::{
    http::Request,
    signer::{message, signed},
    with,
};

/// Nearly as large as the head of a request may be.
const LARGE: usize = 30_000;

#[tokio::test]
async fn a_token_has_one_spelling() {
    let forger = Forger::of(JwtAlgorithm::Hs256).await;
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
    for signature in [format!("{signature}="), format!("{signature}A"), format!("={signature}")] {
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

#[tokio::test]
async fn a_large_token_is_refused_wherever_it_is_large() {
    let forger = Forger::of(JwtAlgorithm::Hs256).await;
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
    let forger = Forger::of(JwtAlgorithm::Hs256).await;
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

fn message_with_a_line_break(forger: &Forger) -> String {
    let message = message(&forger.header, &forger.claims);
    let (start, end) = message.split_at(message.len() - 8);
    format!("{start}\n{end}")
}
