//! `POST /session/token`: a signed snapshot of a session's login.

use serde_json::json;

use super::{listed, modes, token, with_token};
use crate::nodes::sql;
use crate::support::{
    DAY, HOUR, MINUTE, PASSWORD, SECOND, assert_members,
    client::{Client, Mode, Pair},
    http::Request,
    server::{METRICS, ONE_NAME, TestServer},
    signer, text, with,
};

const SESSIONS: [Pair; 2] = [Pair::SESSION_COOKIE, Pair::SESSION_BEARER];

#[tokio::test]
async fn a_session_gets_an_access_token_of_the_same_login_and_nothing_else() {
    let server = TestServer::start().await;
    server.user("ada").await;
    for pair in SESSIONS {
        let session = Client::signed_in(&server, pair, "ada").await;
        let answer = token(&session, &server).await.not_stored();
        assert_eq!(answer.set_cookies(), []);
        let answer = answer.ok();
        assert_members(&answer, &["access_token", "token_type", "expires_in"]);
        assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(900)));

        let app = with_token(&server, &session).await;
        let profile = app.profile().await.ok();
        let of_session = session.profile().await.ok();
        assert_eq!(profile["user_id"], of_session["user_id"]);
        for member in ["login_id", "amr", "acr", "auth_time"] {
            assert_eq!(profile["auth"][member], of_session["auth"][member], "{member}");
        }
        assert_eq!(
            (&profile["auth"]["mode"], &profile["auth"]["transport"]),
            (&json!("jwt"), &json!("bearer"))
        );
        for path in ["/profile", "/account", "/verify", "/account/logins", "/jwt/csrf"] {
            app.get(path).await.expect(200);
        }
        let claims = signer::part(&app.credential(), 1);
        assert_eq!(claims["sid"], of_session["auth"]["login_id"]);
        // What opens the session is not in it, nor is anything made of it.
        assert!(!claims.to_string().contains(&session.credential()), "{claims}");
        assert_members(
            &claims,
            &[
                "iss",
                "aud",
                "sub",
                "iat",
                "exp",
                "jti",
                "sid",
                "client_id",
                "auth_time",
                "acr",
                "amr",
                "username",
                "roles",
            ],
        );
        assert_eq!(modes(&session).await, ["session"], "it can't be renewed in the other mode");
    }
    let session = Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await;
    assert_eq!(listed(&session).await.len(), 3, "no login came of a token");
}

#[tokio::test]
async fn a_token_ends_with_the_login_at_the_latest_idle_or_absolute() {
    let server = TestServer::with(&[("SESSION_IDLE_TTL", "6m"), ("SESSION_TTL", "1h")]).await;
    server.user("ada").await;
    for pair in SESSIONS {
        let mut session = Client::signed_in(&server, pair, "ada").await;
        assert_eq!(token(&session, &server).await.ok()["expires_in"], 360, "idle");
        for _ in 0..11 {
            server.clock.advance(5 * MINUTE);
            session.refresh().await.ok();
        }
        let app = with_token(&server, &session).await;
        assert_eq!(token(&session, &server).await.ok()["expires_in"], 300, "absolute");
        server.clock.advance(5 * MINUTE - SECOND);
        app.profile().await.ok();
        server.clock.advance(SECOND);
        app.profile().await.problem(401, "token_expired");
        token(&session, &server).await.problem(401, "session_expired");
    }
}

#[tokio::test]
async fn a_remembered_session_gives_tokens_of_the_usual_life() {
    let server = TestServer::start().await;
    server.user("ada").await;
    let mut session = Client::new(&server, Pair::SESSION_COOKIE);
    session.login(&with(Pair::SESSION_COOKIE.credentials("ada"), "remember_me", true)).await.ok();
    server.clock.advance(13 * DAY);
    assert_eq!(token(&session, &server).await.ok()["expires_in"], 900);
    // To ask is a use of the session.
    server.clock.advance(13 * DAY);
    session.profile().await.ok();
}

#[tokio::test]
async fn only_a_session_gets_one_and_only_a_page_that_may() {
    let server = TestServer::with(&[("ALLOWED_ORIGINS", "https://app.example.org")]).await;
    server.user("ada").await;
    let cookie = Client::signed_in(&server, Pair::SESSION_COOKIE, "ada").await;
    let bearer = Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await;
    let without = cookie.without_csrf("POST", "/session/token");
    server.send(without.clone()).await.problem(403, "csrf_failed");
    server.send(without.header("X-CSRF-Token", "x")).await.problem(403, "csrf_failed");
    for client in [&cookie, &bearer] {
        let from = |origin: &str| client.request("POST", "/session/token").header("Origin", origin);
        server.send(from("https://evil.example.org")).await.problem(403, "cross_origin");
        server.send(from("null")).await.problem(403, "cross_origin");
        let allowed = server.send(from("https://app.example.org")).await.expect(200);
        assert_eq!(allowed.header("access-control-allow-origin"), Some("https://app.example.org"));
        server.send(client.request("GET", "/session/token")).await.problem(405, "method_not_allowed");
    }
    server.send(Request::post("/session/token")).await.problem(401, "not_authenticated");
    for pair in [Pair::JWT_BEARER, Pair::JWT_COOKIE] {
        let client = Client::signed_in(&server, pair, "ada").await;
        let code = if pair.by_cookie() { "not_authenticated" } else { "invalid_token" };
        token(&client, &server).await.problem(401, code);
    }
}

