//! Tokens that are not quite ours: every one is refused, by either transport and whatever key signs, also where
//! jsonwebtoken would accept it.

mod claims;
mod confusion;
mod forger;
mod form;
mod header;
mod kind;
mod signature;
mod ways;

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use crate::support::{
    assert_members,
    client::{Client, Pair},
    server::{ONE_NAME, TestServer, beginning},
    signer::part,
    text,
};

#[tokio::test]
async fn a_token_says_exactly_what_the_contract_says() {
    let server = TestServer::start().await;
    let id = server.user("ada").await;
    let mut ids = BTreeSet::new();
    for pair in [Pair::JWT_COOKIE, Pair::JWT_BEARER] {
        let mut client = Client::new(&server, pair);
        let body = client.login(&pair.credentials("ada")).await.ok();
        let token = client.credential();

        let header = part(&token, 0);
        assert_members(&header, &["alg", "typ", "kid"]);
        assert_eq!(header["alg"], "HS256");
        assert_eq!(header["typ"], "at+jwt");
        assert!(!text(&header["kid"]).is_empty());

        let claims = part(&token, 1);
        let names = ["iss", "aud", "sub", "iat", "exp", "jti", "sid", "client_id", "username", "roles"];
        assert_members(&claims, &names);
        let written = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let written = String::from_utf8(written.expect("claims")).expect("JSON");
        let places = names.map(|name| written.find(&format!("\"{name}\":")));
        assert!(places.is_sorted(), "in another order: {written}");
        assert_eq!(claims["client_id"], "dualauth");
        let this_server = format!("http://{}", server.address());
        assert_eq!(claims["iss"], this_server);
        assert_eq!(claims["aud"], this_server);
        assert_eq!(claims["sub"], id);
        assert_eq!(claims["iat"], beginning().timestamp());
        assert_eq!(claims["exp"], beginning().timestamp() + 900);
        assert_eq!(claims["sid"], body["login"]["id"]);
        assert_eq!(claims["username"], "ada");
        assert_eq!(claims["roles"], body["user"]["roles"]);
        ids.insert(text(&claims["jti"]).to_owned());

        client.refresh().await.ok();
        ids.insert(text(&part(&client.credential(), 1)["jti"]).to_owned());
    }
    assert_eq!(ids.len(), 4, "every token has an id of its own");
}

#[tokio::test]
async fn who_a_token_is_from_and_for_are_settings() {
    let public = ("PUBLIC_URL", "https://auth.example.org");
    for (settings, issuer, audience, client_id) in [
        (&[public][..], "https://auth.example.org", "https://auth.example.org", "dualauth"),
        (
            &[
                public,
                ("JWT_ISSUER", "https://id.example.org"),
                ("JWT_AUDIENCE", "the api"),
                ("JWT_CLIENT_ID", "https://app.example.org/ \"1\""),
            ],
            "https://id.example.org",
            "the api",
            "https://app.example.org/ \"1\"",
        ),
    ] {
        let server = TestServer::with(settings).await;
        let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
        let claims = part(&client.credential(), 1);
        assert_eq!((&claims["iss"], &claims["aud"]), (&json!(issuer), &json!(audience)));
        assert_eq!(claims["client_id"], client_id);
        client.profile().await.ok();
    }
}

#[tokio::test]
async fn a_token_for_another_audience_is_refused() {
    let server = TestServer::with(&[ONE_NAME, ("JWT_AUDIENCE", "this api")]).await;
    let other = TestServer::with(&[ONE_NAME, ("JWT_AUDIENCE", "that api")]).await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;

    let response = client.at(&other).profile().await;

    response.problem(401, "invalid_token");
}
