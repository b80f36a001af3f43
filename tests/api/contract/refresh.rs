//! New credentials for old.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dualauth::crypto::{AppSecret, MacKey};
use serde_json::json;

use crate::nodes::sql;
use crate::support::{
    MINUTE, SECOND, assert_members,
    client::{Client, Mode, Pair},
    http::Request,
    server::{APP_SECRET, ONE_NAME, TestServer, beginning},
    text, time,
};

use super::login::members;

promises! { of every pair:
    a_refresh_answers_like_a_login,
    a_refresh_needs_no_body,
    a_login_refreshed_is_the_same_login,
    every_credential_replaced_within_the_grace_gets_the_current_one,
    an_answer_that_was_lost_can_be_asked_for_again,
    refreshes_at_once_agree_on_the_successor,
    what_was_replaced_works_on_for_the_grace,
    who_signs_out_with_what_was_replaced_ends_the_login,
    what_was_replaced_before_the_grace_is_refused,
    the_grace_is_a_setting,
    without_a_grace_what_was_replaced_is_refused_at_once,
    of_more_than_sixty_four_in_the_grace_the_oldest_are_refused,
}

promises! { of every cookie:
    a_login_by_a_cookie_in_its_grace_replaces_the_login,
}

promises! { of every refresh token:
    a_refresh_token_used_again_later_ends_the_login,
    a_refresh_token_older_than_the_previous_ends_the_login,
    a_forged_refresh_token_ends_nothing,
    who_has_the_database_and_the_secret_can_make_no_refresh_token,
}

async fn a_refresh_answers_like_a_login(pair: Pair) {
    let server = TestServer::start().await;
    server.user("ada").await;
    let mut client = Client::new(&server, pair);
    let login = client.login(&pair.credentials("ada")).await.ok();
    let before = client.clone();
    server.clock.advance(10 * MINUTE);

    let response = client.refresh().await.not_stored();

    let cookies = response.set_cookies();
    let words = response.text();
    let body = response.ok();
    assert_members(&body, members(pair));
    assert_eq!(body["user"], login["user"]);
    assert_ne!(client.credential(), before.credential());
    assert_ne!(client.renewal(), before.renewal());
    if pair.by_cookie() {
        let names: Vec<&str> = cookies.iter().map(|cookie| cookie.name.as_str()).collect();
        assert_eq!(names, pair.mode.cookie_names());
        for cookie in cookies {
            assert!(!words.contains(&cookie.value), "{words}");
        }
    } else {
        assert_eq!(cookies, []);
    }
    if pair == Pair::JWT_BEARER {
        assert_eq!(body["refresh_expires_in"], 86_400 - 600);
    }
    client.profile().await.ok();
}

async fn a_refresh_needs_no_body(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let request = match pair {
        // The one that has its token in no header.
        Pair::JWT_BEARER => client.refresh_request(),
        _ => client.request("POST", &client.path("refresh")),
    };
    server.send(request).await.ok();
}

async fn a_login_refreshed_is_the_same_login(pair: Pair) {
    let server = TestServer::start().await;
    server.user("ada").await;
    let mut client = Client::new(&server, pair);
    let before = client.login(&pair.credentials("ada")).await.ok();
    server.clock.advance(10 * MINUTE);

    let after = client.refresh().await.ok();

    for member in ["id", "mode", "transport", "remember_me", "created_at", "expires_at"] {
        assert_eq!(after["login"][member], before["login"][member], "{member}");
    }
    let idle_end = time(&after["login"]["idle_expires_at"]);
    assert_eq!(idle_end, beginning() + 40 * MINUTE);
}

/// What a client held each time, the oldest first, while it refreshed so often in such steps; and the client now.
async fn refreshed(
    mut client: Client,
    server: &TestServer,
    times: usize,
    step: Duration,
) -> (Vec<Client>, Client) {
    let mut replaced = Vec::new();
    for _ in 0..times {
        replaced.push(client.clone());
        server.clock.advance(step);
        client.refresh().await.ok();
    }
    (replaced, client)
}

