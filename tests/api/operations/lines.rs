//! The access line: one for each request, by which it is found again.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    client::{Client, Pair},
    cluster::Database,
    eventually,
    http::{Request, Response},
    program::{Server, folder},
    proxy::Proxy,
    server::{credentials, registration},
    text,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A server that writes JSON, with a user called ada.
struct Stage {
    server: Server,
    proxy: Proxy,
    _database: Arc<Database>,
}

impl Stage {
    async fn set(settings: &[(&str, &str)]) -> Self {
        let database = Arc::new(Database::migrated().await);
        let proxy = Proxy::in_front_of(&database).await;
        let url = proxy.url().to_string();
        let all = [("DATABASE_URL", url.as_str()), ("LOG_FORMAT", "json")];
        let all: Vec<_> = all.iter().chain(settings).copied().collect();
        let server = Server::start(&folder(), &all).await;
        server.send(Request::post("/session/register").json(&registration("ada"))).await.expect(201);
        Self { server, proxy, _database: database }
    }

    /// Every line that has the id of this response's request.
    fn lines(&self, response: &Response) -> Vec<Value> {
        let id = response.header("x-request-id").expect("an id");
        let lines = self.server.output();
        let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["request_id"] == id).collect()
    }

    /// The access line of this response, once it is written.
    async fn access_line(&self, response: &Response) -> Value {
        let of_access = |line: &Value| line["target"] == "dualauth::access";
        eventually("an access line", async || self.lines(response).iter().any(of_access)).await;
        let mut lines = self.lines(response);
        lines.retain(of_access);
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0)
    }
}

#[tokio::test]
async fn a_page_of_another_site_that_signs_in_by_cookie_is_told_of() {
    let stage = Stage::set(&[("ALLOWED_ORIGINS", "https://app.example.org")]).await;
    let told = || stage.server.output().matches("cross-site sign-in by cookie").count();
    for pair in Pair::ALL {
        let login = Request::post(&pair.mode.path("login")).json(&pair.credentials("ada"));
        let from_page = login.header("Origin", "https://app.example.org");
        for (site, is_told) in [("same-site", false), ("cross-site", pair.by_cookie())] {
            let before = told();
            let response =
                stage.server.send(from_page.clone().header("Sec-Fetch-Site", site)).await.expect(200);
            stage.access_line(&response).await;
            assert_eq!(told() - before, usize::from(is_told), "{pair:?} {site}");
        }
    }
    assert!(stage.server.output().contains("https://app.example.org"));
}

#[tokio::test]
async fn a_request_is_found_by_its_id_and_its_line_says_who_sent_it() {
    let stage = Stage::set(&[]).await;
    for pair in Pair::ALL {
        let mut client = Client::at_address(stage.server.address(), pair);
        let login = client.login(&pair.credentials("ada")).await.expect(200);
        let login_id = text(&login.json()["login"]["id"]).to_owned();
        let user_id = text(&login.json()["user"]["user_id"]).to_owned();
        let refresh = client.refresh().await.expect(200);
        let profile = client.get("/profile?token=hunter2").await.expect(200);
        let forgotten = client.without_csrf("POST", &client.path("logout-all"));
        let forgotten = if pair.by_cookie() { forgotten } else { client.request("GET", "/verify") };
        let forgotten = stage.server.send(forgotten).await;
        let logout = client.logout().await.expect(204);

        for (response, method, path) in [
            (&login, "POST", client.path("login")),
            (&refresh, "POST", client.path("refresh")),
            (&profile, "GET", "/profile".to_owned()),
            (&logout, "POST", client.path("logout")),
        ] {
            let line = stage.access_line(response).await;
            assert_eq!(line["method"], method, "{line}");
            assert_eq!(line["path"], path, "{line}");
            assert_eq!(line["status"], response.status, "{line}");
            assert_eq!(line["user_id"], user_id, "{line}");
            assert_eq!(line["login_id"], login_id, "{line}");
            assert_eq!(line["mode"], pair.mode.name(), "{line}");
            assert_eq!(line["client"], "127.0.0.1", "{line}");
            assert!(line["micros"].is_u64() && line["timestamp"].is_string(), "{line}");
            assert_eq!(line["code"], Value::Null, "{line}");
        }
        // Who was known, but did not prove that they meant it.
        if pair.by_cookie() {
            let line = stage.access_line(&forgotten.problem(403, "csrf_failed")).await;
            assert_eq!((&line["user_id"], &line["code"]), (&json!(user_id), &json!("csrf_failed")));
        }
    }
    assert!(!stage.server.output().contains("hunter2"));
}

