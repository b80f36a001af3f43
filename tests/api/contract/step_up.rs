//! One more proof for a login that is live.

use serde_json::{Value, json};

use crate::support::{
    MINUTE, PASSWORD, SECOND, assert_members,
    client::{Client, Jar, Mode, Pair},
    http::Request,
    server::{TestServer, beginning},
    time, with,
};

use super::login::members;

promises! { of every pair:
    a_login_says_how_it_was_proved_and_a_refresh_moves_none_of_it,
    a_step_up_answers_like_a_login_and_makes_it_fresh,
    every_earlier_credential_is_dead_at_once_and_the_login_lives,
    a_step_up_by_what_was_replaced_a_moment_ago_is_taken,
    a_wrong_password_ends_nothing_and_moves_nothing,
    tries_are_paced_with_those_to_change_the_password,
    a_step_up_has_the_password_and_nothing_else,
    a_login_that_has_ended_is_not_stepped_up,
    a_user_without_a_password_can_t_prove_themselves_by_one,
    a_password_that_was_changed_meanwhile_is_no_proof,
}

promises! { of every cookie:
    a_cookie_steps_up_with_its_csrf_token_only,
    a_tab_that_comes_late_costs_the_browser_no_newer_cookie,
}

/// What everything that tells of a login says of its proofs: the same.
async fn proofs(client: &Client) -> Value {
    let auth = client.profile().await.ok()["auth"].clone();
    let proofs = json!({ "amr": auth["amr"], "acr": auth["acr"], "auth_time": auth["auth_time"] });
    let shared = client.get("/profile").await.ok()["auth"].clone();
    let listed = client.get("/account/logins").await.ok()["logins"].clone();
    let listed = listed.as_array().and_then(|logins| logins.iter().find(|it| it["current"] == true)).cloned();
    for told in [shared, listed.expect("the one that asks")] {
        let told = json!({ "amr": told["amr"], "acr": told["acr"], "auth_time": told["auth_time"] });
        assert_eq!(told, proofs);
    }
    let verified = client.get("/verify").await.expect(200);
    assert_eq!(verified.header("x-auth-time"), proofs["auth_time"].as_str());
    assert_eq!(verified.header("x-auth-acr"), proofs["acr"].as_str());
    proofs
}

fn by_password(seconds: i64) -> Value {
    let at = beginning() + chrono::TimeDelta::seconds(seconds);
    json!({ "amr": ["pwd"], "acr": "aal1", "auth_time": at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true) })
}

async fn a_login_says_how_it_was_proved_and_a_refresh_moves_none_of_it(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    assert_eq!(proofs(&client).await, by_password(0));
    for _ in 0..2 {
        server.clock.advance(10 * MINUTE);
        client.refresh().await.ok();
        assert_eq!(proofs(&client).await, by_password(0));
    }
}

async fn a_step_up_answers_like_a_login_and_makes_it_fresh(pair: Pair) {
    let server = TestServer::start().await;
    server.user("ada").await;
    let mut client = Client::new(&server, pair);
    let login = client.login(&pair.credentials("ada")).await.ok();
    let before = client.clone();
    server.clock.advance(12 * MINUTE + SECOND / 2);

    let response = client.step_up(PASSWORD).await.not_stored();

    let names: Vec<String> = response.set_cookies().into_iter().map(|cookie| cookie.name).collect();
    let expected: &[&str] = if pair.by_cookie() { pair.mode.cookie_names() } else { &[] };
    assert_eq!(names, expected);
    let body = response.ok();
    assert_members(&body, members(pair));
    assert_eq!(body["user"], login["user"]);
    for member in ["id", "mode", "transport", "remember_me", "created_at", "expires_at"] {
        assert_eq!(body["login"][member], login["login"][member], "{member}");
    }
    assert_eq!(time(&body["login"]["idle_expires_at"]), server.clock.now() + 30 * MINUTE);
    assert_ne!(client.credential(), before.credential());
    assert_ne!(client.renewal(), before.renewal());
    assert_eq!(proofs(&client).await, by_password(720));
    client.refresh().await.ok();
    assert_eq!(proofs(&client).await, by_password(720));
    client.assert_goes_on().await;
}

async fn every_earlier_credential_is_dead_at_once_and_the_login_lives(pair: Pair) {
    let server = TestServer::start().await;
    let first = Client::of_new_user(&server, pair, "ada").await;
    let mut client = first.clone();
    client.refresh().await.ok();
    let second = client.clone();
    second.profile().await.ok();
    client.step_up(PASSWORD).await.ok();

    for old in [&first, &second] {
        match pair.mode {
            Mode::Session => old.assert_refused("session_expired").await,
            Mode::Jwt => {
                old.clone().refresh().await.problem(401, "invalid_token");
                // An access token says what it says until it runs out.
                old.profile().await.ok();
            }
        }
        client.profile().await.ok();
    }
    // Nor do they come to mean anything later.
    client.refresh().await.ok();
    for old in [&first, &second] {
        server.clock.advance(31 * SECOND);
        let code = if pair.mode == Mode::Session { "session_expired" } else { "invalid_token" };
        old.clone().refresh().await.problem(401, code);
    }
    client.assert_goes_on().await;
}

async fn a_step_up_by_what_was_replaced_a_moment_ago_is_taken(pair: Pair) {
    let server = TestServer::start().await;
    let mut tab = Client::of_new_user(&server, pair, "ada").await;
    let mut other = tab.clone();
    other.refresh().await.ok();

    tab.step_up(PASSWORD).await.ok();

    assert_eq!(other.refresh().await.status, 401);
    tab.assert_goes_on().await;
}