/// What a refresh is refused with after the grace.
fn refusal(pair: Pair) -> &'static str {
    match pair.mode {
        Mode::Session => "session_expired",
        Mode::Jwt => "refresh_token_reused",
    }
}

async fn every_credential_replaced_within_the_grace_gets_the_current_one(pair: Pair) {
    let server = TestServer::start().await;
    let first = Client::of_new_user(&server, pair, "ada").await;
    let (replaced, mut current) = refreshed(first, &server, 5, 7 * SECOND).await;

    for client in replaced.iter().rev().chain(&replaced) {
        let mut tab = client.clone();
        tab.refresh().await.ok();
        assert_eq!(tab.renewal(), current.renewal());
        tab.profile().await.ok();
    }

    // It was not moved on by any of them.
    let before = current.clone();
    current.refresh().await.ok();
    assert_ne!(current.renewal(), before.renewal());
}

async fn an_answer_that_was_lost_can_be_asked_for_again(pair: Pair) {
    let server = TestServer::start().await;
    let first = Client::of_new_user(&server, pair, "ada").await;
    let mut answered = first.clone();
    answered.refresh().await.ok();

    for _ in 0..3 {
        server.clock.advance(9 * SECOND);
        let mut again = first.clone();
        again.refresh().await.ok();
        assert_eq!(again.renewal(), answered.renewal());
        again.profile().await.ok();
    }
    answered.assert_goes_on().await;
}

async fn what_was_replaced_works_on_for_the_grace(pair: Pair) {
    let server = TestServer::start().await;
    let first = Client::of_new_user(&server, pair, "ada").await;
    // What was looked at before may be remembered.
    let ends = text(&first.profile().await.ok()["auth"]["expires_at"]).to_owned();
    let replaced_at = beginning() + MINUTE;
    let (replaced, current) = refreshed(first, &server, 3, MINUTE / 3).await;
    let (youngest, oldest) = (&replaced[2], &replaced[1]);

    server.clock.advance(9 * SECOND);
    for client in [youngest, oldest] {
        for path in [&client.path("profile"), &client.path("csrf"), "/profile", "/account/logins", "/verify"]
        {
            client.get(path).await.expect(200);
        }
    }
    let profile = youngest.profile().await.ok();
    assert_eq!(profile["auth"]["login_id"], current.login_id().await);
    match pair.mode {
        Mode::Session => assert_eq!(time(&profile["auth"]["expires_at"]), replaced_at + 30 * SECOND),
        Mode::Jwt => assert_eq!(time(&profile["auth"]["expires_at"]), time(&json!(ends)) + 2 * MINUTE / 3),
    }
}

async fn who_signs_out_with_what_was_replaced_ends_the_login(pair: Pair) {
    let server = TestServer::start().await;
    let first = Client::of_new_user(&server, pair, "ada").await;
    let (replaced, current) = refreshed(first, &server, 2, 10 * SECOND).await;

    replaced[0].clone().logout().await.expect(204);

    for client in replaced.iter().chain([&current]) {
        client.assert_refused(pair.mode.ended()).await;
    }
}

async fn what_was_replaced_before_the_grace_is_refused(pair: Pair) {
    let server = TestServer::start().await;
    let first = Client::of_new_user(&server, pair, "ada").await;
    let (replaced, current) = refreshed(first, &server, 3, 16 * SECOND).await;

    match pair.mode {
        Mode::Session => {
            replaced[0].assert_refused("session_expired").await;
            // That ends nothing: the others don't notice.
            replaced[2].clone().assert_goes_on().await;
            current.assert_goes_on().await;
        }
        Mode::Jwt => {
            replaced[0].clone().refresh().await.problem(401, "refresh_token_reused");
            for client in replaced.iter().chain([&current]) {
                client.assert_refused("token_revoked").await;
            }
        }
    }
}

