//! A body of which only a part comes costs the client its connection, however it is framed.

use std::time::Instant;

use futures_util::future::join_all;

use crate::support::{
    PATIENCE, SECOND,
    client::{Client, Pair},
    http::{Connection, Request, Response},
    server::{METRICS, TestServer, credentials},
};

/// A request whose body stops half way.
fn begun(framing: &str, body: &str) -> String {
    format!(
        "POST /jwt/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{framing}\r\n\r\n{body}"
    )
}

const CHUNKED: &str = "Transfer-Encoding: chunked";

/// Asserts that what comes is this answer, and that the connection ends after it.
async fn assert_answered_and_closed(server: &TestServer, request: &str, status: u16, code: &str) {
    let mut connection = Connection::open(server.address()).await;
    connection.write(request).await;
    if request.contains("100-continue") {
        connection.answer("100").await.expect(100);
    }
    let response = connection.answer(request).await.problem(status, code);
    assert_eq!(response.header("connection"), Some("close"), "{request}: {response}");
    assert_eq!(connection.rest().await, "", "{request}");
}

#[tokio::test]
async fn a_body_that_stops_half_way_is_answered_and_the_connection_closed() {
    let server = TestServer::start().await;
    let requests = [
        begun(CHUNKED, ""),
        begun(CHUNKED, "4"),
        begun(CHUNKED, "40\r\n"),
        begun(CHUNKED, "40\r\n{\"username\":"),
        begun(CHUNKED, "2\r\n{}\r\n"),
        begun(CHUNKED, "2\r\n{}\r\n0"),
        begun(CHUNKED, "2\r\n{}\r\n0\r\n"),
        begun(CHUNKED, "2;name=value\r\n{}\r\n"),
        begun("Content-Length: 40", ""),
        begun("Content-Length: 40", "{\"username\":"),
        begun(&format!("{CHUNKED}\r\nExpect: 100-continue"), ""),
        begun("Content-Length: 40\r\nExpect: 100-continue", ""),
        begun(CHUNKED, "").replace("/jwt/login", "/session/logout"),
        begun(CHUNKED, "2\r\n{}\r\n0\r\nX-Trailer: x\r\n"),
        begun("Content-Length: 40", "").replace("HTTP/1.1", "HTTP/1.0\r\nConnection: keep-alive"),
    ];
    let ends = requests.iter().map(async |request| {
        let (status, code) = (408, "timeout");
        if request.contains("HTTP/1.0") {
            let mut connection = Connection::open(server.address()).await;
            connection.write(request).await;
            let all = connection.rest().await;
            let response = Response::parse(request, all.as_bytes()).expect("a whole answer");
            response.problem(status, code);
        } else {
            assert_answered_and_closed(&server, request, status, code).await;
        }
    });
    join_all(ends).await;
}

#[tokio::test]
async fn an_answer_before_the_bodys_end_ends_the_connection() {
    let server = TestServer::start().await;
    let large = format!("{:x}\r\n{}\r\n", 20_000, "x".repeat(20_000));
    let foreign = format!("{CHUNKED}\r\nOrigin: https://evil.example.org");
    let cases = [
        (begun(CHUNKED, "2\r\n{").replace("/jwt/login", "/nothing"), 404, "not_found"),
        (begun(CHUNKED, "2\r\n{").replace("/jwt/login", "/profile"), 405, "method_not_allowed"),
        (begun(CHUNKED, "2\r\n{").replace("application/json", "text/plain"), 415, "unsupported_media_type"),
        (begun(CHUNKED, "2\r\n{").replace("POST /jwt/login", "GET /profile"), 401, "not_authenticated"),
        (begun(&foreign, "2\r\n{"), 403, "cross_origin"),
        (begun(CHUNKED, &large), 413, "payload_too_large"),
        (begun("Content-Length: 30000", &large), 413, "payload_too_large"),
        (begun("Content-Length: 40", "{").replace("/jwt/login", "/nothing"), 404, "not_found"),
    ];
    let ends = cases
        .iter()
        .map(|(request, status, code)| assert_answered_and_closed(&server, request, *status, code));
    join_all(ends).await;
}

#[tokio::test]
async fn what_can_t_be_a_chunk_is_refused_and_ends_the_connection() {
    let server = TestServer::with(&[METRICS]).await;
    let paths = [
        ("/jwt/login", 400, "malformed_request"),
        ("/session/logout", 400, "malformed_request"),
        ("/nothing", 404, "not_found"),
    ];
    let bodies =
        ["zz\r\n", "no chunk\r\n", "-1\r\n", "2\r\n{}x", "2\r\n{}\r\nzz\r\n", "ffffffffffffffffff\r\n"];
    for body in bodies {
        for (path, status, code) in paths {
            let (head, body) = (begun(CHUNKED, "").replace("/jwt/login", path), body.to_owned());
            // At once, and as a body that comes later.
            for pieces in [vec![format!("{head}{body}")], vec![head, body]] {
                let mut connection = Connection::open(server.address()).await;
                for piece in &pieces {
                    connection.try_write(piece.as_bytes()).await;
                    tokio::time::sleep(SECOND / 50).await;
                }
                let all = connection.rest().await;
                let response = Response::parse("POST", all.as_bytes())
                    .unwrap_or_else(|| panic!("{path} {pieces:?}: no answer: {all}"));
                let response = response.problem(status, code);
                assert_eq!(response.header("connection"), Some("close"), "{response}");
            }
        }
    }
    let count = bodies.len() as f64 * 2.0;
    for (name, expected) in [
        ("dualauth_problems_total{code=\"malformed_request\"}", 2.0 * count),
        ("dualauth_http_requests_total{method=\"POST\",route=\"/jwt/login\",status=\"400\"}", count),
        ("dualauth_http_requests_total{method=\"POST\",route=\"/jwt/login\",status=\"499\"}", 0.0),
    ] {
        assert_eq!(server.metric(name).await, expected, "{name}");
    }
}

