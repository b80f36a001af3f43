//! A body of which only a part comes costs the client its connection, however it is framed.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::support::{
    PATIENCE, SECOND,
    client::{Client, Pair},
    http::{Connection, Request, Response},
    server::{TestServer, credentials},
};

/// How long after the answer the connection may stay, and what a busy machine needs.
const REST: Duration = Duration::from_secs(5 + 4);

/// A request whose body stops half way.
fn begun(framing: &str, body: &str) -> String {
    format!(
        "POST /jwt/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{framing}\r\n\r\n{body}"
    )
}

const CHUNKED: &str = "Transfer-Encoding: chunked";

/// Asserts that what comes is this answer, and that the connection ends soon after.
async fn assert_answered_and_closed(server: &TestServer, request: &str, status: u16, code: &str) {
    let mut connection = Connection::open(server.address()).await;
    connection.write(request).await;
    if request.contains("100-continue") {
        connection.answer("100").await.expect(100);
    }
    let response = connection.answer(request).await.problem(status, code);
    assert_eq!(response.header("connection"), Some("close"), "{request}: {response}");
    let answered = Instant::now();
    assert_eq!(connection.rest().await, "", "{request}");
    assert!(answered.elapsed() < REST, "{request}: open for {:?}", answered.elapsed());
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
async fn what_can_t_be_a_chunk_ends_the_connection() {
    let server = TestServer::start().await;
    for body in ["no chunk\r\n", "-1\r\n", "2\r\n{}x", "ffffffffffffffffff\r\n"] {
        for path in ["/jwt/login", "/nothing"] {
            let mut connection = Connection::open(server.address()).await;
            connection.write(begun(CHUNKED, body).replace("/jwt/login", path)).await;
            // There may be an answer, and nothing after it.
            assert!(connection.rest().await.matches("HTTP/1.1 ").count() <= 1, "{body}");
        }
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
