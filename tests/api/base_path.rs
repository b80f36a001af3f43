//! The service below a path of its host, as PUBLIC_URL says. Behind proxies: `external/proxies/base_path.rs`.

use std::{collections::BTreeSet, net::SocketAddr};

use serde_json::json;

use crate::support::{
    client::{Client, Mode, Pair},
    eventually,
    http::{Request, Response},
    server::{METRICS, TestServer, registration},
    text,
};

promises! { of every pair:
    one_registers_signs_in_and_signs_out_below_the_path,
}

promises! { of every cookie:
    only_the_refresh_tokens_cookie_is_bound_to_the_path,
}

pub const BELOW_A_PATH: (&str, &str) = ("PUBLIC_URL", "https://www.example.org/auth");
pub const ISSUER_WITH_A_SLASH: (&str, &str) = ("PUBLIC_URL", "https://www.example.org/auth/");
pub const ORIGIN: &str = "https://www.example.org";

async fn one_registers_signs_in_and_signs_out_below_the_path(pair: Pair) {
    let server = TestServer::with(&[BELOW_A_PATH]).await;
    assert_serves_below_the_path(server.address(), pair).await;
}

/// Asserts that somebody new registers, signs in and signs out below `/auth` at this address, and other origins don't.
pub async fn assert_serves_below_the_path(to: SocketAddr, pair: Pair) {
    let mut client = Client::at_address(to, pair);
    let at = |tail: &str| format!("/auth{}", pair.mode.path(tail));
    let post = |client: &Client, tail: &str| client.request("POST", &at(tail)).header("Origin", ORIGIN);

    client.send(post(&client, "register").json(&registration("ada"))).await.expect(201);
    client.send(post(&client, "login").json(&pair.credentials("ada"))).await.ok();
    for path in [at("profile").as_str(), "/auth/profile", "/auth/account/logins"] {
        client.get(path).await.ok();
    }
    let refresh = match &client.refresh_token {
        Some(token) => Request::post(&at("refresh")).json(&json!({ "refresh_token": token })),
        None => post(&client, "refresh"),
    };
    client.send(refresh).await.ok();
    let before = client.clone();
    client.send(post(&client, "logout")).await.expect(204);
    assert!(client.jar.is_empty());
    before.get("/auth/profile").await.problem(401, pair.mode.ended());

    let foreign = Request::post(&at("login")).header("Origin", format!("{ORIGIN}/auth"));
    foreign.json(&pair.credentials("ada")).send(to).await.problem(403, "cross_origin");
}

async fn only_the_refresh_tokens_cookie_is_bound_to_the_path(pair: Pair) {
    let server = TestServer::with(&[BELOW_A_PATH]).await;
    server.user("ada").await;
    let mut client = Client::new(&server, pair);
    let set = client.login(&pair.credentials("ada")).await.set_cookies();
    let places: Vec<_> =
        set.iter().map(|it| (it.name.as_str(), it.path.as_deref().expect("a path"))).collect();
    match pair.mode {
        Mode::Session => assert_eq!(places, [("__Host-sessionid", "/")]),
        Mode::Jwt => {
            assert_eq!(places, [("__Host-access_token", "/"), ("__Secure-refresh_token", "/auth/jwt")]);
        }
    }
    let logout = client.request("POST", &format!("/auth{}", client.path("logout")));
    let cleared = client.send(logout).await.expect(204).set_cookies();
    let cleared: Vec<_> =
        cleared.iter().map(|it| (it.name.as_str(), it.path.as_deref().expect("a path"))).collect();
    assert_eq!(cleared, places);
}

/// What a page links to or loads.
fn links(page: &Response) -> BTreeSet<String> {
    let text = page.text();
    let after = |attribute: &str| -> Vec<String> {
        let parts = text.split(attribute).skip(1);
        parts.filter_map(|part| part.split_once('"').map(|(link, _)| link.to_owned())).collect()
    };
    let links = [after("href=\""), after("src=\"")].concat();
    links.into_iter().filter(|link| !link.starts_with('#')).collect()
}

/// Asserts that pages, what they link to and what they load are below `/auth` at this address.
pub async fn assert_pages_are_below_the_path(to: SocketAddr) {
    let get = async |path: &str| Request::get(path).send(to).await;
    for page in ["/auth/", "/auth/compare", "/auth/docs/"] {
        let links = links(&get(page).await.expect(200));
        assert!(links.len() > 4, "{links:?}");
        for link in links {
            let link = if link.starts_with('/') { link } else { format!("{page}{link}") };
            assert!(link.starts_with("/auth/"), "{link} of {page}");
            get(&link).await.expect(200);
        }
    }
    let docs = get("/auth/docs").await.expect(303);
    assert!(docs.header("location").is_some_and(|it| it.ends_with("/auth/docs/")), "{docs}");
    let document = get("/auth/openapi.json").await.ok();
    assert_eq!(document["servers"][0]["url"], "/auth");
}