#[tokio::test]
async fn a_problem_is_named_in_the_line() {
    let stage = Stage::set(&[]).await;
    for (request, code) in [
        (Request::get("/profile"), "not_authenticated"),
        (Request::get("/nothing"), "not_found"),
        (Request::post("/profile"), "method_not_allowed"),
        (Request::post("/jwt/login").json(&credentials("nobody")), "invalid_credentials"),
        (Request::post("/jwt/login").json(&json!([])), "validation_failed"),
        (Request::post("/jwt/login").header("Origin", "https://evil.example.org"), "cross_origin"),
        (Request::get(&format!("/{}", "x".repeat(9_000))), "malformed_request"),
    ] {
        let response = stage.server.send(request).await;
        let line = stage.access_line(&response).await;
        assert_eq!(line["code"], code, "{line}");
        assert_eq!(response.json()["code"], code);
        assert_eq!(line["user_id"], Value::Null, "{line}");
    }
}

#[tokio::test]
async fn a_request_whose_client_went_has_its_line() {
    let stage = Stage::set(&[]).await;
    let mut client = Client::at_address(stage.server.address(), Pair::SESSION_BEARER);
    let login = client.login(&client.pair.credentials("ada")).await.ok();
    // It is remembered who that is.
    client.profile().await.ok();
    stage.proxy.set_delay(Duration::from_millis(500));
    for (method, path) in [("GET", "/account/logins"), ("POST", "/session/refresh")] {
        let begun = tokio::time::sleep(Duration::from_millis(200));
        client.request(method, path).send_and_reset_when(stage.server.address(), begun).await;
        let line = || {
            let output = stage.server.output();
            let lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.into_iter().find(|line| line["path"] == path)
        };
        eventually("a line", async || line().is_some()).await;
        let line = line().expect("a line");
        assert_eq!((&line["method"], &line["status"]), (&json!(method), &json!(499)), "{line}");
        assert_eq!(line["user_id"], login["user"]["user_id"], "{line}");
        assert_eq!(line["code"], Value::Null, "{line}");
    }
}

#[tokio::test]
async fn the_callers_trace_goes_on() {
    let stage = Stage::set(&[]).await;
    let good = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let response = stage.server.send(Request::get("/profile").header("traceparent", &good)).await;
    assert_eq!(response.header("x-request-id"), Some(TRACE));
    assert_eq!(stage.access_line(&response).await["status"], 401);

    let upper = good.to_uppercase();
    for bad in ["", "x", &good[..54], &upper, &format!("{good}, {good}")] {
        let response = stage.server.send(Request::get("/profile").header("traceparent", bad)).await;
        assert_ne!(response.header("x-request-id"), Some(TRACE), "{bad}");
    }
    let twice = Request::get("/profile").header("traceparent", &good).header("traceparent", &good);
    assert_ne!(stage.server.send(twice).await.header("x-request-id"), Some(TRACE));
}

#[tokio::test]
async fn what_goes_wrong_in_a_request_is_logged_with_its_id() {
    let stage = Stage::set(&[]).await;
    stage.proxy.go_away();

    let response = stage.server.send(Request::post("/jwt/login").json(&credentials("ada"))).await;

    let response = response.problem(503, "unavailable");
    assert_eq!(stage.access_line(&response).await["code"], "unavailable");
    let lines = stage.lines(&response);
    let warned = |line: &&Value| line["level"] == "WARN" && line["message"] == "request answered with 503";
    assert_eq!(lines.iter().filter(warned).count(), 1, "{lines:?}");
}

#[tokio::test]
async fn the_client_is_who_a_trusted_proxy_says() {
    let forwarded = || Request::get("/profile").header("X-Forwarded-For", "6.6.6.6, 203.0.113.9");
    for (settings, client) in [(&[][..], "127.0.0.1"), (&[("TRUSTED_PROXIES", "127.0.0.1")], "203.0.113.9")] {
        let stage = Stage::set(settings).await;
        let response = stage.server.send(forwarded()).await;
        assert_eq!(stage.access_line(&response).await["client"], client);
    }
}

#[tokio::test]
async fn lines_for_people_say_the_same() {
    let stage = Stage::set(&[("LOG_FORMAT", "pretty")]).await;
    let response = stage.server.send(Request::get("/profile?x=hunter2")).await;
    let id = response.header("x-request-id").expect("an id").to_owned();
    let line = || {
        let output = stage.server.output();
        output.lines().find(|line| line.contains(&id)).map(str::to_owned)
    };
    eventually("a line", async || line().is_some()).await;
    let line = line().expect("a line");
    let expected = [
        " INFO dualauth::access: request method=\"GET\" path=\"/profile\" status=401 micros=",
        " client=127.0.0.1 code=not_authenticated",
    ];
    assert!(expected.iter().all(|part| line.contains(part)), "{line}");
}
