//! What is no HTTP is refused like everything else: with a problem document, a line and a number.

use serde_json::Value;

use crate::support::{
    cluster::Database,
    eventually,
    http::{Connection, Response},
    program::{Server, folder},
    server::{METRICS, TestServer},
};

/// What the parser refuses, as it may come from a proxy, a wrong client or somebody who means no good.
fn refused() -> Vec<(&'static str, Vec<u8>)> {
    let with = |headers: &str| format!("GET /health/live HTTP/1.1\r\nHost: x\r\n{headers}\r\n").into_bytes();
    let many: String = (0..97).map(|number| format!("X-{number}: x\r\n")).collect();
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(70_000));
    vec![
        ("no request line", b"nonsense\r\n\r\n".to_vec()),
        ("an empty method", b" / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("no path", b"GET HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a space in the path", b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a version to come", b"GET / HTTP/3.0\r\nHost: x\r\n\r\n".to_vec()),
        ("HTTP/0.9", b"GET /\r\n".to_vec()),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("no Host", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("two Hosts", with("Host: y\r\n")),
        ("a header without a colon", with("nonsense\r\n")),
        ("a header with a space in its name", with("X Y: x\r\n")),
        ("a space before the colon", with("Content-Length : 0\r\n")),
        ("a control character", with("X: a\x00b\r\n")),
        ("a folded header", with("X: a\r\n b\r\n")),
        ("two lengths", with("Content-Length: 1\r\nContent-Length: 1\r\n")),
        ("a length with a sign", with("Content-Length: +1\r\n")),
        ("a length that is none", with("Content-Length: 0x1\r\n")),
        ("a length and chunks", with("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n")),
        ("another coding", with("Transfer-Encoding: gzip\r\n")),
        ("two codings", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")),
        ("too many headers", with(&many)),
        ("a path that is too long to be one", long.into_bytes()),
    ]
}

/// What each is answered with.
fn status(what: &str) -> u16 {
    match what {
        "too many headers" => 431,
        "a path that is too long to be one" => 414,
        _ => 400,
    }
}

#[track_caller]
fn assert_problem(what: &str, answer: &str, status: u16, code: &str) -> Response {
    assert_eq!(answer.matches("\r\nx-request-id: ").count(), 1, "{what}: {answer}");
    let response =
        Response::parse(what, answer.as_bytes()).unwrap_or_else(|| panic!("{what}: no answer: {answer}"));
    let response = response.problem(status, code).not_stored();
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{what}: {response}");
    assert!(response.header("content-security-policy").is_some(), "{what}: {response}");
    assert!(response.header("x-request-id").is_some_and(|id| id.len() == 32), "{what}: {response}");
    assert!(response.header("date").is_some(), "{what}: {response}");
    response
}

#[tokio::test]
async fn what_the_parser_refuses_is_a_problem_and_the_connection_ends() {
    let server = TestServer::with(&[METRICS]).await;
    let before = "dualauth_problems_total{code=\"malformed_request\"}";
    let of_route = "dualauth_http_requests_total{method=\"other\",route=\"unknown\",status=\"400\"}";
    let refused = refused();
    for (what, bytes) in &refused {
        let mut connection = Connection::open(server.address()).await;
        connection.try_write(bytes).await;
        // What comes after a refusal is not looked at.
        connection.try_write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let response = assert_problem(what, &connection.rest().await, status(what), "malformed_request");
        assert_ne!(response.header("connection"), Some("keep-alive"), "{what}: {response}");
    }
    assert_eq!(server.metric(before).await as usize, refused.len());
    assert!(server.metric(of_route).await >= 1.0);
}

#[tokio::test]
async fn an_allowed_origin_reads_what_the_parser_refuses() {
    let server = TestServer::with(&[("ALLOWED_ORIGINS", "https://app.example.org")]).await;
    let many: String = (0..97).map(|number| format!("X-{number}: x\r\n")).collect();
    let app = "Origin: https://app.example.org\r\n";
    let evil = "Origin: https://evil.example.org\r\n";
    let long = "x".repeat(200_000);
    let path = "x".repeat(70_000);
    for (request, status, is_shared) in [
        (format!("GET /profile HTTP/1.1\r\nHost: x\r\n{app}{many}\r\n"), 431, true),
        (format!("GET /profile HTTP/1.1\r\nHost: x\r\n{many}{app}\r\n"), 431, true),
        (
            format!("POST /profile HTTP/1.1\r\nHost: x\r\norigin:https://app.example.org \r\n{many}\r\n"),
            431,
            true,
        ),
        (format!("GET /profile HTTP/1.1\r\nHost: x\r\n{app}X: {long}\r\n\r\n"), 431, true),
        (format!("GET /{path} HTTP/1.1\r\nHost: x\r\n{app}\r\n"), 414, true),
        (format!("GET /{long} HTTP/1.1\r\nHost: x\r\n{app}\r\n"), 414, false),
        (format!("GET /profile HTTP/1.1\r\nHost: x\r\n{app}Content-Length: x\r\n\r\n"), 400, true),
        (format!("GET /profile HTTP/1.1\r\nHost: x\r\n{evil}{many}\r\n"), 431, false),
        (format!("GET /profile HTTP/1.1\r\nHost: x\r\n{app}{app}{many}\r\n"), 431, false),
        (format!("GET /profile HTTP/1.1\r\nHost: x\r\n{app}{evil}{many}\r\n"), 431, false),
        (format!("GET /profile HTTP/1.1\r\nHost: x\r\nX-{app}{many}\r\n"), 431, false),
        (format!("GET /verify HTTP/1.1\r\nHost: x\r\n{app}{many}\r\n"), 431, false),
        (format!("nonsense\r\n{app}\r\n"), 400, false),
        // In a body.
        (format!("GET /profile HTTP/9.1\r\nHost: x\r\n\r\n{app}\r\n"), 400, false),
    ] {
        let mut connection = Connection::open(server.address()).await;
        connection.try_write(request.as_bytes()).await;
        let what = &request[..request.len().min(200)];
        let response = assert_problem(what, &connection.rest().await, status, "malformed_request");
        let origin = is_shared.then_some("https://app.example.org");
        assert_eq!(response.header("access-control-allow-origin"), origin, "{what}: {response}");
        assert_eq!(response.header("access-control-allow-credentials").is_some(), is_shared, "{what}");
        assert!(response.list("vary").contains(&"origin".to_owned()), "{what}: {response}");
    }
}

#[tokio::test]
async fn what_was_asked_before_is_answered_before() {
    let server = TestServer::start().await;
    let good = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
    for (what, bad) in refused() {
        let mut connection = Connection::open(server.address()).await;
        connection.try_write(&[good.as_bytes(), good.as_bytes(), &bad].concat()).await;
        let all = connection.rest().await;
        assert_eq!(all.matches("HTTP/1.1 200 OK").count(), 2, "{what}: {all}");
        let last = &all[all.rfind("HTTP/1.1 4").unwrap_or_else(|| panic!("{what}: {all}"))..];
        // How much of a path is known depends on what came with the requests before it.
        let is_cut = what.starts_with("a path") && last.starts_with("HTTP/1.1 400");
        let status = if is_cut { 400 } else { status(what) };
        assert_problem(what, last, status, "malformed_request");
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_or_too_slow_is_a_problem_too() {
    let server = TestServer::start().await;
    let mut slow = Connection::open(server.address()).await;
    slow.write("GET /health/live HTTP/1.1\r\nHo").await;
    let silent = Connection::open(server.address()).await;
    let mut huge = Connection::open(server.address()).await;
    huge.try_write(format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(140_000)).as_bytes()).await;
    assert_problem("huge", &huge.rest().await, 431, "malformed_request");
    assert_problem("slow", &slow.rest().await, 408, "timeout");
    // Nothing was asked: nothing is answered.
    silent.assert_closed().await;
}

#[tokio::test]
async fn what_the_parser_refuses_is_written_down() {
    let database = Database::migrated().await;
    let settings = [("DATABASE_URL", database.url().as_str()), ("LOG_FORMAT", "json")];
    let server = Server::start(&folder(), &settings).await;
    for (bytes, method, path) in [
        ("GET /profile?token=hunter2 HTTP/1.1\r\n\r\n", "GET", "/profile"),
        ("POST /session/logout HTTP/9.9\r\n\r\n", "POST", "/session/logout"),
        // It may be the rest of somebody's body.
        ("\"password\":\"hunter2\"}\r\n\r\n", "-", "-"),
        ("\x16\x03\x01", "-", "-"),
    ] {
        let mut connection = Connection::open(server.address()).await;
        connection.write(bytes).await;
        let answer = connection.rest().await;
        let response = assert_problem(bytes, &answer, 400, "malformed_request");
        let id = response.header("x-request-id").expect("an id").to_owned();
        let line = || {
            let output = server.output();
            let mut lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.find(|line| line["request_id"] == id && line["target"] == "dualauth::access")
        };
        eventually("a line", async || line().is_some()).await;
        let line = line().expect("a line");
        assert_eq!((&line["method"], &line["path"]), (&Value::from(method), &Value::from(path)), "{line}");
        assert_eq!((&line["status"], &line["code"]), (&Value::from(400), &Value::from("malformed_request")));
        assert_eq!(line["client"], "127.0.0.1", "{line}");
    }
    assert!(!server.output().contains("hunter2"));
    assert!(server.terminate().await.success());
}
