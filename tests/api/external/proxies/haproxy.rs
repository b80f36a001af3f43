//! The HAProxy configuration that is shipped, in a real HAProxy: whom it lets through, and what the app behind is told.

use super::{
    ACR, AMR, ELSEWHERE, ONE_NAME, TIME, TRUSTED, assert_no_claim_passes, assert_websockets_pass,
    from_a_page, identity, named, signed_in_through,
};
use crate::external::haproxy::Haproxy;
use crate::support::{
    client::{Client, Pair},
    eventually,
    http::Request,
    server::TestServer,
};

promises! { of every pair:
    one_registers_and_the_app_is_told_who_is_asking,
    an_identity_that_a_client_claims_never_reaches_the_app,
    a_websocket_reaches_the_app_and_who_it_is_of,
}

async fn site() -> (TestServer, Haproxy) {
    let server = TestServer::with(&[ONE_NAME, TRUSTED]).await;
    let haproxy = Haproxy::in_front_of(&server).await;
    (server, haproxy)
}

async fn one_registers_and_the_app_is_told_who_is_asking(pair: Pair) {
    let (server, haproxy) = site().await;
    let (mut client, id) = signed_in_through(haproxy.address(), &server, pair).await;
    client.get("/profile").await.ok();

    let who = named(&[
        ACR,
        AMR,
        ("x-auth-mode", pair.mode.name()),
        ("x-auth-roles", "user"),
        TIME,
        ("x-auth-user-id", &id),
        ("x-auth-username", "ada"),
    ]);
    for request in [
        client.request("GET", "/app/orders?page=2"),
        client.request("POST", "/app/orders").body("text/plain", "a body"),
        client.request("PUT", "/app/orders").bytes("a body").chunked(),
    ] {
        assert_eq!(identity(&haproxy.send(request).await.expect(200)), who);
    }
    assert_eq!(identity(&client.get("/app/public/news").await.expect(200)), []);
    client.get("/app/admin/users").await.problem(403, "forbidden");
    client.send(from_a_page(client.request("POST", &client.path("logout")))).await.expect(204);
}

async fn an_identity_that_a_client_claims_never_reaches_the_app(pair: Pair) {
    let (server, haproxy) = site().await;
    assert_no_claim_passes(&server, haproxy.address(), pair).await;
}

async fn a_websocket_reaches_the_app_and_who_it_is_of(pair: Pair) {
    let (server, haproxy) = site().await;
    assert_websockets_pass(&server, haproxy.address(), pair).await;
}

#[tokio::test]
async fn who_is_refused_is_told_by_dualauth_itself() {
    let (_server, haproxy) = site().await;
    let orders = || Request::post("/app/orders").bytes("a body");
    haproxy.send(orders()).await.problem(401, "not_authenticated");
    haproxy.send(orders().bearer("nonsense")).await.problem(401, "invalid_token").blames_a_token(true);
    haproxy.send(orders().header("Authorization", "Bearer")).await.problem(400, "malformed_request");
    let twice = orders().header("Cookie", "sessionid=one").header("Cookie", "sessionid=two");
    haproxy.send(twice).await.problem(400, "malformed_request");
}

#[tokio::test]
async fn a_path_that_the_app_may_read_otherwise_is_refused() {
    let (_server, haproxy) = site().await;
    for path in [
        "/app/public/../orders",
        "/app/public/%2e%2e/orders",
        "/app/public/..",
        "/app/public/%2E%2E",
        "/app/public//../orders",
        "/app/public/./x",
        "/app/public/..%2forders",
        "/app/public/..\\orders",
    ] {
        haproxy.send(Request::get(path)).await.expect(400);
    }
    for path in ["/verify", "/verify/app", "/health/ready", "/%61pp/orders", "/App/orders", "/"] {
        haproxy.send(Request::get(path)).await.expect(404);
    }
}

#[tokio::test]
async fn a_login_is_recorded_by_the_address_that_the_proxy_saw() {
    let (server, haproxy) = site().await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    let login = Request::post("/session/login").json(&client.pair.credentials("ada"));
    let login = login.header("X-Forwarded-For", "203.0.113.7");
    let id = login.send_from(ELSEWHERE, haproxy.address()).await.ok()["login"]["id"].clone();
    let listed = client.get("/account/logins").await.ok();
    let logins = listed["logins"].as_array().expect("the logins");
    let login = logins.iter().find(|login| login["id"] == id).expect("this login");
    assert_eq!(login["address"], ELSEWHERE.to_string());
}

#[tokio::test]
async fn without_dualauth_nobody_is_let_through() {
    let (mut server, haproxy) = site().await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await.at_node(haproxy.address());
    client.get("/app/orders").await.expect(200);
    server.stop().await;
    eventually("nobody is let through", async || client.get("/app/orders").await.status == 503).await;
    haproxy.send(Request::get("/app/public/news")).await.expect(200);
}
