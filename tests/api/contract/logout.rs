//! How a login is ended, and that it stays so.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use crate::support::{
    MINUTE,
    client::{Client, Mode, Pair, Transport},
    eventually,
    http::{Request, SetCookie},
    server::{ONE_NAME, TestServer},
};

promises! { of every pair:
    a_logout_ends_the_login,
    a_logout_ends_no_other_login,
    a_revoked_login_is_refused_on_every_node,
    a_revoked_login_stays_so_when_the_server_starts_anew,
    a_dead_credential_cannot_log_out,
}

promises! { of every mode:
    a_logout_by_bearer_clears_no_cookie,
}

async fn a_logout_ends_the_login(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    let before = client.clone();
    before.profile().await.ok();

    let response = client.logout().await.expect(204);

    assert_eq!(response.text(), "");
    before.assert_refused(pair.mode.ended()).await;
}

async fn a_logout_ends_no_other_login(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    let others = Client::in_every_way(&server, "ada").await;

    client.logout().await.expect(204);

    for mut other in others {
        other.profile().await.ok();
        other.refresh().await.ok();
    }
}

async fn a_revoked_login_is_refused_on_every_node(pair: Pair) {
    let server = TestServer::with(&[ONE_NAME]).await;
    let other = server.another_node().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    let there = client.at(&other);
    there.profile().await.ok();

    client.logout().await.expect(204);

    // The contract grants the other node its staleness bound.
    eventually("the other node's refusal", async || there.profile().await.status == 401).await;
    there.assert_refused(pair.mode.ended()).await;
}

async fn a_revoked_login_stays_so_when_the_server_starts_anew(pair: Pair) {
    let mut server = TestServer::with(&[ONE_NAME]).await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    let living = Client::signed_in(&server, pair, "ada").await;
    let before = client.clone();
    client.logout().await.expect(204);

    server.stop().await;
    let server = server.another_node().await;

    before.at(&server).assert_refused(pair.mode.ended()).await;
    living.at(&server).profile().await.ok();
}

async fn a_dead_credential_cannot_log_out(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    let before = client.clone();
    client.logout().await.expect(204);

    // No CSRF token is asked of a cookie that is dead.
    let request = before.without_csrf("POST", &before.path("logout"));
    let response = server.send(request).await;

    let response = response.problem(401, pair.mode.ended());
    assert_eq!(cleared(response.set_cookies()), cookies_of(pair));
}

/// The names of the cookies cleared; that nothing is set instead is asserted.
pub fn cleared(cookies: Vec<SetCookie>) -> Vec<String> {
    assert!(cookies.iter().all(SetCookie::is_removal), "{cookies:?}");
    cookies.into_iter().map(|cookie| cookie.name).collect()
}

/// The names of the cookies that travel in a pair.
pub fn cookies_of(pair: Pair) -> Vec<String> {
    match pair.transport {
        Transport::Cookie => pair.mode.cookie_names().iter().map(ToString::to_string).collect(),
        Transport::Bearer => Vec::new(),
    }
}

async fn a_logout_by_bearer_clears_no_cookie(mode: Mode) {
    let server = TestServer::start().await;
    let browser = Client::of_new_user(&server, mode.by(Transport::Cookie), "ada").await;
    let mut app = Client::of_new_user(&server, mode.by(Transport::Bearer), "grace").await;
    let path = mode.path("logout");

    // The browser's cookies ride along, and nobody asks for a CSRF token.
    let cookies = browser.jar.header_for(&path).expect("cookies");
    let both = app.request("POST", &path).header("Cookie", cookies);
    let response = app.send(both.clone()).await.expect(204);
    assert_eq!(response.set_cookies(), []);
    let response = app.send(both).await;
    let response = response.problem(401, mode.ended());
    assert_eq!(response.set_cookies(), []);

    browser.profile().await.ok();
}

#[tokio::test]
async fn a_session_cookie_that_nobody_knows_is_cleared() {
    let server = TestServer::start().await;
    let request = Request::post("/session/logout").header("Cookie", "sessionid=dus_nonsense");

    let response = server.send(request).await;

    let response = response.problem(401, "session_expired");
    assert_eq!(cleared(response.set_cookies()), ["sessionid"]);
}

#[tokio::test]
async fn an_access_token_cookie_that_nobody_signed_is_cleared() {
    let server = TestServer::start().await;
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"at+jwt","kid":"another"}"#);
    let request = Request::post("/jwt/logout").header("Cookie", format!("access_token={header}.nonsense"));

    let response = server.send(request).await;

    let response = response.problem(401, "invalid_token");
    assert_eq!(cleared(response.set_cookies()), ["access_token", "refresh_token"]);
}

#[tokio::test]
async fn a_refresh_token_in_a_body_logs_out() {
    let server = TestServer::start().await;
    server.user("ada").await;
    let client = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    let body = json!({ "refresh_token": client.renewal() });

    // Nobody is authenticated by a cookie: none is cleared.
    let request = Request::post("/jwt/logout").json(&body);
    let response = server.send(request.clone()).await.expect(204);

    assert_eq!(response.set_cookies(), []);
    client.assert_refused("token_revoked").await;
    server.send(request).await.problem(401, "token_revoked");
}

#[tokio::test]
async fn an_expired_access_token_lets_the_refresh_token_log_out() {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    server.clock.advance(20 * MINUTE);
    let body = json!({ "refresh_token": client.renewal() });

    let request = client.request("POST", "/jwt/logout");
    server.send(request.clone()).await.problem(401, "token_expired");
    server.send(request.json(&body)).await.expect(204);

    client.refresh().await.problem(401, "token_revoked");
}

#[tokio::test]
async fn a_refresh_token_cookie_logs_out_when_the_access_token_has_gone_or_expired() {
    let server = TestServer::start().await;
    server.user("ada").await;
    for gone in [true, false] {
        let mut client = Client::signed_in(&server, Pair::JWT_COOKIE, "ada").await;
        let before = client.clone();
        if gone {
            client.jar.remove("access_token");
        } else {
            server.clock.advance(20 * MINUTE);
        }

        let unproved = client.without_csrf("POST", "/jwt/logout");
        server.send(unproved).await.problem(403, "csrf_failed");
        let response = client.logout().await.expect(204);

        assert_eq!(cleared(response.set_cookies()), cookies_of(client.pair));
        let mut before = before;
        before.refresh().await.problem(401, "token_revoked");
    }
}

#[tokio::test]
async fn a_forged_access_token_keeps_the_refresh_token_from_logging_out() {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let body = json!({ "refresh_token": client.renewal() });

    let request = Request::post("/jwt/logout").bearer("a.b.c").json(&body);
    server.send(request).await.problem(401, "invalid_token");

    client.refresh().await.ok();
}

#[tokio::test]
async fn an_access_token_stays_revoked_when_the_setting_of_its_life_has_changed() {
    let server = TestServer::with(&[ONE_NAME, ("ACCESS_TOKEN_TTL", "20m")]).await;
    let mut client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let before = client.clone();

    let shorter = server.another_node_with(&[("ACCESS_TOKEN_TTL", "1m")]).await;
    client = client.at(&shorter);
    client.logout().await.expect(204);
    server.clock.advance(10 * MINUTE);

    // One that starts now knows of it from the database alone.
    let later = server.another_node().await;
    before.at(&later).assert_refused("token_revoked").await;
}
