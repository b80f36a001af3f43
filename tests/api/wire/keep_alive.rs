//! How long a connection without a request stays open.

use std::time::Instant;

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

#[tokio::test]
async fn a_connection_without_a_request_stays_as_long_as_is_set() {
    let short = TestServer::with(&[("KEEP_ALIVE", "2s")]).await;
    let usual = TestServer::start().await;
    let began = Instant::now();
    let (ended, mut kept) = (used(&short).await, used(&usual).await);
    ended.assert_closed().await;
    // Since before it was used: no sooner, however busy the machine is.
    assert!(began.elapsed() >= 2 * SECOND, "closed after {:?}", began.elapsed());
    // A first request would have had to come within five seconds.
    tokio::time::sleep((7 * SECOND).saturating_sub(began.elapsed())).await;
    kept.send(&Request::get("/health/live")).await.expect(200);
}

#[tokio::test]
async fn its_time_begins_anew_with_each_request() {
    let server = TestServer::with(&[("KEEP_ALIVE", "4s")]).await;
    let mut connection = used(&server).await;
    let mut last = Instant::now();
    for _ in 0..5 {
        tokio::time::sleep(SECOND).await;
        last = Instant::now();
        connection.send(&Request::get("/health/live")).await.expect(200);
    }
    connection.assert_closed().await;
    assert!(last.elapsed() >= 4 * SECOND, "closed after {:?}", last.elapsed());
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
