//! The headers that every answer has, whatever was asked and whatever came of it.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::{
    client::{Client, Pair},
    http::{Request, Response},
    server::{TestServer, credentials},
};

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"];

const APP: &str = "https://app.example.org";
const HTTPS: (&str, &str) = ("PUBLIC_URL", "https://auth.example.org");

/// Files of pages.
const PAGES: [&str; 9] = [
    "/",
    "/playground/main.js",
    "/playground/style.css",
    "/docs/",
    "/docs/setup.js",
    "/docs/setup.css",
    "/mail",
    "/mail/main.js",
    "/mail/style.css",
];

/// Every path of the document, with something in the place of each parameter, the pages, and paths that are none.
fn paths() -> Vec<String> {
    let document: Value =
        serde_json::from_str(include_str!("../../../openapi/openapi.json")).expect("the document");
    let paths = document["paths"].as_object().expect("paths").keys();
    let filled = paths.map(|path| path.replace("{key}", "theme").replace("{id}", "nothing"));
    let apart = ["/compare.json", "/compare/openapi.json"];
    let none = ["/docs", "/docs/nothing", "/playground/nothing", "/mail/nothing", "/nothing", "/%ff"];
    filled.chain(PAGES.into_iter().chain(apart).chain(none).map(str::to_owned)).collect()
}

/// What may be remembered, and for how long. Nothing else may.
fn remembered(path: &str) -> &'static str {
    match path {
        "/.well-known/jwks.json"
        | "/.well-known/oauth-authorization-server"
        | "/.well-known/openid-configuration"
        | "/.well-known/webauthn" => "public, max-age=300",
        "/openapi.json" | "/compare.json" | "/compare/openapi.json" => "no-cache",
        page if PAGES.contains(&page) => "no-cache",
        _ => "no-store",
    }
}

#[track_caller]
fn one<'a>(response: &'a Response, name: &'a str) -> &'a str {
    let all: Vec<&str> = response.all(name).collect();
    assert_eq!(all.len(), 1, "{name} of {response}");
    all[0]
}

#[track_caller]
fn assert_dressed(response: &Response, method: &str, path: &str, is_https: bool) {
    let is_read = response.status == 200 && ["GET", "HEAD"].contains(&method);
    let expected = if is_read { remembered(path) } else { "no-store" };
    assert_eq!(one(response, "cache-control"), expected, "{response}");
    assert_eq!(one(response, "x-content-type-options"), "nosniff", "{response}");
    assert_eq!(one(response, "referrer-policy"), "no-referrer", "{response}");
    assert_policy(response, is_read && PAGES.contains(&path));
    let transport = is_https.then_some("max-age=63072000");
    assert_eq!(response.header("strict-transport-security"), transport, "{response}");
    let id = one(response, "x-request-id");
    assert!(id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{response}");
}

/// Asserts that nothing is loaded from elsewhere, nothing in place is run, and nobody frames it.
#[track_caller]
fn assert_policy(response: &Response, is_page: bool) {
    let policy = one(response, "content-security-policy");
    for directive in ["default-src 'none'", "frame-ancestors 'none'"] {
        assert!(policy.split("; ").any(|it| it == directive), "{response}");
    }
    for word in ["*", "http:", "https:", "unsafe", "script-src data"] {
        assert!(!policy.contains(word), "{word} in {response}");
    }
    assert_eq!(policy.contains("script-src"), is_page, "{response}");
}

#[tokio::test]
async fn every_answer_says_how_it_is_to_be_handled() {
    let settings = [("ALLOWED_ORIGINS", APP)];
    for (is_https, settings) in [(false, &settings[..]), (false, &[]), (true, &[HTTPS, settings[0]])] {
        let server = TestServer::with(settings).await;
        let mut ids = HashSet::new();
        for path in paths() {
            for method in METHODS {
                let plain = Request::new(method, &path);
                let from_page = plain.clone().header("Origin", APP);
                let foreign = plain.clone().header("Origin", "https://evil.example.org");
                let preflight = from_page.clone().header("Access-Control-Request-Method", "POST");
                for request in [plain, from_page, foreign, preflight] {
                    let response = server.send(request).await;
                    assert_dressed(&response, method, &path, is_https);
                    ids.insert(response.header("x-request-id").expect("an id").to_owned());
                }
            }
        }
        assert_eq!(ids.len(), paths().len() * METHODS.len() * 4, "each request has an id of its own");
    }
}

#[tokio::test]
async fn what_carries_a_credential_or_a_persons_data_is_never_stored() {
    let server = TestServer::with(&[HTTPS]).await;
    for pair in Pair::ALL {
        let name = format!("ada-{}-{}", pair.mode.name(), pair.transport.name());
        let mut client = Client::of_new_user(&server, pair, &name).await;
        let login = Request::post(&client.path("login")).json(&pair.credentials(&name));
        let mut responses = vec![server.send(login).await, client.refresh().await];
        for path in [&client.path("profile"), &client.path("csrf"), "/profile", "/verify", "/account/logins"]
        {
            responses.push(client.get(path).await);
        }
        if client.pair.mode.name() == "session" {
            let put = client.request("PUT", "/session/data/theme").json(&json!("dark"));
            responses.push(server.send(put).await);
            responses.push(client.get("/session/data").await);
            responses.push(client.get("/session/data/theme").await);
        }
        responses.push(client.logout().await);
        for response in responses {
            assert!(matches!(response.status, 200 | 204), "{response}");
            assert_dressed(&response, "POST", "/", true);
            assert_eq!(response.header("cache-control"), Some("no-store"), "{response}");
        }
    }
}

#[tokio::test]
async fn a_page_elsewhere_may_read_the_requests_id() {
    let server = TestServer::with(&[("ALLOWED_ORIGINS", APP)]).await;
    for request in [Request::get("/profile"), Request::post("/jwt/login").json(&credentials("nobody"))] {
        let response = server.send(request.header("Origin", APP)).await.expect(401);
        let exposed = response.list("access-control-expose-headers");
        for header in ["x-request-id", "www-authenticate", "retry-after"] {
            assert!(exposed.contains(&header.to_owned()), "{response}");
        }
        assert_ne!(response.header("access-control-allow-origin"), Some("*"));
    }
}