#[tokio::test]
async fn a_token_opens_no_route_of_sessions_and_renews_nothing() {
    let server = TestServer::start().await;
    let session = Client::of_new_user(&server, Pair::SESSION_COOKIE, "ada").await;
    let app = with_token(&server, &session).await;
    for (method, path) in [
        ("GET", "/session/profile"),
        ("POST", "/session/token"),
        ("POST", "/session/refresh"),
        ("POST", "/session/step-up"),
        ("GET", "/session/data"),
        ("POST", "/session/logout"),
        ("GET", "/session/csrf"),
    ] {
        let request = app.request(method, path).json(&json!({ "password": PASSWORD }));
        server.send(request).await.problem(401, "invalid_token");
    }
    let as_refresh = json!({ "refresh_token": app.credential() });
    server.send(Request::post("/jwt/refresh").json(&as_refresh)).await.problem(401, "invalid_token");
    // Nor does it become one of the mode by a step-up: there is nothing that could be replaced.
    let answer = server.send(app.step_up_request(PASSWORD)).await;
    answer.problem(409, "conflict");
    session.assert_goes_on().await;
}

#[tokio::test]
async fn whatever_changes_the_roles_is_in_the_next_token_and_revokes_the_last() {
    let server = TestServer::start().await;
    let session = Client::of_new_user(&server, Pair::SESSION_COOKIE, "ada").await;
    let app = with_token(&server, &session).await;
    sql(&server, "update users set roles = '{user,admin}'").await;
    crate::nodes::assert_refused_in_time(&app, std::time::Instant::now()).await;
    app.profile().await.problem(401, "token_revoked");
    let renewed = with_token(&server, &session).await;
    assert_eq!(renewed.profile().await.ok()["roles"], json!(["user", "admin"]));
}

#[tokio::test]
async fn a_revocation_is_known_for_as_long_as_a_token_may_live() {
    let server = TestServer::with(&[ONE_NAME, ("ACCESS_TOKEN_TTL", "1h"), ("SESSION_IDLE_TTL", "2h")]).await;
    for pair in SESSIONS {
        let mut session = Client::of_new_user(&server, pair, &format!("ada-{}", pair.transport.name())).await;
        server.clock.advance(MINUTE);
        let app = with_token(&server, &session).await;
        app.profile().await.ok();
        session.logout().await.expect(204);
        app.profile().await.problem(401, "token_revoked");
        // A node that begins now knows of nothing but what the feed has kept.
        server.clock.advance(HOUR - 2 * SECOND);
        let late = server.another_node().await;
        app.at(&late).profile().await.problem(401, "token_revoked");
        server.clock.advance(2 * SECOND);
        app.at(&late).profile().await.problem(401, "token_expired");
    }
}

#[tokio::test]
async fn a_token_logs_the_session_out_too() {
    let server = TestServer::start().await;
    for pair in SESSIONS {
        let session = Client::of_new_user(&server, pair, &format!("ada-{}", pair.transport.name())).await;
        with_token(&server, &session).await.logout().await.expect(204);
        session.assert_refused(Mode::Session.ended()).await;
    }
}

#[tokio::test]
async fn exchanges_are_counted_by_what_came_of_them() {
    let server = TestServer::with(&[METRICS]).await;
    let session = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    token(&session, &server).await.ok();
    let made = super::code(&server, &session).await;
    server.send(super::taking_over(&made, Pair::SESSION_BEARER)).await.expect(409);
    server.send(super::taking_over(&made, Pair::JWT_BEARER)).await.expect(200);
    server.send(super::taking_over(&made, Pair::JWT_BEARER)).await.expect(401);
    let count = async |operation: &str, outcome: &str| {
        let name = format!("dualauth_exchanges_total{{operation=\"{operation}\",outcome=\"{outcome}\"}}");
        server.metric(&name).await
    };
    assert_eq!(count("token", "done").await, 1.0);
    assert_eq!(count("handoff", "done").await, 1.0);
    assert_eq!(count("login", "done").await, 1.0);
    assert_eq!(count("login", "conflict").await, 1.0);
    assert_eq!(count("login", "challenge_expired").await, 1.0);
    let sign_in = r#"dualauth_sign_ins_total{mode="jwt",transport="bearer",outcome="started"}"#;
    assert_eq!(server.metric(sign_in).await, 0.0, "nobody signed in");
    assert_eq!(text(&session.profile().await.ok()["username"]), "ada");
}
