//! What the header says that might lead elsewhere: a key's name, or its place.

use std::net::TcpListener;

use aws_lc_rs::hmac;
use dualauth::config::JwtAlgorithm;

use super::forger::Forger;
use crate::support::{
    signer::{Role, key, message, signed},
    with,
};

#[tokio::test]
async fn a_token_that_names_another_key_is_refused() {
    let forger = Forger::of(JwtAlgorithm::EdDsa).await;
    for kid in [
        "another",
        "/dev/null",
        "file:///dev/null",
        "https://evil.example.org/key.pem",
        "x' union select 'secret' --",
        "'; drop table signing_keys; --",
        // As ours are named, and so looked for.
        &"A".repeat(forger.key.kid().len()),
    ] {
        let header = with(forger.header.clone(), "kid", kid);
        forger.assert_header_refused(&header).await;
        // Whoever finds the key by such a name may find an empty one.
        let message = message(&with(header, "alg", "HS256"), &forger.claims);
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b""), message.as_bytes());
        forger.assert_refused(&signed(&message, mac.as_ref()), "invalid_token").await;
    }
    let kept: i64 = sqlx::query_scalar("select count(*) from signing_keys")
        .fetch_one(&mut forger.server.sql().await)
        .await
        .expect("the table is still there");
    assert!(kept >= 1);
}

#[tokio::test]
async fn a_token_is_verified_by_the_key_that_it_names_and_by_no_other() {
    let forger = Forger::after_a_rotation().await;
    // A node that has heard of the next rotation before this one signs with it already.
    let live = [Role::Active, Role::Superseded, Role::Next].map(|role| key(JwtAlgorithm::EdDsa, role));
    for named in live {
        let header = with(forger.header.clone(), "kid", named.kid());
        for signing in live {
            let token = signing.token(&header, &forger.claims);
            if signing.kid() == named.kid() {
                forger.assert_accepted(&token).await;
            } else {
                forger.assert_refused(&token, "invalid_token").await;
            }
        }
    }
}

#[tokio::test]
async fn no_token_makes_the_server_fetch_a_key() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a listener");
    elsewhere.set_nonblocking(true).expect("it does not wait");
    let url = format!("http://{}/keys.json", elsewhere.local_addr().expect("an address"));
    let forger = Forger::of(JwtAlgorithm::EdDsa).await;
    let strange = key(forger.key.algorithm, Role::Strange);
    let pointing = |member: &str| with(forger.header.clone(), member, url.as_str());
    for header in [
        pointing("kid"),
        pointing("jku"),
        pointing("x5u"),
        with(pointing("jku"), "kid", strange.kid()),
        with(pointing("x5u"), "kid", strange.kid()),
    ] {
        forger.assert_refused(&strange.token(&header, &forger.claims), "invalid_token").await;
    }
    let visit = elsewhere.accept().map(|(_, from)| from);
    assert!(visit.is_err(), "it was fetched: {visit:?}");
}
