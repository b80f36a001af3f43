//! Clients that send too much, or too slowly, or don't listen.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    PATIENCE,
    client::{Client, Pair},
    cluster::Database,
    eventually,
    http::Request,
    program::{Server, folder},
    server::{TestServer, credentials, registration},
};

#[tokio::test]
async fn a_path_with_its_query_has_8_kib() {
    let server = TestServer::start().await;
    let of_length = |start: &str, length: usize| Request::get(&format!("{start:x<length$}"));

    for start in ["/", "/session/data/", "/%41"] {
        server.send(of_length(start, 8_193)).await.problem(414, "malformed_request");
    }
    server.send(of_length("/", 8_192)).await.problem(404, "not_found");
    server.send(of_length("/health/live?", 8_192)).await.expect(200);
    server.send(of_length("/health/live?", 8_193)).await.problem(414, "malformed_request");
}

#[tokio::test]
async fn headers_have_32_kib() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::SESSION_COOKIE, "ada").await;
    let with = |sizes: &[usize]| {
        let request = client.request("GET", "/profile");
        sizes.iter().fold(request, |request, size| request.header("X-Some", "x".repeat(*size)))
    };

    server.send(with(&[16_000])).await.expect(200);
    server.send(with(&[4_000; 7])).await.expect(200);
    for too_many in [&[33_000][..], &[4_000; 9], &[500; 66]] {
        server.send(with(too_many)).await.problem(431, "malformed_request");
    }
    let named = client.request("GET", "/profile").header(&"x".repeat(33_000), "x");
    server.send(named).await.problem(431, "malformed_request");
}

#[tokio::test]
async fn a_head_that_nobody_would_send_is_refused_before_it_has_come() {
    let server = TestServer::start().await;
    let mut huge = Request::get("/profile");
    for _ in 0..64 {
        huge = huge.header("X-Some", "x".repeat(4_000));
    }
    server.send(huge).await.expect(431);
    server.send(Request::get("/health/live")).await.expect(200);
}

/// A connection that sends this and listens.
async fn sending(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(bytes).await.expect("it is taken");
    stream
}

/// Everything that comes until the server closes.
async fn until_closed(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let closed = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    // However it closes.
    let _ = closed.expect("the server closes");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Has the server close connections on which nothing is asked.
const SOON: (&str, &str) = ("KEEP_ALIVE", "3s");

const WHOLE: &[u8] = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
const HALF: &[u8] = b"GET /health/live HTTP/1.1\r\nHo";

#[tokio::test]
async fn a_connection_on_which_nothing_happens_is_closed() {
    let server = TestServer::with(&[SOON]).await;
    let silent = until_closed(sending(server.address(), b"").await);
    let idle = until_closed(sending(server.address(), WHOLE).await);
    let (silent, idle) = tokio::join!(silent, idle);
    assert!(!silent.contains("200 OK"), "{silent}");
    assert_eq!(idle.matches("200 OK").count(), 1, "{idle}");
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let server = TestServer::with(&[SOON]).await;
    let first = until_closed(sending(server.address(), HALF).await);
    let second = until_closed(sending(server.address(), &[WHOLE, HALF].concat()).await);
    let later = async {
        let mut stream = sending(server.address(), WHOLE).await;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.expect("an answer");
        stream.write_all(HALF).await.expect("it is taken");
        until_closed(stream).await
    };
    let (first, second, later) = tokio::join!(first, second, later);
    assert!(first.starts_with("HTTP/1.1 408"), "{first}");
    assert_eq!(second.matches("200 OK").count(), 1, "{second}");
    assert!(later.contains("200 OK"), "{later}");
}

/// Sends byte after byte until the server closes.
async fn drip(mut stream: TcpStream) {
    let dripping = async {
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            if stream.write_all(b"x").await.is_err() {
                return;
            }
        }
    };
    timeout(PATIENCE, dripping).await.expect("the server closes");
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_not_waited_for() {
    let server = TestServer::start().await;
    let first = sending(server.address(), HALF).await;
    let second = sending(server.address(), &[WHOLE, HALF].concat()).await;
    tokio::join!(drip(first), drip(second));
}

#[tokio::test]
async fn who_does_not_read_the_answer_is_cut_off() {
    let server = TestServer::start().await;
    let large = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n".repeat(16);
    // Sixteen times over a megabyte fits into no socket's buffers.
    let stream = sending(server.address(), &large).await;
    drip(stream).await;
    server.send(Request::get("/health/live")).await.expect(200);
}

#[tokio::test]
async fn slow_clients_keep_nobody_out() {
    let database = Arc::new(Database::migrated().await);
    let settings = [("DATABASE_URL", database.url().as_str()), SOON];
    let server = Server::start(&folder(), &settings).await;
    server.send(Request::post("/session/register").json(&registration("ada"))).await.expect(201);
    let login = "POST /jwt/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    let unread = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n".repeat(4);
    let second = [WHOLE, HALF].concat();

    let slow = (0..300).map(|number| {
        let bytes: &[u8] = [HALF, &second, login.as_bytes(), &unread][number % 4];
        sending(server.address(), bytes)
    });
    let slow = join_all(slow).await;
    for _ in 0..10 {
        let mut client = Client::at_address(server.address(), Pair::JWT_BEARER);
        client.login(&credentials("ada")).await.ok();
        client.profile().await.ok();
    }

    // And in the end they are gone.
    let closed = slow.into_iter().map(drip);
    join_all(closed).await;
    eventually("an answer", async || server.send(Request::get("/health/live")).await.status == 200).await;
    assert!(server.terminate().await.success());
}