async fn without_a_grace_what_was_replaced_is_refused_at_once(pair: Pair) {
    let server = TestServer::with(&[("REFRESH_GRACE", "0s")]).await;
    let first = Client::of_new_user(&server, pair, "ada").await;
    first.profile().await.ok();
    first.clone().refresh().await.ok();

    if pair.mode == Mode::Session {
        first.assert_refused("session_expired").await;
    }
    first.clone().refresh().await.problem(401, refusal(pair));
}

async fn of_more_than_sixty_four_in_the_grace_the_oldest_are_refused(pair: Pair) {
    let server = TestServer::start().await;
    let first = Client::of_new_user(&server, pair, "ada").await;
    let (replaced, current) = refreshed(first, &server, 66, SECOND / 10).await;

    for client in replaced[2..].iter().rev() {
        let mut tab = client.clone();
        tab.refresh().await.ok();
        assert_eq!(tab.renewal(), current.renewal());
    }
    // Nobody knows whether it was replaced within the grace: nobody is taken for a thief.
    let code = if pair.mode == Mode::Jwt { "invalid_token" } else { refusal(pair) };
    replaced[1].clone().refresh().await.problem(401, code);
    current.profile().await.ok();
}

async fn a_login_by_a_cookie_in_its_grace_replaces_the_login(pair: Pair) {
    let server = TestServer::start().await;
    let first = Client::of_new_user(&server, pair, "ada").await;
    let (mut replaced, current) = refreshed(first, &server, 2, 16 * SECOND).await;
    // The one that says so by the refresh token alone.
    replaced.iter_mut().for_each(|client| client.jar.remove("access_token"));
    server.clock.advance(15 * SECOND);

    // That it was replaced before the grace proves nothing any more.
    let mut stranger = replaced[0].clone();
    stranger.login(&pair.credentials("ada")).await.ok();
    current.profile().await.ok();

    replaced[1].login(&pair.credentials("ada")).await.ok();
    current.assert_refused(pair.mode.ended()).await;
    replaced[1].profile().await.ok();
}

#[tokio::test]
async fn a_forged_session_id_is_unknown() {
    let server = TestServer::start().await;
    let first = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    let (_, current) = refreshed(first.clone(), &server, 1, SECOND).await;
    let attempt = async |token: &str| {
        let request = Request::get("/session/profile").bearer(token);
        server.send(request).await.problem(401, "invalid_token");
    };
    for good in [first.credential(), current.credential()] {
        for position in 0..good.len() {
            let mut token = good.clone().into_bytes();
            token[position] = if token[position] == b'A' { b'B' } else { b'A' };
            attempt(&String::from_utf8(token).expect("ASCII")).await;
        }
        for token in [&good[..good.len() - 1], &format!("{good}A"), &format!("{good}=")] {
            attempt(token).await;
        }
    }
    // What follows the root in one chain says nothing in another.
    let other = Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await;
    let (_, other) = refreshed(other, &server, 1, SECOND).await;
    let (root, rest) = (&current.credential()[..47], &other.credential()[47..]);
    attempt(&format!("{root}{rest}")).await;

    current.assert_goes_on().await;
}

#[tokio::test]
async fn a_refresh_token_in_its_grace_says_the_csrf_token() {
    let server = TestServer::start().await;
    let first = Client::of_new_user(&server, Pair::JWT_COOKIE, "ada").await;
    let (mut replaced, current) = refreshed(first, &server, 2, 10 * SECOND).await;

    for tab in &mut replaced {
        tab.jar.remove("access_token");
        tab.csrf_token = None;
        let body = tab.get("/jwt/csrf").await.not_stored().ok();
        tab.csrf_token = Some(text(&body["csrf_token"]).to_owned());
        tab.refresh().await.ok();
        assert_eq!(tab.renewal(), current.renewal());
    }
}

async fn refreshes_at_once_agree_on_the_successor(pair: Pair) {
    let server = TestServer::with(&[ONE_NAME]).await;
    let node = server.another_node().await;
    let first = Client::of_new_user(&server, pair, "ada").await;

    let tabs = (0..10).map(|tab| {
        let mut client = first.at(if tab % 2 == 0 { &server } else { &node });
        async move {
            client.refresh().await.ok();
            client.profile().await.ok();
            client.renewal()
        }
    });
    let mut successors = futures_util::future::join_all(tabs).await;

    successors.dedup();
    assert_eq!(successors.len(), 1);
}

