//! What another site's page can do: nothing that changes anything.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    PASSWORD,
    client::{Client, Mode, Pair, Transport},
    cluster::Database,
    eventually,
    http::{Request, Response},
    program::{Server, folder},
    server::{TestServer, credentials, registration},
    with,
};

const APPS: (&str, &str) = ("ALLOWED_ORIGINS", "https://app.example.org,http://localhost:5173");

/// Every unsafe route, each with all it needs: a new person, a signed-in client of each pair.
async fn unsafe_requests(server: &TestServer, name: &str) -> Vec<Request> {
    server.user(name).await;
    let mut requests = Vec::new();
    for mode in Mode::ALL {
        let newcomer = format!("{name}-by-{}", mode.name());
        requests.push(Request::post(&mode.path("register")).json(&registration(&newcomer)));
        requests.push(Request::post(&mode.path("login")).json(&credentials(name)));
    }
    for pair in Pair::ALL {
        let client = Client::signed_in(server, pair, name).await;
        requests.push(client.refresh_request());
        let client = Client::signed_in(server, pair, name).await;
        requests.push(client.request("POST", &client.path("logout")));
        requests.extend(account_requests(server, &format!("{name}-{}", requests.len()), pair).await);
    }
    requests
}

/// The unsafe routes that touch more than one login or none, for a person of their own: in this order they all work.
async fn account_requests(server: &TestServer, name: &str, pair: Pair) -> Vec<Request> {
    let client = Client::of_new_user(server, pair, name).await;
    let leaving = Client::signed_in(server, pair, name).await;
    let change = json!({ "current_password": PASSWORD, "new_password": "another lantern over the weir" });
    let login = format!("/account/logins/{}", leaving.login_id().await);
    let mut requests =
        vec![client.request("DELETE", &login), client.request("POST", "/account/password").json(&change)];
    if pair.mode == Mode::Session {
        requests.push(client.request("PUT", "/session/data/theme").json(&json!("dark")));
        requests.push(client.request("DELETE", "/session/data/theme"));
    }
    requests.push(client.request("POST", &client.path("logout-all")));
    requests
}

/// Asserts that every unsafe route refuses who sends these headers, and does nothing for them.
async fn assert_all_refuse(server: &TestServer, name: &str, headers: &[(&str, &str)]) {
    for request in unsafe_requests(server, name).await {
        let foreign =
            headers.iter().fold(request.clone(), |request, (header, value)| request.header(header, value));
        let response = server.send(foreign).await.problem(403, "cross_origin");
        assert_eq!(response.set_cookies(), []);
        // It would not, had it been done already.
        assert_done(&server.send(request).await);
    }
}

async fn assert_all_accept(server: &TestServer, name: &str, headers: &[(&str, &str)]) {
    for request in unsafe_requests(server, name).await {
        let request = headers.iter().fold(request, |request, (header, value)| request.header(header, value));
        assert_done(&server.send(request).await);
    }
}

#[track_caller]
fn assert_done(response: &Response) {
    assert!(matches!(response.status, 200 | 201 | 204), "{response}");
}

#[tokio::test]
async fn a_foreign_origin_changes_nothing() {
    let server = TestServer::with(&[APPS]).await;
    let port = server.address().port();
    let origins = [
        "null".to_owned(),
        "https://evil.example.org".to_owned(),
        "https://app.example.org.evil.org".to_owned(),
        "http://app.example.org".to_owned(),
        "https://app.example.org:8443".to_owned(),
        "http://localhost".to_owned(),
        format!("https://localhost:{port}"),
        format!("http://localhost:{}", port ^ 1),
        format!("http://127.0.0.2:{port}"),
        format!("http://evil.localhost:{port}"),
        format!("http://127.0.0.1:{port}.evil.org"),
        format!("http://127.0.0.1:{port}@evil.org"),
        format!("http://127.0.0.1:{port} http://evil.org"),
        String::new(),
    ];
    for (number, origin) in origins.iter().enumerate() {
        let name = format!("user{number}");
        assert_all_refuse(&server, &name, &[("Origin", origin)]).await;
    }
}