async fn a_wrong_password_ends_nothing_and_moves_nothing(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    let before = client.renewal();
    for wrong in ["", "x", &PASSWORD.to_uppercase(), &"x".repeat(1_025)] {
        server.clock.advance(20 * SECOND);
        let response = client.step_up(wrong).await.problem(403, "invalid_credentials");
        assert_eq!(response.set_cookies(), []);
    }
    assert_eq!(client.renewal(), before);
    assert_eq!(proofs(&client).await, by_password(0));
    client.assert_goes_on().await;
}

async fn tries_are_paced_with_those_to_change_the_password(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    for _ in 0..2 {
        client.step_up("wrong").await.problem(403, "invalid_credentials");
    }
    let change = json!({ "current_password": "wrong", "new_password": "another lantern, no weir" });
    let change = client.request("POST", "/account/password").json(&change);
    client.send(change).await.problem(403, "invalid_credentials");

    client.step_up(PASSWORD).await.problem(429, "rate_limited");

    server.clock.advance(20 * SECOND);
    client.step_up(PASSWORD).await.ok();
    client.assert_goes_on().await;
}

async fn a_step_up_has_the_password_and_nothing_else(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    let path = client.path("step-up");
    for (body, pointer) in [
        (json!({}), "/password"),
        (json!({ "password": null }), "/password"),
        (json!({ "password": 1 }), "/password"),
        (json!({ "password": PASSWORD, "transport": "bearer" }), "/transport"),
        (json!({ "password": PASSWORD, "username": "ada" }), "/username"),
        (json!([PASSWORD]), ""),
    ] {
        let request = client.request("POST", &path).json(&body);
        client.send(request).await.points_at(&[pointer]);
    }
    let request = client.request("POST", &path);
    client.send(request).await.problem(415, "unsupported_media_type");
    client.step_up(PASSWORD).await.ok();
}

async fn a_login_that_has_ended_is_not_stepped_up(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    let mut copy = client.clone();
    client.logout().await.expect(204);
    copy.step_up(PASSWORD).await.problem(401, pair.mode.ended());
    copy.step_up("wrong").await.problem(401, pair.mode.ended());
}

async fn a_user_without_a_password_can_t_prove_themselves_by_one(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    sqlx::query("update users set password_hash = null")
        .execute(&mut server.sql().await)
        .await
        .expect("none");
    for password in [PASSWORD, "", "!"] {
        client.step_up(password).await.problem(403, "invalid_credentials");
        let login = with(pair.credentials("ada"), "password", password);
        Client::new(&server, pair).login(&login).await.problem(401, "invalid_credentials");
    }
    let response = client.get("/verify?max_age=0").await;
    response.expect(200);
    server.clock.advance(SECOND);
    let response = client.get("/verify?max_age=0").await.problem(401, "insufficient_user_authentication");
    assert_eq!(response.json()["methods"], json!([]));
    client.assert_goes_on().await;
}

async fn a_password_that_was_changed_meanwhile_is_no_proof(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    let change = json!({ "current_password": PASSWORD, "new_password": "another lantern, no weir" });
    let change = client.request("POST", "/account/password").json(&change);
    client.send(change).await.expect(204);
    client.step_up(PASSWORD).await.problem(403, "invalid_credentials");
    client.step_up("another lantern, no weir").await.ok();
}

async fn a_cookie_steps_up_with_its_csrf_token_only(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    let bare = client.without_csrf("POST", &client.path("step-up")).json(&json!({ "password": PASSWORD }));
    server.send(bare.clone()).await.problem(403, "csrf_failed");
    let foreign = client.step_up_request(PASSWORD).header("Origin", "https://evil.example.org");
    server.send(foreign).await.problem(403, "cross_origin");
    client.step_up(PASSWORD).await.ok();
    client.assert_goes_on().await;
}

/// Its request was under way with the cookie of before when the answer to the step-up arrived.
async fn a_tab_that_comes_late_costs_the_browser_no_newer_cookie(pair: Pair) {
    let server = TestServer::start().await;
    let mut browser = Client::of_new_user(&server, pair, "ada").await;
    let mut late = vec![browser.refresh_request()];
    late.extend(["/profile", "/account/logins"].map(|path| browser.request("GET", path)));
    match pair.mode {
        Mode::Session => {
            late.push(browser.request("POST", &browser.path("logout")));
            late.push(browser.step_up_request(PASSWORD));
        }
        Mode::Jwt => {
            // One whose access token has run out.
            let mut tab = browser.clone();
            tab.jar.remove("access_token");
            late.push(tab.request("POST", &tab.path("logout")));
        }
    }
    browser.step_up(PASSWORD).await.ok();
    let held = browser.jar.clone();

    for request in late {
        let response = browser.send(request).await;
        assert_eq!(response.set_cookies(), [], "{response}");
    }
    let sent = |jar: &Jar| jar.header_for(&browser.path("refresh"));
    assert_eq!(sent(&browser.jar), sent(&held));
    browser.assert_goes_on().await;
}

#[tokio::test]
async fn a_session_s_step_up_takes_no_token_and_a_token_s_no_session() {
    let server = TestServer::start().await;
    server.user("ada").await;
    for client in Client::in_every_way(&server, "ada").await {
        let other = if client.pair.mode == Mode::Session { Mode::Jwt } else { Mode::Session };
        let request = client.request("POST", &other.path("step-up")).json(&json!({ "password": PASSWORD }));
        assert_eq!(server.send(request).await.status, 401, "{:?}", client.pair);
        if let Some(token) = &client.refresh_token {
            let request = Request::post("/jwt/step-up").bearer(token).json(&json!({ "password": PASSWORD }));
            server.send(request).await.problem(401, "invalid_token");
        }
        client.assert_goes_on().await;
    }
}