async fn a_refresh_token_used_again_later_ends_the_login(pair: Pair) {
    let server = TestServer::start().await;
    let mut thief = Client::of_new_user(&server, pair, "ada").await;
    let mut owner = thief.clone();
    owner.refresh().await.ok();
    server.clock.advance(31 * SECOND);

    let response = thief.refresh().await;

    response.problem(401, "refresh_token_reused");
    owner.assert_refused("token_revoked").await;
}

async fn a_refresh_token_older_than_the_previous_ends_the_login(pair: Pair) {
    let server = TestServer::start().await;
    let mut thief = Client::of_new_user(&server, pair, "ada").await;
    let mut owner = thief.clone();
    owner.refresh().await.ok();
    server.clock.advance(20 * SECOND);
    owner.refresh().await.ok();
    server.clock.advance(20 * SECOND);

    let response = thief.refresh().await;

    response.problem(401, "refresh_token_reused");
    owner.assert_refused("token_revoked").await;
}

async fn the_grace_is_a_setting(pair: Pair) {
    let server = TestServer::with(&[("REFRESH_GRACE", "2m")]).await;
    let first = Client::of_new_user(&server, pair, "ada").await;
    first.clone().refresh().await.ok();

    server.clock.advance(119 * SECOND);
    first.clone().refresh().await.ok();
    server.clock.advance(2 * SECOND);
    let response = first.clone().refresh().await;
    response.problem(401, refusal(pair));
}

async fn a_forged_refresh_token_ends_nothing(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    let good = client.renewal();

    let attempt = async |token: &str| {
        let request = Request::post("/jwt/refresh");
        let request = if pair.by_cookie() {
            request
                .header("Cookie", format!("refresh_token={token}"))
                .header("X-CSRF-Token", client.csrf_token.as_deref().expect("one"))
        } else {
            request.json(&json!({ "refresh_token": token }))
        };
        let response = server.send(request).await;
        response.problem(401, "invalid_token");
    };
    for position in 0..good.len() {
        let mut token = good.clone().into_bytes();
        token[position] = if token[position] == b'A' { b'B' } else { b'A' };
        attempt(&String::from_utf8(token).expect("ASCII")).await;
    }
    for token in ["x", &good[..good.len() - 1], &format!("{good}A"), &client.credential()] {
        attempt(token).await;
    }

    client.refresh().await.ok();
}

/// A refresh token as whoever has `APP_SECRET` could make one.
fn made_up(login: &str, generation: i32, secret: &[u8]) -> String {
    let key = AppSecret::new(APP_SECRET.as_bytes().to_vec()).expect("long enough");
    let key = MacKey::derive(&key, "dualauth refresh token v1");
    let login = uuid::Uuid::parse_str(login).expect("an id");
    let message = [login.as_bytes().as_slice(), &generation.to_be_bytes(), secret].concat();
    let mac = key.sign(&message);
    format!("dur_{}", URL_SAFE_NO_PAD.encode([message, mac.to_vec()].concat()))
}

async fn who_has_the_database_and_the_secret_can_make_no_refresh_token(pair: Pair) {
    let server = TestServer::start().await;
    let first = Client::of_new_user(&server, pair, "ada").await;
    let (_, client) = refreshed(first, &server, 1, MINUTE).await;
    server.clock.advance(MINUTE);
    let id = client.login_id().await;
    let (stored,): (Vec<u8>,) = sqlx::query_as("select refresh_hash from logins")
        .fetch_one(&mut server.sql().await)
        .await
        .expect("a hash");
    for generation in 0..3 {
        for secret in [&[][..], &[7; 32], &stored] {
            let token = made_up(&id, generation, secret);
            let request = Request::post("/jwt/refresh").json(&json!({ "refresh_token": token }));
            server.send(request).await.problem(401, "invalid_token");
        }
    }
    client.assert_goes_on().await;
}