#[tokio::test]
async fn this_server_is_localhost_by_every_name_while_no_public_url_is_set() {
    let server = TestServer::start().await;
    let port = server.address().port();
    for (number, host) in ["localhost", "127.0.0.1", "[::1]"].iter().enumerate() {
        let origin = format!("http://{host}:{port}");
        let name = format!("user{number}");
        assert_all_accept(&server, &name, &[("Origin", &origin)]).await;
    }
}

#[tokio::test]
async fn this_server_is_its_public_url_alone() {
    let server = TestServer::with(&[("PUBLIC_URL", "https://auth.example.org")]).await;
    let port = server.address().port();
    assert_all_accept(&server, "ada", &[("Origin", "https://auth.example.org")]).await;
    for (number, origin) in [
        &format!("http://localhost:{port}"),
        &format!("http://127.0.0.1:{port}"),
        "http://auth.example.org",
        "https://example.org",
        "https://auth.example.org:8443",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("user{number}");
        assert_all_refuse(&server, &name, &[("Origin", origin)]).await;
    }
}

#[tokio::test]
async fn an_allowed_origin_is_welcome_whatever_the_browser_calls_it() {
    let server = TestServer::with(&[APPS]).await;
    for (number, origin) in ["https://app.example.org", "http://localhost:5173"].iter().enumerate() {
        let headers = [("Origin", *origin), ("Sec-Fetch-Site", "cross-site")];
        assert_all_accept(&server, &format!("user{number}"), &headers).await;
    }
}

const OWN_SCHEMES: [&str; 4] = [
    "capacitor://localhost",
    "app://-",
    "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb",
    "vscode-webview://1rq2kjh5b6vd:3000",
];

#[tokio::test]
async fn an_app_with_a_scheme_of_its_own_may_call_when_it_is_allowed() {
    let as_typed = OWN_SCHEMES.join(" , ").replace("capacitor://localhost", "Capacitor://LocalHost/");
    let server = TestServer::with(&[("ALLOWED_ORIGINS", &as_typed)]).await;
    server.user("ada").await;
    for (number, origin) in OWN_SCHEMES.iter().enumerate() {
        for mode in Mode::ALL {
            let login =
                Request::post(&mode.path("login")).json(&mode.by(Transport::Bearer).credentials("ada"));
            let response = server.send(login.header("Origin", origin)).await.expect(200);
            assert_shared_with(&response, origin);
            let response = server.send(preflight(&mode.path("login"), origin)).await;
            assert!(matches!(response.status, 200 | 204), "{response}");
            assert_shared_with(&response, origin);
        }
        assert_all_accept(&server, &format!("user{number}"), &[("Origin", origin)]).await;
    }
    for (number, other) in
        ["capacitor://localhost:1", "ionic://localhost", "app://", "null"].iter().enumerate()
    {
        assert_all_refuse(&server, &format!("other{number}"), &[("Origin", other)]).await;
    }
}

#[tokio::test]
async fn without_an_origin_the_browsers_word_on_the_site_counts() {
    let server = TestServer::with(&[APPS]).await;
    for (number, site) in ["same-origin", "none"].iter().enumerate() {
        let name = format!("welcome{number}");
        assert_all_accept(&server, &name, &[("Sec-Fetch-Site", site)]).await;
    }
    for (number, site) in ["same-site", "cross-site", "nonsense", ""].iter().enumerate() {
        let name = format!("refused{number}");
        assert_all_refuse(&server, &name, &[("Sec-Fetch-Site", site)]).await;
    }
}

#[tokio::test]
async fn a_request_does_not_choose_who_this_server_is() {
    let server = TestServer::start().await;
    for (number, header) in [
        ("Host", "evil.example.org"),
        ("X-Forwarded-Host", "evil.example.org"),
        ("Forwarded", "host=evil.example.org;proto=http"),
        ("X-Original-Host", "evil.example.org"),
    ]
    .into_iter()
    .enumerate()
    {
        let headers = [header, ("Origin", "http://evil.example.org")];
        assert_all_refuse(&server, &format!("user{number}"), &headers).await;
    }
}

