//! `/metrics`, as Prometheus reads it.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{
    client::{Client, Pair},
    eventually,
    http::Request,
    server::{METRICS, ONE_NAME, TestServer, credentials},
    with,
};

/// Samples by their names with labels.
struct Samples(BTreeMap<String, f64>);

impl Samples {
    async fn of(server: &TestServer) -> Self {
        let address = server.metrics_address().expect("an address");
        let response = Request::get("/metrics").send(address).await.expect(200).not_stored();
        assert_eq!(response.header("content-type"), Some("text/plain; version=0.0.4"));
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        let text = response.text();
        let mut samples = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("a sample, not {line:?}"));
            let value = value.parse().unwrap_or_else(|_| panic!("a number in {line:?}"));
            assert!(name.starts_with("dualauth_"), "{line}");
            assert_eq!(samples.insert(name.to_owned(), value), None, "{line} twice");
        }
        for name in samples.keys().map(|name| name.split('{').next().expect("a name")) {
            let of =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(
                text.contains(&format!("# TYPE {of} ")) && text.contains(&format!("# HELP {of} ")),
                "{of}"
            );
        }
        Self(samples)
    }

    /// 0 when there is none.
    fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    fn requests(&self, method: &str, route: &str, status: u16) -> f64 {
        self.get(&format!(
            "dualauth_http_requests_total{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}"
        ))
    }

    fn sign_ins(&self, pair: Pair, outcome: &str) -> f64 {
        let (mode, transport) = (pair.mode.name(), pair.transport.name());
        self.get(&format!(
            "dualauth_sign_ins_total{{mode=\"{mode}\",outcome=\"{outcome}\",transport=\"{transport}\"}}"
        ))
    }
}