#[tokio::test]
async fn pages_and_what_they_link_to_are_below_the_path() {
    let server = TestServer::with(&[BELOW_A_PATH]).await;
    assert_pages_are_below_the_path(server.address()).await;
    let without_slash = server.send(Request::get("/auth")).await.expect(200);
    assert_eq!(without_slash.text(), server.send(Request::get("/auth/")).await.expect(200).text());
    assert_eq!(without_slash.text(), server.send(Request::get("/")).await.expect(200).text());
}

/// Asserts that programs find the metadata of the issuer `https://www.example.org/auth` at this proxy, and what it names. They
/// ask below the path, and beside it.
pub async fn assert_metadata_is_found(to: SocketAddr) {
    let metadata = Request::get("/.well-known/oauth-authorization-server/auth").send(to).await.ok();
    let issuer = "https://www.example.org/auth";
    assert_eq!(metadata["issuer"], issuer);
    assert_eq!(metadata["jwks_uri"], format!("{issuer}/.well-known/jwks.json"));
    let openid = Request::get("/.well-known/openid-configuration/auth").send(to).await.ok();
    assert_eq!(openid, metadata);
    for endpoint in ["introspection_endpoint", "revocation_endpoint"] {
        let path = text(&metadata[endpoint]).strip_prefix(ORIGIN).expect("this server's");
        Request::post(path).send(to).await.oauth_problem(401, "not_authenticated");
    }
    for document in ["jwks_uri", "service_documentation"] {
        let path = text(&metadata[document]).strip_prefix(ORIGIN).expect("this server's");
        Request::get(path).send(to).await.expect(200);
    }
}

#[tokio::test]
async fn programs_find_the_metadata_of_an_issuer_with_a_path() {
    let server = TestServer::with(&[ISSUER_WITH_A_SLASH]).await;
    assert_metadata_is_found(server.address()).await;
    let path = "/.well-known/oauth-authorization-server";
    let metadata = server.send(Request::get(&format!("{path}/auth"))).await.ok();
    for path in [format!("/auth{path}"), path.to_owned(), "/auth/.well-known/openid-configuration".to_owned()]
    {
        assert_eq!(server.send(Request::get(&path)).await.ok(), metadata);
    }
    for elsewhere in [format!("{path}/other"), format!("{path}/authx"), format!("/auth{path}/authx")] {
        server.send(Request::get(&elsewhere)).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn a_path_is_whole_segments_as_they_are_written() {
    let server = TestServer::with(&[("PUBLIC_URL", "https://www.example.org/apps/auth")]).await;
    for path in ["/apps/auth/health/live", "/health/live", "/apps/auth/", "/apps/auth", "/apps/auth?x=/", "/"]
    {
        server.send(Request::get(path)).await.expect(200);
    }
    for path in [
        "/apps/authx/health/live",
        "/apps/auth/apps/auth/health/live",
        "/apps/health/live",
        "/apps",
        "/Apps/Auth/health/live",
        "/apps/%61uth/health/live",
        "//apps/auth/health/live",
        "/apps/auth//health/live",
        "/apps//auth/health/live",
        "/apps/auth/../health/live",
        "/apps/auth/%2e%2e/health/live",
        "/x/../apps/auth/health/live",
        "/apps/auth%2fhealth/live",
        "/health/live/apps/auth",
    ] {
        server.send(Request::get(path)).await.problem(404, "not_found");
    }
    let asked_by_a_proxy = server.send(Request::new("PUT", "/apps/auth/verify/apps/x")).await;
    asked_by_a_proxy.problem(401, "not_authenticated");
    let other_method = server.send(Request::post("/apps/auth/health/live")).await;
    other_method.problem(405, "method_not_allowed");
    let server = TestServer::start().await;
    server.send(Request::get("/auth/health/live")).await.problem(404, "not_found");
}

#[tokio::test]
async fn routes_are_counted_without_the_path() {
    let server = TestServer::with(&[BELOW_A_PATH, METRICS]).await;
    for path in ["/auth/health/live", "/health/live", "/auth/health/live?x=1"] {
        server.send(Request::get(path)).await.expect(200);
    }
    let count = "dualauth_http_requests_total{method=\"GET\",route=\"/health/live\",status=\"200\"}";
    eventually("three requests of one route", async || server.metric(count).await == 3.0).await;
}

/// Else a path of PUBLIC_URL that is one of them as well would not be refused, and could be read in two ways.
#[test]
fn every_path_of_the_service_is_known_to_the_settings() {
    let document: serde_json::Value =
        serde_json::from_str(include_str!("../../openapi/openapi.json")).expect("the committed document");
    let routes = document["paths"].as_object().expect("paths").keys().map(String::as_str);
    let first = |path: &str| path.split('/').nth(1).map(str::to_owned).filter(|it| !it.is_empty());
    let apart = ["/compare.json"];
    let own: BTreeSet<String> = routes.chain(apart).chain(dualauth::web::PAGES).filter_map(first).collect();
    let known: BTreeSet<String> = dualauth::config::OWN_PATHS.map(str::to_owned).into();
    assert_eq!(own, known);
}