#[tokio::test]
async fn reading_is_not_refused_to_an_origin() {
    let server = TestServer::start().await;
    server.user("ada").await;
    for pair in Pair::ALL {
        let client = Client::signed_in(&server, pair, "ada").await;
        for path in [&client.path("profile"), "/profile"] {
            let request = client
                .request("GET", path)
                .header("Origin", "https://evil.example.org")
                .header("Sec-Fetch-Site", "cross-site");
            let response = server.send(request).await;
            // The browser keeps the answer from the page that asked.
            assert_eq!(response.header("access-control-allow-origin"), None);
            response.ok();
        }
    }
}

#[tokio::test]
async fn a_cookie_changes_nothing_without_its_own_csrf_token() {
    let server = TestServer::start().await;
    server.user("ada").await;
    for mode in Mode::ALL {
        let mut client = Client::signed_in(&server, mode.by(Transport::Cookie), "ada").await;
        let neighbour = Client::signed_in(&server, client.pair, "ada").await;
        let good = client.csrf_token.clone().expect("a CSRF token");
        for tail in ["refresh", "logout"] {
            let path = client.path(tail);
            let bare = client.without_csrf("POST", &path);
            let response = server.send(bare.clone()).await;
            response.problem(403, "csrf_failed");
            for wrong in [
                "",
                "nonsense",
                &good[..good.len() - 1],
                &format!("{good}A"),
                &good.to_uppercase(),
                &neighbour.csrf_token.clone().expect("a CSRF token"),
                &client.credential(),
            ] {
                let request = bare.clone().header("X-CSRF-Token", wrong);
                let response = server.send(request).await;
                response.problem(403, "csrf_failed");
            }
        }
        client.profile().await.ok();
        client.refresh().await.ok();
        client.logout().await.expect(204);
    }
}

#[tokio::test]
async fn a_csrf_token_proves_nothing_in_a_cookie_or_a_query() {
    let server = TestServer::start().await;
    server.user("ada").await;
    for mode in Mode::ALL {
        let client = Client::signed_in(&server, mode.by(Transport::Cookie), "ada").await;
        let token = client.csrf_token.clone().expect("a CSRF token");
        let path = client.path("logout");
        let cookies = client.jar.header_for(&path).expect("cookies");
        let request = Request::post(&format!("{path}?csrf_token={token}"))
            .header("Cookie", format!("{cookies}; csrf_token={token}; X-CSRF-Token={token}"));
        server.send(request).await.problem(403, "csrf_failed");
    }
}

fn preflight(path: &str, origin: &str) -> Request {
    Request::new("OPTIONS", path)
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "authorization,content-type,x-csrf-token")
}

#[tokio::test]
async fn an_allowed_origin_may_ask_before_it_asks() {
    let server = TestServer::with(&[APPS]).await;
    for path in ["/session/login", "/session/logout", "/jwt/login", "/jwt/refresh"] {
        let response = server.send(preflight(path, "https://app.example.org")).await.expect(204);
        assert_shared_with(&response, "https://app.example.org");
        let methods = response.list("access-control-allow-methods");
        assert!(methods.contains(&"post".to_owned()), "{response}");
        let headers = response.list("access-control-allow-headers");
        for header in ["authorization", "content-type", "x-csrf-token"] {
            assert!(headers.contains(&header.to_owned()), "{response}");
        }
    }
}

