//! When a login ends by itself.

use std::time::Duration;

use crate::support::{
    DAY, HOUR, MINUTE, SECOND,
    client::{Client, Mode, Pair},
    http::Response,
    server::{TestServer, beginning},
    text, time, with,
};

promises! { of every pair:
    an_idle_login_ends,
    a_login_ends_however_busy_it_is,
    a_remembered_login_ends_when_idle_for_longer,
    a_remembered_login_ends_however_busy_it_is,
    every_lifetime_is_a_setting,
}

/// Signs in, remembered or not.
async fn signed_in(server: &TestServer, pair: Pair, remember_me: bool) -> Client {
    server.user("ada").await;
    let mut client = Client::new(server, pair);
    let body = with(pair.credentials("ada"), "remember_me", remember_me);
    client.login(&body).await.ok();
    client
}

/// Asserts that time has ended the client's login.
async fn assert_over(client: &Client) {
    let profile = client.profile().await;
    let mut client = client.clone();
    let refresh = client.refresh().await;
    match client.pair.mode {
        Mode::Session => {
            profile.problem(401, "session_expired");
            refresh.problem(401, "session_expired");
        }
        Mode::Jwt => {
            profile.problem(401, "token_expired");
            refresh_token_is_over(refresh);
        }
    }
}

/// Whether a refresh token has expired with its login or been revoked by its end, the contract leaves open.
fn refresh_token_is_over(response: Response) {
    match text(&response.json()["code"]) {
        "token_expired" => response.problem(401, "token_expired"),
        _ => response.problem(401, "token_revoked"),
    };
}

async fn an_idle_login_ends(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = signed_in(&server, pair, false).await;

    server.clock.advance(30 * MINUTE - SECOND);
    client.refresh().await.ok();
    client.profile().await.ok();

    server.clock.advance(30 * MINUTE + 10 * SECOND);
    assert_over(&client).await;
}

async fn a_login_ends_however_busy_it_is(pair: Pair) {
    let server = TestServer::with(&[("SESSION_TTL", "1h")]).await;
    let mut client = signed_in(&server, pair, false).await;

    for step in [29 * MINUTE, 29 * MINUTE, 2 * MINUTE - SECOND] {
        server.clock.advance(step);
        client.refresh().await.ok();
        client.profile().await.ok();
    }
    server.clock.advance(SECOND);

    assert_over(&client).await;
}

async fn a_remembered_login_ends_when_idle_for_longer(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = signed_in(&server, pair, true).await;

    server.clock.advance(14 * DAY - SECOND);
    client.refresh().await.ok();
    client.profile().await.ok();

    server.clock.advance(14 * DAY + 10 * SECOND);
    assert_over(&client).await;
}

async fn a_remembered_login_ends_however_busy_it_is(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = signed_in(&server, pair, true).await;

    for step in [13 * DAY; 6].into_iter().chain([12 * DAY - SECOND]) {
        server.clock.advance(step);
        client.refresh().await.ok();
        client.profile().await.ok();
    }
    server.clock.advance(SECOND);

    assert_over(&client).await;
}

async fn every_lifetime_is_a_setting(pair: Pair) {
    let settings = [
        ("SESSION_IDLE_TTL", "90s"),
        ("SESSION_TTL", "10m"),
        ("REMEMBER_IDLE_TTL", "2h"),
        ("REMEMBER_TTL", "3d"),
        ("ACCESS_TOKEN_TTL", "1m"),
    ];
    let server = TestServer::with(&settings).await;
    server.user("ada").await;

    for (remember_me, idle, whole) in [(false, 90 * SECOND, 10 * MINUTE), (true, 2 * HOUR, 3 * DAY)] {
        let body = with(pair.credentials("ada"), "remember_me", remember_me);
        let body = Client::new(&server, pair).login(&body).await.ok();
        let login = &body["login"];
        assert_eq!(time(&login["idle_expires_at"]), beginning() + idle);
        assert_eq!(time(&login["expires_at"]), beginning() + whole);
        if pair.mode == Mode::Jwt {
            assert_eq!(body["expires_in"], 60);
        }
    }
}

#[tokio::test]
async fn a_session_lives_on_while_it_is_used() {
    let server = TestServer::start().await;
    server.user("ada").await;
    for pair in [Pair::SESSION_COOKIE, Pair::SESSION_BEARER] {
        let client = Client::signed_in(&server, pair, "ada").await;
        for _ in 0..6 {
            server.clock.advance(25 * MINUTE);
            client.profile().await.ok();
        }
        server.clock.advance(30 * MINUTE + 10 * SECOND);
        assert_over(&client).await;
    }
}