#[tokio::test]
async fn a_login_from_before_refresh_tokens_had_a_secret_in_them_goes_on() {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    sql(&server, "update logins set refresh_hash = null").await;
    client.clone().refresh().await.problem(401, "invalid_token");

    let id = client.login_id().await;
    client.refresh_token = Some(made_up(&id, 0, &[]));
    for generation in 1..3 {
        client.refresh().await.ok();
        assert_eq!(client.renewal(), made_up(&id, generation, &[]));
    }
}

#[tokio::test]
async fn a_refresh_token_in_the_body_goes_before_the_cookie() {
    let server = TestServer::start().await;
    let mut browser = Client::of_new_user(&server, Pair::JWT_COOKIE, "ada").await;
    let app = Client::of_new_user(&server, Pair::JWT_BEARER, "grace").await;
    let both =
        |token: &str| browser.without_csrf("POST", "/jwt/refresh").json(&json!({ "refresh_token": token }));

    // No CSRF token: the cookie, that would need one, is not looked at.
    let response = server.send(both(&app.renewal())).await;
    assert_eq!(response.set_cookies(), []);
    let body = response.ok();
    assert_members(&body, members(Pair::JWT_BEARER));
    assert_eq!(body["user"]["username"], "grace");

    let response = server.send(both("nonsense")).await;
    response.problem(401, "invalid_token");
    // The cookie's token was not spent: it is older than none.
    server.clock.advance(MINUTE);
    let before = browser.clone();
    browser.refresh().await.ok();
    assert_ne!(browser.renewal(), before.renewal());
}

#[tokio::test]
async fn a_refresh_token_by_cookie_works_when_the_access_token_has_gone() {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, Pair::JWT_COOKIE, "ada").await;

    server.clock.advance(20 * MINUTE);
    client.profile().await.problem(401, "token_expired");
    client.refresh().await.ok();
    client.profile().await.ok();

    client.jar.remove("access_token");
    client.refresh().await.ok();
    client.profile().await.ok();
}

#[tokio::test]
async fn an_access_token_and_a_refresh_token_do_not_replace_each_other() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;

    for path in ["/jwt/profile", "/profile", "/session/profile"] {
        let request = Request::get(path).bearer(&client.renewal());
        let response = server.send(request).await;
        response.problem(401, "invalid_token").blames_a_token(true);
    }
    let request = Request::post("/jwt/refresh").bearer(&client.credential());
    let response = server.send(request).await;
    response.problem(401, "not_authenticated");

    assert_eq!(text(&client.profile().await.ok()["username"]), "ada");
}

#[tokio::test]
async fn a_page_loaded_anew_after_the_access_token_ran_out_can_still_refresh() {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, Pair::JWT_COOKIE, "ada").await;
    server.clock.advance(20 * MINUTE);

    client.csrf_token = None;
    let body = client.get("/jwt/csrf").await.not_stored().ok();
    client.csrf_token = Some(text(&body["csrf_token"]).to_owned());

    client.refresh().await.ok();
    client.profile().await.ok();
}

#[tokio::test]
async fn a_session_in_use_outlives_an_idle_time_shorter_than_the_interval_of_last_seen() {
    let server = TestServer::with(&[("SESSION_IDLE_TTL", "8s"), ("LAST_SEEN_INTERVAL", "10s")]).await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    for _ in 0..5 {
        server.clock.advance(4 * SECOND);
        client.profile().await.ok();
    }
}

#[tokio::test]
async fn a_superseded_refresh_token_ends_nothing_where_it_is_not_offered_for_renewal() {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, Pair::JWT_COOKIE, "ada").await;
    let mut superseded = client.clone();
    client.refresh().await.ok();
    server.clock.advance(MINUTE);

    superseded.jar.remove("access_token");
    superseded.get("/jwt/csrf").await.problem(401, "not_authenticated");
    let wrong = json!({ "username": "ada", "password": "not hers at all", "transport": "cookie" });
    superseded.login(&wrong).await.problem(401, "invalid_credentials");

    client.profile().await.ok();
}
