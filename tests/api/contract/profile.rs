//! Who one is, and what proves it to a form.

use serde_json::json;

use crate::support::{
    MINUTE, PASSWORD, SECOND, assert_members,
    client::{Client, Mode, Pair},
    http::Request,
    server::{ONE_NAME, TestServer, beginning},
    text, time,
};

promises! { of every pair:
    an_account_is_the_user_as_registered_and_as_it_is_now,
    a_profile_says_who_and_how,
    a_profile_says_when_the_credential_ends,
    who_shows_nothing_is_not_authenticated,
    who_shows_nonsense_is_refused,
    two_nodes_know_one_login,
}

promises! { of every cookie:
    a_csrf_token_can_be_asked_for,
}

async fn a_profile_says_who_and_how(pair: Pair) {
    let server = TestServer::start().await;
    let id = server.user("ada").await;
    let mut client = Client::new(&server, pair);
    let body = client.login(&pair.credentials("ada")).await.ok();

    for path in [&client.path("profile"), "/profile"] {
        let profile = client.get(path).await.not_stored().ok();

        assert_members(&profile, &["user_id", "username", "roles", "auth"]);
        assert_eq!(profile["user_id"], id);
        assert_eq!(profile["username"], "ada");
        assert_eq!(profile["roles"], body["user"]["roles"]);
        let auth = &profile["auth"];
        assert_members(auth, &["mode", "transport", "login_id", "expires_at", "amr", "acr", "auth_time"]);
        assert_eq!(auth["mode"], pair.mode.name());
        assert_eq!(auth["transport"], pair.transport.name());
        assert_eq!(auth["login_id"], body["login"]["id"]);
    }
}

async fn a_profile_says_when_the_credential_ends(pair: Pair) {
    let ttls = [("SESSION_IDLE_TTL", "30m"), ("SESSION_TTL", "40m")];
    let server = TestServer::with(&ttls).await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    let end = async |client: &Client| time(&client.profile().await.ok()["auth"]["expires_at"]);

    let alone = match pair.mode {
        Mode::Session => 30 * MINUTE,
        Mode::Jwt => 15 * MINUTE,
    };
    assert_eq!(end(&client).await, beginning() + alone);

    // Close to the login's end nothing lives longer than it.
    server.clock.advance(29 * MINUTE);
    client.refresh().await.ok();
    assert_eq!(end(&client).await, beginning() + 40 * MINUTE);
}

async fn who_shows_nothing_is_not_authenticated(pair: Pair) {
    let server = TestServer::start().await;
    let stranger = Client::new(&server, pair);
    let read = [
        &stranger.path("profile"),
        "/profile",
        &stranger.path("csrf"),
        "/account",
        "/account/logins",
        "/verify",
    ];
    for path in read {
        let response = stranger.get(path).await;
        response.problem(401, "not_authenticated").blames_a_token(false);
    }
    for path in ["refresh", "step-up", "logout", "logout-all"].map(|tail| stranger.path(tail)) {
        let response = server.send(Request::post(&path)).await;
        response.problem(401, "not_authenticated").blames_a_token(false);
    }
    let ending = Request::new("DELETE", &format!("/account/logins/{}", uuid::Uuid::nil()));
    let change = json!({ "current_password": PASSWORD, "new_password": "another lantern over the weir" });
    for request in [ending, Request::post("/account/password").json(&change)] {
        let response = server.send(request).await;
        response.problem(401, "not_authenticated").blames_a_token(false);
    }
}

async fn who_shows_nonsense_is_refused(pair: Pair) {
    let server = TestServer::start().await;
    let good = Client::of_new_user(&server, pair, "ada").await.credential();
    let (first, rest) = good.split_at(good.len() - 1);
    let other = if rest == "A" { "B" } else { "A" };

    let code = match pair {
        Pair::SESSION_COOKIE => "session_expired",
        _ => "invalid_token",
    };
    for nonsense in [
        "x",
        "null",
        "..",
        "a.b.c",
        first,
        &format!("{first}{other}"),
        &format!("{good}A"),
        &good.to_uppercase(),
        &"x".repeat(5_000),
    ] {
        for path in [&pair.mode.path("profile"), "/profile"] {
            let request = Request::get(path);
            let request = if pair.by_cookie() {
                let name = pair.mode.cookie_names()[0];
                request.header("Cookie", format!("{name}={nonsense}"))
            } else {
                request.bearer(nonsense)
            };
            let response = server.send(request).await.problem(401, code);
            if !pair.by_cookie() {
                response.blames_a_token(true);
            }
        }
    }
}

async fn two_nodes_know_one_login(pair: Pair) {
    let server = TestServer::with(&[ONE_NAME]).await;
    let other = server.another_node().await;
    let client = Client::of_new_user(&server, pair, "ada").await;

    let there = client.at(&other).profile().await.ok();

    assert_eq!(there, client.profile().await.ok());
    let mut client = client.at(&other);
    client.refresh().await.ok();
    client.at(&server).profile().await.ok();
    client.at(&server).logout().await.expect(204);
}

async fn a_csrf_token_can_be_asked_for(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    server.clock.advance(SECOND);

    let body = client.get(&client.path("csrf")).await.not_stored().ok();

    assert_members(&body, &["csrf_token"]);
    client.csrf_token = Some(text(&body["csrf_token"]).to_owned());
    client.logout().await.expect(204);
}

async fn an_account_is_the_user_as_registered_and_as_it_is_now(pair: Pair) {
    let server = TestServer::start().await;
    let registered = Request::post("/session/register").json(&crate::support::server::registration("Ada"));
    let registered = server.send(registered).await.expect(201).json();
    let client = Client::signed_in(&server, pair, "ada").await;

    assert_eq!(client.get("/account").await.not_stored().ok(), registered);

    // From Postgres, whatever the credential says.
    let change = sqlx::query("update users set email = 'countess@example.org'");
    change.execute(&mut server.sql().await).await.expect("a change");
    let now = crate::support::with(registered, "email", "countess@example.org");
    assert_eq!(client.get("/account").await.ok(), now);
}
