//! How every login of a user is ended at once.

use serde_json::json;

use crate::support::{
    MINUTE,
    client::{Client, Mode, Pair, Transport},
    eventually,
    http::Request,
    server::{ONE_NAME, TestServer},
};

use super::logout::{cleared, cookies_of};

promises! { of every pair:
    a_logout_everywhere_ends_every_login_of_the_user,
    a_logout_everywhere_holds_on_every_node,
    a_logout_everywhere_leaves_the_password_good,
    a_dead_credential_cannot_log_out_everywhere,
}

promises! { of every mode:
    a_logout_everywhere_by_bearer_clears_no_cookie,
}

promises! { of every cookie:
    a_cookie_logs_out_nowhere_without_its_csrf_token,
}

fn everywhere(client: &Client) -> Request {
    client.request("POST", &client.path("logout-all"))
}

async fn a_logout_everywhere_ends_every_login_of_the_user(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let mine = Client::in_every_way(&server, "ada").await;
    server.user("grace").await;
    let theirs = Client::in_every_way(&server, "grace").await;
    for device in mine.iter().chain(&theirs) {
        device.profile().await.ok();
    }

    let response = server.send(everywhere(&client)).await.expect(204);

    assert_eq!(response.text(), "");
    assert_eq!(cleared(response.set_cookies()), cookies_of(pair));
    for device in mine.iter().chain([&client]) {
        device.assert_refused(device.pair.mode.ended()).await;
    }
    for device in theirs {
        device.assert_goes_on().await;
    }
}

async fn a_logout_everywhere_holds_on_every_node(pair: Pair) {
    let server = TestServer::with(&[ONE_NAME]).await;
    let other = server.another_node().await;
    server.user("ada").await;
    let client = Client::signed_in(&server, pair, "ada").await;
    let devices = Client::in_every_way(&other, "ada").await;
    for device in &devices {
        device.profile().await.ok();
    }

    server.send(everywhere(&client)).await.expect(204);

    for device in devices {
        eventually("the other node's refusal", async || device.profile().await.status == 401).await;
        device.assert_refused(device.pair.mode.ended()).await;
    }
}

async fn a_logout_everywhere_leaves_the_password_good(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;

    server.send(everywhere(&client)).await.expect(204);

    for device in Client::in_every_way(&server, "ada").await {
        device.assert_goes_on().await;
    }
}

async fn a_dead_credential_cannot_log_out_everywhere(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    let other = Client::signed_in(&server, pair, "ada").await;
    let before = client.clone();
    client.logout().await.expect(204);

    // No CSRF token is asked of a cookie that is dead.
    let request = before.without_csrf("POST", &before.path("logout-all"));
    let response = server.send(request).await;

    let response = response.problem(401, pair.mode.ended());
    assert_eq!(cleared(response.set_cookies()), cookies_of(pair));
    other.assert_goes_on().await;
}

async fn a_logout_everywhere_by_bearer_clears_no_cookie(mode: Mode) {
    let server = TestServer::start().await;
    let browser = Client::of_new_user(&server, mode.by(Transport::Cookie), "ada").await;
    let app = Client::of_new_user(&server, mode.by(Transport::Bearer), "grace").await;

    // The browser's cookies ride along, and nobody asks for a CSRF token.
    let cookies = browser.jar.header_for(&app.path("logout-all")).expect("cookies");
    let response = server.send(everywhere(&app).header("Cookie", cookies)).await.expect(204);

    assert_eq!(response.set_cookies(), []);
    app.assert_refused(mode.ended()).await;
    browser.assert_goes_on().await;
}

async fn a_cookie_logs_out_nowhere_without_its_csrf_token(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let other = Client::signed_in(&server, pair, "ada").await;

    let bare = client.without_csrf("POST", &client.path("logout-all"));
    server.send(bare.clone()).await.problem(403, "csrf_failed");
    let neighbours = other.csrf_token.clone().expect("a CSRF token");
    let response = server.send(bare.header("X-CSRF-Token", neighbours)).await;
    let response = response.problem(403, "csrf_failed");
    assert_eq!(response.set_cookies(), []);

    other.profile().await.ok();
    server.send(everywhere(&client)).await.expect(204);
}

#[tokio::test]
async fn a_refresh_token_in_a_body_logs_out_everywhere() {
    let server = TestServer::start().await;
    server.user("ada").await;
    for expired in [false, true] {
        let client = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
        let devices = Client::in_every_way(&server, "ada").await;
        let mut request = Request::post("/jwt/logout-all");
        if expired {
            server.clock.advance(20 * MINUTE);
            request = everywhere(&client);
            server.send(request.clone()).await.problem(401, "token_expired");
        }

        let request = request.json(&json!({ "refresh_token": client.renewal() }));
        let response = server.send(request.clone()).await.expect(204);

        assert_eq!(response.set_cookies(), []);
        for mut device in devices {
            device.refresh().await.problem(401, device.pair.mode.ended());
        }
        server.send(request).await.problem(401, "token_revoked");
    }
}

#[tokio::test]
async fn a_refresh_token_cookie_logs_out_everywhere_when_the_access_token_has_gone_or_expired() {
    let server = TestServer::start().await;
    server.user("ada").await;
    for gone in [true, false] {
        let mut client = Client::signed_in(&server, Pair::JWT_COOKIE, "ada").await;
        let devices = Client::in_every_way(&server, "ada").await;
        if gone {
            client.jar.remove("access_token");
        } else {
            server.clock.advance(20 * MINUTE);
        }

        let unproved = client.without_csrf("POST", "/jwt/logout-all");
        server.send(unproved).await.problem(403, "csrf_failed");
        let response = server.send(everywhere(&client)).await.expect(204);

        assert_eq!(cleared(response.set_cookies()), cookies_of(client.pair));
        client.refresh().await.problem(401, "token_revoked");
        for mut device in devices {
            device.refresh().await.problem(401, device.pair.mode.ended());
        }
    }
}

#[tokio::test]
async fn a_forged_access_token_keeps_the_refresh_token_from_logging_out_everywhere() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let body = json!({ "refresh_token": client.renewal() });

    let request = Request::post("/jwt/logout-all").bearer("a.b.c").json(&body);
    server.send(request).await.problem(401, "invalid_token");

    client.assert_goes_on().await;
}

#[tokio::test]
async fn a_refresh_token_that_was_superseded_logs_out_nowhere_else() {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let other = Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await;
    let superseded = json!({ "refresh_token": client.renewal() });
    client.refresh().await.ok();
    server.clock.advance(MINUTE);

    let request = Request::post("/jwt/logout-all").json(&superseded);
    server.send(request).await.problem(401, "refresh_token_reused");

    other.assert_goes_on().await;
}