#[tokio::test]
async fn a_body_that_is_announced_as_too_large_is_not_waited_for() {
    let server = TestServer::start().await;
    for (framing, body) in [
        ("Content-Length: 100000", "x".repeat(1_000)),
        ("Content-Length: 16385", String::new()),
        ("Content-Length: 18446744073709551615", String::new()),
        ("Content-Length: 100000\r\nExpect: 100-continue", String::new()),
    ] {
        for path in ["/jwt/login", "/session/logout", "/session/register"] {
            let request = begun(framing, &body).replace("/jwt/login", path);
            let mut connection = Connection::open(server.address()).await;
            connection.write(&request).await;
            // And nobody is told to go on.
            let response = connection.answer(&request).await.problem(413, "payload_too_large");
            assert_eq!(response.header("connection"), Some("close"), "{response}");
        }
    }
}

#[tokio::test]
async fn who_is_answered_before_the_body_is_not_told_to_send_it() {
    let server = TestServer::start().await;
    let expecting = begun("Content-Length: 40\r\nExpect: 100-continue", "");
    for (request, status, code) in [
        (expecting.replace("/jwt/login", "/nothing"), 404, "not_found"),
        (expecting.replace("application/json", "text/plain"), 415, "unsupported_media_type"),
        (expecting.replace("Host: x", "Host: x\r\nOrigin: https://evil.example.org"), 403, "cross_origin"),
    ] {
        let mut connection = Connection::open(server.address()).await;
        connection.write(&request).await;
        connection.answer(&request).await.problem(status, code);
    }
}

#[tokio::test]
async fn the_listener_for_metrics_lets_go_of_them_too() {
    let server = TestServer::with(&[METRICS, ("KEEP_ALIVE", "1s")]).await;
    let address = server.metrics_address().expect("an address");
    let half = begun(CHUNKED, "4\r\n{").replace("/jwt/login", "/metrics");
    let second = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\nGET /met".to_owned();
    let idle = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".to_owned();
    let cases = [
        half.clone(),
        half.replace("POST", "GET"),
        half.replace("/metrics", "/nothing"),
        begun("Content-Length: 40", "{").replace("/jwt/login", "/metrics"),
        second,
        idle,
    ];
    join_all(cases.iter().map(async |request| {
        let mut connection = Connection::open(address).await;
        connection.write(request).await;
        assert!(connection.rest().await.starts_with("HTTP/1.1 "), "{request}");
    }))
    .await;
    for (request, status, code) in [
        ("POST /metrics HTTP/1.0\r\n\r\n", 405, "method_not_allowed"),
        ("nonsense\r\n\r\n", 400, "malformed_request"),
        ("GET /metrics HTTP/1.1\r\nHost: x\r\n", 408, "timeout"),
    ] {
        let mut connection = Connection::open(address).await;
        connection.write(request).await;
        let all = connection.rest().await;
        let response = Response::parse(request, all.as_bytes()).expect("an answer");
        response.problem(status, code);
    }
}

#[tokio::test]
async fn who_sends_the_body_byte_by_byte_is_closed_after_the_answer_too() {
    let server = TestServer::start().await;
    let drips = ["/jwt/login", "/nothing"].map(async |path| {
        let mut connection = Connection::open(server.address()).await;
        connection.write(begun(CHUNKED, "1000\r\n").replace("/jwt/login", path)).await;
        let began = Instant::now();
        while connection.try_write(b" ").await {
            assert!(began.elapsed() < PATIENCE, "it goes on for ever");
            tokio::time::sleep(SECOND / 4).await;
        }
    });
    join_all(drips).await;
}

#[tokio::test]
async fn after_a_whole_body_the_connection_goes_on() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    let mut connection = Connection::open(server.address()).await;
    let wrong = Request::post("/jwt/login").body("application/json", "{");
    let long = format!("{:<9000}", credentials("ada").to_string());
    for request in [
        Request::post("/jwt/login").json(&credentials("ada")),
        Request::post("/jwt/login").body("application/json", &long),
        wrong,
        Request::post("/nothing").json(&credentials("ada")),
        Request::post("/profile").json(&credentials("ada")),
        Request::post("/jwt/login").body("text/plain", "{}"),
        Request::post("/session/logout-all").json(&credentials("ada")),
        Request::get("/profile").json(&credentials("ada")),
        client.request("POST", "/session/refresh").json(&credentials("ada")),
    ] {
        for request in [request.clone(), request.chunked()] {
            let response = connection.send(&request).await;
            assert_eq!(response.header("connection"), None, "{response}");
        }
    }
    // And what was sent ahead is answered in its turn.
    let body = credentials("ada").to_string();
    let whole = begun(CHUNKED, &format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
    let last = "GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    connection.write([whole.as_str(), &whole, last].concat()).await;
    let answers = connection.rest().await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
}