#[tokio::test]
async fn an_allowed_origin_may_send_any_header_by_any_method() {
    let server = TestServer::with(&[APPS]).await;
    for headers in [
        "traceparent,baggage",
        "sentry-trace",
        "x-requested-with",
        "cache-control,pragma",
        "authorization,content-type,x-csrf-token,x-request-id,idempotency-key",
        "X-Anything-At-All",
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
            for path in ["/session/login", "/session/data/theme", "/profile", "/nothing"] {
                let request = Request::new("OPTIONS", path)
                    .header("Origin", "https://app.example.org")
                    .header("Access-Control-Request-Method", method)
                    .header("Access-Control-Request-Headers", headers);
                let response = server.send(request).await.expect(204);
                assert_shared_with(&response, "https://app.example.org");
                let methods = response.list("access-control-allow-methods");
                assert!(methods.contains(&method.to_ascii_lowercase()), "{response}");
                assert_eq!(
                    response.list("access-control-allow-headers").join(","),
                    headers.to_ascii_lowercase()
                );
                assert_eq!(response.header("access-control-max-age"), Some("600"));
                assert_eq!(response.header("access-control-allow-private-network"), None);
            }
        }
    }
    let plain = Request::new("OPTIONS", "/profile")
        .header("Origin", "https://app.example.org")
        .header("Access-Control-Request-Method", "GET")
        .header("Access-Control-Request-Private-Network", "true");
    let response = server.send(plain).await.expect(204);
    assert_eq!(response.header("access-control-allow-private-network"), Some("true"));
    assert_eq!(response.header("access-control-allow-headers"), None);
}