#[tokio::test]
async fn there_are_none_unless_they_are_asked_for_and_never_beside_the_service() {
    for settings in [&[][..], &[METRICS]] {
        let server = TestServer::with(settings).await;
        assert_eq!(server.metrics_address().is_some(), !settings.is_empty());
        server.send(Request::get("/metrics")).await.problem(404, "not_found");
        if let Some(address) = server.metrics_address() {
            assert_ne!(address, server.address());
            for path in ["/", "/profile", "/health/live"] {
                Request::get(path).send(address).await.problem(404, "not_found");
            }
            let head = Request::new("HEAD", "/metrics").send(address).await.expect(200).not_stored();
            assert_eq!(head.text(), "");
            for method in ["POST", "DELETE", "BREW"] {
                let response = Request::new(method, "/metrics").send(address).await;
                let response = response.problem(405, "method_not_allowed");
                assert_eq!(response.list("allow"), ["get", "head", "options"], "{response}");
            }
            let options = Request::new("OPTIONS", "/metrics").send(address).await.expect(204);
            assert_eq!(options.list("allow"), ["get", "head", "options"], "{options}");
        }
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_method_and_status() {
    let server = TestServer::with(&[METRICS]).await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    for _ in 0..3 {
        client.get("/session/profile").await.ok();
    }
    for key in ["one", "two"] {
        let put = client.request("PUT", &format!("/session/data/{key}")).json(&json!(1));
        server.send(put).await.expect(204);
    }
    server.send(client.request("HEAD", "/profile")).await.expect(200);
    server.send(Request::get("/profile")).await.expect(401);
    server.send(Request::new("BREW", "/profile")).await.expect(405);
    for path in ["/hunter2", "/session/data/", "/session/data/a/b", "/session/hunter2", "/docs/hunter2/"] {
        server.send(Request::get(path)).await.expect(404);
    }
    server.send(Request::get("/docs/setup.js")).await.expect(200);
    server.send(Request::get("/docs/hunter2")).await.expect(404);
    server.send(Request::get("/docs/")).await.expect(200);

    let samples = Samples::of(&server).await;

    for (method, route, status, count) in [
        ("GET", "/session/profile", 200, 3.0),
        ("PUT", "/session/data/{key}", 204, 2.0),
        ("HEAD", "/profile", 200, 1.0),
        ("GET", "/profile", 401, 1.0),
        ("other", "/profile", 405, 1.0),
        ("GET", "unknown", 404, 5.0),
        ("GET", "/docs/{file}", 200, 1.0),
        ("GET", "/docs/{file}", 404, 1.0),
        ("GET", "/docs/", 200, 1.0),
        ("POST", "/session/register", 201, 1.0),
        ("POST", "/session/login", 200, 1.0),
    ] {
        assert_eq!(samples.requests(method, route, status), count, "{method} {route} {status}");
    }
    let of_profile = "dualauth_http_request_duration_seconds_count{route=\"/session/profile\"}";
    assert_eq!(samples.get(of_profile), 3.0);
    assert_eq!(samples.get("dualauth_problems_total{code=\"not_found\"}"), 6.0);
    assert_eq!(samples.get("dualauth_problems_total{code=\"not_authenticated\"}"), 1.0);
    // A label is nothing that a client has chosen.
    assert!(samples.0.keys().all(|name| !name.contains("hunter2") && !name.contains("BREW")));
}

#[tokio::test]
async fn attempts_to_sign_in_are_counted_by_what_came_of_them() {
    let server = TestServer::with(&[METRICS]).await;
    server.user("ada").await;
    for pair in Pair::ALL {
        Client::signed_in(&server, pair, "ada").await;
        let wrong = with(pair.credentials("ada"), "password", "no lantern, no weir");
        for _ in 0..2 {
            Client::new(&server, pair).login(&wrong).await.expect(401);
        }
    }
    let samples = Samples::of(&server).await;
    for pair in Pair::ALL {
        assert_eq!(samples.sign_ins(pair, "started"), 1.0, "{pair:?}");
        assert_eq!(samples.sign_ins(pair, "invalid_credentials"), 2.0, "{pair:?}");
    }
}

#[tokio::test]
async fn a_node_tells_what_it_remembers_and_what_it_hears_of_others() {
    let server = TestServer::with(&[METRICS, ONE_NAME]).await;
    let node = server.another_node().await;
    server.user("ada").await;
    let mut clients = Client::in_every_way(&server, "ada").await;
    let before = Samples::of(&node).await;
    for client in &clients {
        client.at(&node).profile().await.ok();
    }
    let sessions = "dualauth_directory_entries{kind=\"sessions\"}";
    assert_eq!(Samples::of(&node).await.get(sessions), before.get(sessions) + 2.0);

    for client in &mut clients {
        client.logout().await.expect(204);
    }

    let count = async |name: &str| Samples::of(&node).await.get(name) - before.get(name);
    eventually("the revocations", async || count("dualauth_revocations_total").await >= 4.0).await;
    let lags = count("dualauth_revocation_lag_seconds_count").await;
    assert_eq!(lags, count("dualauth_revocations_total").await);
    assert_eq!(count("dualauth_directory_entries{kind=\"ended_logins\"}").await, 4.0);
    assert_eq!(count(sessions).await, 0.0);
    // Each node counts for itself.
    assert_eq!(
        count("dualauth_http_requests_total{method=\"POST\",route=\"/jwt/login\",status=\"200\"}").await,
        0.0
    );
}

#[tokio::test]
async fn how_old_a_nodes_knowledge_is_can_be_watched() {
    let (server, proxy) = TestServer::behind_a_proxy(&[METRICS]).await;
    let age = async || Samples::of(&server).await.get("dualauth_directory_age_seconds");
    eventually("fresh knowledge", async || age().await < 1.0).await;
    proxy.go_away();
    eventually("stale knowledge", async || age().await > 1.0).await;
    proxy.come_back();
    eventually("fresh knowledge again", async || age().await < 1.0).await;
}

#[tokio::test]
async fn events_that_wait_for_the_audit_trail_or_were_lost_are_told() {
    let (server, proxy) = TestServer::behind_a_proxy(&[METRICS]).await;
    let refused = || server.send(Request::post("/jwt/introspect").basic("x", "y").form(&[("token", "z")]));
    let events = async |state: &str| {
        Samples::of(&server).await.get(&format!("dualauth_audit_events{{state=\"{state}\"}}"))
    };
    proxy.cut().await;
    for _ in 0..8 {
        refused().await.expect(401);
    }
    assert_eq!((events("waiting").await, events("lost").await), (8.0, 0.0));
    // A stranger fills no disk.
    eventually("some that are not taken", async || {
        join_all((0..30).map(|_| refused())).await;
        events("lost").await > 0.0
    })
    .await;
    proxy.come_back();
    eventually("all to be written", async || events("waiting").await == 0.0).await;
}

#[tokio::test]
async fn connections_are_counted_by_pool() {
    let server = TestServer::with(&[METRICS]).await;
    server.user("ada").await;
    server.send(Request::post("/jwt/login").json(&credentials("ada"))).await.ok();
    let samples = Samples::of(&server).await;
    for (pool, most) in [("requests", 10.0), ("upkeep", 3.0)] {
        let of_state = |state: &str| {
            samples.get(&format!("dualauth_database_connections{{pool=\"{pool}\",state=\"{state}\"}}"))
        };
        let open = of_state("idle") + of_state("in_use");
        assert!((1.0..=most).contains(&open), "{pool}: {open}");
        assert_eq!(samples.get(&format!("dualauth_database_connections_max{{pool=\"{pool}\"}}")), most);
    }
}
