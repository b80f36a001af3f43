//! Who may use these routes: a registered service, by HTTP Basic alone, and with a body only once it is known who it is.

use serde_json::json;

use super::{CREATE, REDEEM, invitation, rows, stage};
use crate::oauth::Service;
use crate::support::{
    client::Client,
    http::Request,
    server::{METRICS, TestServer},
};

/// A request to each route, without a credential.
fn requests() -> [Request; 3] {
    let redemption = json!({ "token": "dat_x", "purpose": "invitation" });
    [
        Request::post(CREATE).json(&invitation()),
        Request::post(REDEEM).json(&redemption),
        Request::new("DELETE", "/tokens/0199f0a4-5d11-7a02-8c3e-7d1b2f4e6a90"),
    ]
}

#[tokio::test]
async fn who_is_no_service_is_asked_for_basic() {
    let (server, service) = stage().await;
    for request in requests() {
        server.send(request.clone()).await.oauth_problem(401, "not_authenticated");
        server.send(request.clone().bearer(&service.secret)).await.oauth_problem(401, "not_authenticated");
        let wrong = request.clone().basic(&service.id, "duc_");
        server.send(wrong).await.oauth_problem(401, "invalid_credentials");
        let twice = request.basic(&service.id, &service.secret).basic(&service.id, &service.secret);
        server.send(twice).await.oauth_problem(400, "malformed_request");
    }
    assert_eq!(rows(&server).await, Vec::<String>::new());
}

#[tokio::test]
async fn no_users_credential_is_a_services() {
    let (server, _) = stage().await;
    server.user("ada").await;
    for client in Client::in_every_way(&server, "ada").await {
        let request = client.request("POST", CREATE).json(&invitation());
        server.send(request).await.oauth_problem(401, "not_authenticated");
    }
}

#[tokio::test]
async fn a_body_is_looked_at_once_it_is_known_whose_it_is() {
    let (server, service) = stage().await;
    let (start, last) = service.secret.split_at(service.secret.len() - 1);
    let other = if last == "A" { "E" } else { "A" };
    let stranger = Service { secret: format!("{start}{other}"), ..service.clone() };
    for path in [CREATE, REDEEM] {
        for body in ["{", "[]", "{}"] {
            let request = || Request::post(path).body("application/json", body);
            server.send(request()).await.oauth_problem(401, "not_authenticated");
            let request = request().basic(&stranger.id, &stranger.secret);
            server.send(request).await.oauth_problem(401, "invalid_credentials");
        }
    }
}

#[tokio::test]
async fn another_method_is_told_which_is_allowed() {
    let (server, service) = stage().await;
    for (path, allowed) in [
        (CREATE, "post"),
        (REDEEM, "post"),
        ("/tokens/0199f0a4-5d11-7a02-8c3e-7d1b2f4e6a90", "delete"),
        ("/tokens/mine", "delete"),
    ] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "BREW"] {
            if method.eq_ignore_ascii_case(allowed) {
                continue;
            }
            let request = Request::new(method, path).basic(&service.id, &service.secret);
            let response = server.send(request).await.problem(405, "method_not_allowed");
            assert_eq!(response.list("allow"), [allowed, "options"], "{response}");
        }
    }
    for path in ["/tokens/", "/tokens/redeem/", "/tokens/a/b"] {
        let request = Request::post(path).basic(&service.id, &service.secret).json(&invitation());
        server.send(request).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn another_sites_page_is_refused() {
    let (server, service) = stage().await;
    for request in requests() {
        let foreign = request.basic(&service.id, &service.secret).header("Origin", "https://evil.example");
        server.send(foreign).await.problem(403, "cross_origin");
    }
    assert_eq!(rows(&server).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_allowed_page_is_told_that_it_may_read_the_answer() {
    let server = TestServer::with(&[("ALLOWED_ORIGINS", "https://app.example.org")]).await;
    let service = Service::registered(&server).await;
    for request in requests() {
        let response = server
            .send(request.basic(&service.id, &service.secret).header("Origin", "https://app.example.org"))
            .await;
        let allowed = response.header("access-control-allow-origin");
        assert_eq!(allowed, Some("https://app.example.org"), "{response}");
    }
}

#[tokio::test]
async fn what_comes_of_it_is_counted() {
    let server = TestServer::with(&[METRICS]).await;
    let service = Service::registered(&server).await;
    let token = service.creates(&server, &invitation()).await;
    server.send(service.creation(&json!({ "purpose": "", "expires_in": 1 }))).await.expect(422);
    service.redeems(&server, &token).await.expect(200);
    for _ in 0..2 {
        service.redeems(&server, &token).await.expect(404);
    }
    server.send(service.deletion(&token.id)).await.expect(204);
    for (operation, outcome, count) in [
        ("create", "done", 1.0),
        ("create", "validation_failed", 1.0),
        ("redeem", "done", 1.0),
        ("redeem", "not_found", 2.0),
        ("delete", "done", 1.0),
    ] {
        let labels = format!("{{operation=\"{operation}\",outcome=\"{outcome}\"}}");
        let counted = server.metric(&format!("dualauth_custom_tokens_total{labels}")).await;
        assert_eq!(counted, count, "{labels}");
    }
}
