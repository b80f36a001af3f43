//! How long a connection without a request stays open.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::support::{
    SECOND,
    http::{Connection, Request},
    server::TestServer,
};

async fn used(server: &TestServer) -> Connection {
    let mut connection = Connection::open(server.address()).await;
    connection.send(&Request::get("/health/live")).await.expect(200);
    connection
}

/// How long it stays when nothing is asked.
async fn stays(server: &TestServer) -> Duration {
    let connection = used(server).await;
    let began = Instant::now();
    connection.assert_closed().await;
    began.elapsed()
}

#[tokio::test]
async fn a_connection_without_a_request_stays_as_long_as_is_set() {
    let short = TestServer::with(&[("KEEP_ALIVE", "2s")]).await;
    let usual = TestServer::start().await;
    let (stayed, mut kept) = tokio::join!(stays(&short), async {
        let mut connections = join_all((0..4).map(|_| used(&usual))).await;
        tokio::time::sleep(7 * SECOND).await;
        connections.pop().expect("a connection")
    });
    assert!(stayed >= 2 * SECOND - SECOND / 10, "closed after {stayed:?}");
    // It is open though a first request would have had to come by now.
    kept.send(&Request::get("/health/live")).await.expect(200);
}

#[tokio::test]
async fn its_time_begins_anew_with_each_request() {
    let server = TestServer::with(&[("KEEP_ALIVE", "2s")]).await;
    let mut connection = used(&server).await;
    for _ in 0..4 {
        tokio::time::sleep(SECOND).await;
        connection.send(&Request::get("/health/live")).await.expect(200);
    }
    connection.assert_closed().await;
}

#[tokio::test]
async fn a_request_may_take_longer_than_connections_are_kept() {
    let server = TestServer::with(&[("KEEP_ALIVE", "1s")]).await;
    for framing in ["Content-Length: 2", "Content-Length: 2\r\nExpect: 100-continue"] {
        let mut connection = Connection::open(server.address()).await;
        let head = "POST /jwt/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
        connection.write(format!("{head}{framing}\r\n\r\n")).await;
        if framing.contains("Expect") {
            connection.answer("100").await.expect(100);
        }
        tokio::time::sleep(3 * SECOND).await;
        connection.write("{}").await;
        connection.answer("POST").await.problem(422, "validation_failed");
    }
}