#[tokio::test]
async fn another_origin_is_told_so_when_it_asks_and_the_log_names_it() {
    for settings in [&[][..], &[APPS]] {
        let server = TestServer::with(settings).await;
        for origin in
            ["https://evil.example.org", "null", "https://app.example.org:8443", "https://APP.example.org"]
        {
            for path in ["/session/login", "/nothing", "/health/live"] {
                let response = server.send(preflight(path, origin)).await.problem(403, "cross_origin");
                assert_eq!(response.header("access-control-allow-origin"), None, "{response}");
                assert_eq!(response.header("access-control-allow-methods"), None, "{response}");
            }
        }
    }
    let database = Database::migrated().await;
    let server = Server::start(&folder(), &[("DATABASE_URL", database.url().as_str())]).await;
    let named = "https://app-that-was-forgotten.example.org";
    server.send(preflight("/jwt/login", named)).await.problem(403, "cross_origin");
    server.send(preflight("/jwt/login", "a\"b\\c")).await.problem(403, "cross_origin");
    eventually("the origin in the log", async || {
        let output = server.output();
        let lines = || output.lines().filter(|line| line.contains("ALLOWED_ORIGINS"));
        lines().any(|line| line.contains(named)) && lines().any(|line| line.contains(r#"a\"b\\c"#))
    })
    .await;
    assert!(server.terminate().await.success());
}

#[tokio::test]
async fn two_origins_are_none_that_is_allowed() {
    let server = TestServer::with(&[APPS]).await;
    let (app, other) = ("https://app.example.org", "http://localhost:5173");
    for second in [app, other, "https://evil.example.org", "null", ""] {
        for origins in [[app, second], [second, app]] {
            let twice = |request: Request| request.header("Origin", origins[0]).header("Origin", origins[1]);
            let ask = Request::new("OPTIONS", "/jwt/login").header("Access-Control-Request-Method", "POST");
            for (request, status) in [
                (ask, 403),
                (Request::post("/jwt/login").json(&credentials("ada")), 403),
                (Request::get("/profile"), 401),
            ] {
                let response = server.send(twice(request)).await.expect(status);
                assert_eq!(response.header("access-control-allow-origin"), None, "{origins:?}: {response}");
                assert_eq!(response.header("access-control-allow-methods"), None, "{origins:?}: {response}");
                if status == 403 {
                    response.problem(403, "cross_origin");
                }
            }
        }
    }
}

#[track_caller]
fn assert_shared_with(response: &Response, origin: &str) {
    let shared: Vec<&str> = response.all("access-control-allow-origin").collect();
    assert_eq!(shared, [origin], "{response}");
    let credentials: Vec<&str> = response.all("access-control-allow-credentials").collect();
    assert_eq!(credentials, ["true"], "{response}");
    assert!(response.list("vary").contains(&"origin".to_owned()), "{response}");
}

#[tokio::test]
async fn an_allowed_origin_reads_every_answer() {
    let server = TestServer::with(&[APPS, ("LOGIN_LIMIT", "1/1h")]).await;
    server.user("ada").await;
    let from = |request: Request| request.header("Origin", "http://localhost:5173");
    let wrong = with(credentials("nobody"), "password", "no lantern, no weir, none");
    for pair in Pair::ALL {
        let client = Client::signed_in(&server, pair, "ada").await;
        for (request, status) in [
            (client.request("GET", &client.path("profile")), 200),
            (client.request("GET", "/profile"), 200),
            (client.refresh_request(), 200),
            (Request::get(&client.path("profile")), 401),
            (Request::get("/nothing"), 404),
            (Request::get(&client.path("login")), 405),
            (Request::post(&client.path("login")).body("text/plain", "x"), 415),
            (Request::post(&client.path("login")).body("application/json", "[]"), 422),
            (Request::post(&client.path("login")).body("application/json", "{"), 400),
            (Request::post(&client.path("login")).body("application/json", vec![b' '; 20_000]), 413),
            (client.without_csrf("POST", &client.path("logout")), refused_csrf(pair)),
            (Request::get(&format!("/{}", "x".repeat(9_000))), 414),
            (Request::get("/profile").header("X-Large", vec![b'x'; 40_000]), 431),
            (Request::new("OPTIONS", "/profile"), 204),
            (Request::get("/openapi.json"), 200),
        ] {
            let response = server.send(from(request.clone())).await.expect(status);
            assert_shared_with(&response, "http://localhost:5173");
            let exposed = response.list("access-control-expose-headers");
            for header in ["www-authenticate", "retry-after", "x-request-id", "ratelimit", "ratelimit-policy"]
            {
                assert!(exposed.contains(&header.to_owned()), "{response}");
            }
            // What a cache keeps of it is for no other origin.
            let response = server.send(request).await;
            assert_eq!(response.header("access-control-allow-origin"), None, "{response}");
            assert!(response.list("vary").contains(&"origin".to_owned()), "{response}");
        }
    }
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let response = server.send(from(Request::post("/jwt/login").json(&wrong))).await;
        assert_shared_with(&response, "http://localhost:5173");
        statuses.push(response.status);
    }
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    let slow = from(Request::post("/jwt/login"))
        .header("Content-Type", "application/json")
        .header("Content-Length", "9");
    let response = slow.trickle(server.address(), &[], Duration::ZERO).await.problem(408, "timeout");
    assert_shared_with(&response, "http://localhost:5173");
}

/// What a cookie without its CSRF token is answered; a token needs none.
fn refused_csrf(pair: Pair) -> u16 {
    if pair.by_cookie() { 403 } else { 204 }
}

#[tokio::test]
async fn an_allowed_origin_reads_that_postgres_is_away() {
    let (server, proxy) = TestServer::behind_a_proxy(&[APPS]).await;
    proxy.go_away();
    let login =
        Request::post("/jwt/login").json(&credentials("ada")).header("Origin", "http://localhost:5173");
    let response = server.send(login).await.problem(503, "unavailable");
    assert_shared_with(&response, "http://localhost:5173");
}

#[tokio::test]
async fn a_foreign_origin_is_shown_no_answer() {
    for settings in [&[][..], &[APPS]] {
        let server = TestServer::with(settings).await;
        let origin = "https://evil.example.org";
        for request in [
            preflight("/session/login", origin),
            preflight("/jwt/login", origin),
            Request::get("/profile").header("Origin", origin),
            Request::post("/jwt/login").header("Origin", origin).json(&credentials("ada")),
        ] {
            let response = server.send(request).await;
            assert_eq!(response.header("access-control-allow-origin"), None, "{response}");
        }
    }
}
