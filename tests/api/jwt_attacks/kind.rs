//! A credential of one kind where another is asked for.

use dualauth::config::JwtAlgorithm;
use serde_json::json;

use super::forger::Forger;
use crate::support::{
    client::{Client, Pair},
    http::Request,
    with,
};

#[tokio::test]
async fn no_other_credential_is_an_access_token() {
    let forger = Forger::of(JwtAlgorithm::Hs256).await;
    forger.server.user("grace").await;
    let session = Client::signed_in(&forger.server, Pair::SESSION_BEARER, "grace").await;
    let cookie = Client::signed_in(&forger.server, Pair::SESSION_COOKIE, "grace").await;
    let csrf = Client::signed_in(&forger.server, Pair::JWT_COOKIE, "grace").await;
    for other in [forger.client.renewal(), csrf.renewal(), session.credential(), forger.key.kid()] {
        let request = Request::get("/jwt/profile").bearer(&other);
        forger.server.send(request).await.problem(401, "invalid_token").blames_a_token(true);
        for path in ["/jwt/profile", "/profile"] {
            let request = Request::get(path).header("Cookie", format!("access_token={other}"));
            forger.server.send(request).await.problem(401, "invalid_token");
        }
    }
    // Not in the characters that a Bearer token has: that is what it may be refused for.
    forger.assert_never_taken(&cookie.credential()).await;
    for client in [cookie, csrf] {
        forger.assert_never_taken(&client.csrf_token.expect("a CSRF token")).await;
    }
}

#[tokio::test]
async fn an_access_token_is_no_other_credential() {
    let forger = Forger::of(JwtAlgorithm::Hs256).await;
    let typed = |typ: &str| forger.token(&with(forger.header.clone(), "typ", typ), &forger.claims);
    for token in [forger.client.credential(), typed("rt+jwt"), typed("JWT")] {
        let body = json!({ "refresh_token": token });
        let request = Request::post("/jwt/refresh").json(&body);
        forger.server.send(request).await.problem(401, "invalid_token");
        let request = Request::post("/jwt/refresh").header("Cookie", format!("refresh_token={token}"));
        forger.server.send(request).await.problem(401, "invalid_token");
        let request = Request::post("/jwt/logout").json(&body);
        forger.server.send(request).await.problem(401, "invalid_token");
        let request = Request::get("/session/profile").bearer(&token);
        forger.server.send(request).await.problem(401, "invalid_token").blames_a_token(true);
        for path in ["/session/profile", "/profile"] {
            let request = Request::get(path).header("Cookie", format!("sessionid={token}"));
            let response = forger.server.send(request).await;
            assert_eq!(response.status, 401, "{response}");
        }
        let request = Request::post("/session/refresh").bearer(&token);
        forger.server.send(request).await.problem(401, "invalid_token");
    }
    forger.client.assert_goes_on().await;
}