#[tokio::test]
async fn a_sessions_idle_time_is_kept_to_ten_seconds() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;

    server.clock.advance(15 * SECOND);
    let seen = time(&client.profile().await.ok()["auth"]["expires_at"]);
    let idle_end = beginning() + 15 * SECOND + 30 * MINUTE;
    assert!(seen <= idle_end && seen >= idle_end - 10 * SECOND, "{seen}");

    server.clock.advance(30 * MINUTE - 11 * SECOND);
    client.profile().await.ok();
}

#[tokio::test]
async fn an_access_token_in_use_does_not_lengthen_its_login() {
    let server = TestServer::start().await;
    server.user("ada").await;
    for pair in [Pair::JWT_COOKIE, Pair::JWT_BEARER] {
        let mut client = Client::signed_in(&server, pair, "ada").await;
        server.clock.advance(14 * MINUTE);
        client.profile().await.ok();
        server.clock.advance(16 * MINUTE);
        refresh_token_is_over(client.refresh().await);
    }
}

#[tokio::test]
async fn an_access_token_ends_on_the_second() {
    let server = TestServer::start().await;
    server.user("ada").await;
    for pair in [Pair::JWT_COOKIE, Pair::JWT_BEARER] {
        let client = Client::signed_in(&server, pair, "ada").await;
        server.clock.advance(15 * MINUTE - SECOND);
        client.profile().await.ok();
        server.clock.advance(SECOND);
        for path in ["/jwt/profile", "/profile"] {
            let response = client.get(path).await;
            response.problem(401, "token_expired");
        }
    }
}

#[tokio::test]
async fn an_access_token_never_outlives_its_login() {
    let settings = [("SESSION_IDLE_TTL", "10m"), ("SESSION_TTL", "10m")];
    let server = TestServer::with(&settings).await;
    server.user("ada").await;
    for fraction in [0, 400, 600, 999] {
        server.clock.advance(Duration::from_millis(fraction));
        let mut client = Client::new(&server, Pair::JWT_BEARER);
        let body = client.login(&client.pair.credentials("ada")).await.ok();

        let login_end = time(&body["login"]["expires_at"]);
        let token_end = time(&client.profile().await.ok()["auth"]["expires_at"]);
        assert!(token_end <= login_end, "{token_end} {login_end}");
        assert!(token_end > login_end - SECOND, "{token_end} {login_end}");
        let remaining = body["expires_in"].as_u64().expect("seconds");
        assert!((599..=600).contains(&remaining), "{remaining}");
    }
}

#[tokio::test]
async fn a_token_that_is_handed_out_again_lives_no_longer_than_the_first() {
    let server = TestServer::start().await;
    server.user("ada").await;
    for pair in [Pair::JWT_COOKIE, Pair::JWT_BEARER] {
        let mut first = Client::signed_in(&server, pair, "ada").await;
        let late = first.clone();
        server.clock.advance(10 * MINUTE);
        first.refresh().await.ok();
        let end = time(&first.profile().await.ok()["auth"]["expires_at"]);
        assert_eq!(end, server.clock.now() + 15 * MINUTE);

        for _ in 0..2 {
            server.clock.advance(14 * SECOND);
            let mut late = late.clone();
            let remaining = late.refresh().await.ok()["expires_in"].as_i64().expect("seconds");
            assert_eq!(time(&late.profile().await.ok()["auth"]["expires_at"]), end);
            assert_eq!(remaining, (end - server.clock.now()).num_seconds());
        }
    }
}

#[tokio::test]
async fn a_revoked_access_token_is_refused_as_long_as_it_would_have_lived() {
    let server = TestServer::start().await;
    server.user("ada").await;
    for pair in [Pair::JWT_COOKIE, Pair::JWT_BEARER] {
        let first = Client::signed_in(&server, pair, "ada").await;
        let mut client = first.clone();
        server.clock.advance(10 * MINUTE);
        client.refresh().await.ok();
        let renewed = client.clone();
        client.logout().await.expect(204);

        let refused = async |client: &Client, code: &str| {
            for path in ["/jwt/profile", "/profile"] {
                client.get(path).await.problem(401, code);
            }
        };
        for _ in 0..4 {
            refused(&first, "token_revoked").await;
            server.clock.advance(MINUTE);
        }
        for minute in 4..15 {
            // What a node has forgotten, it forgot while the first one was still about.
            refused(&renewed, "token_revoked").await;
            refused(&first, if minute < 5 { "token_revoked" } else { "token_expired" }).await;
            server.clock.advance(MINUTE);
        }
        refused(&renewed, "token_expired").await;
    }
}
