//! A request to change the protocol (`Upgrade`) is ignored, as by every server that does not speak what is asked for
//! (RFC 9110, section 7.8): it is served as usual, and its connection stays.

use crate::support::{
    http::{Connection, Response},
    server::{TestServer, credentials},
};

/// What clients send who would rather speak something else: the JDK's, a browser's for a WebSocket, and others.
const UPGRADES: [&str; 9] = [
    "Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c",
    "Connection: Upgrade\r\nUpgrade: websocket",
    "connection:upgrade\r\nupgrade:WebSocket",
    "Connection: keep-alive, Upgrade\r\nUpgrade:  websocket \t",
    "Connection: Upgrade\r\nUpgrade: foo/2, bar",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Connection: HTTP2-Settings ,\tUPGRADE\r\nConnection: upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket",
    "Upgrade: TLS/1.0\r\nConnection: Upgrade",
];

fn get(upgrade: &str) -> String {
    format!("GET /health/live HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n\r\n")
}

fn login(framing: &str, body: &str, upgrade: &str) -> String {
    format!(
        "POST /jwt/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{framing}\r\n{upgrade}\r\n\r\n{body}"
    )
}

fn counted(body: &str, upgrade: &str) -> String {
    login(&format!("Content-Length: {}", body.len()), body, upgrade)
}

fn chunked(body: &str, upgrade: &str) -> String {
    let (first, second) = body.split_at(body.len() / 2);
    let chunks = format!("{:X};a=b\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", first.len(), second.len());
    login("Transfer-Encoding: chunked", &chunks, upgrade)
}

/// Expects an answer that says nothing of its connection, which stays.
async fn expect_kept(connection: &mut Connection, request: &str, status: u16) -> Response {
    let response = connection.answer(request).await.expect(status);
    assert_eq!(response.header("connection"), None, "{request}: {response}");
    assert_eq!(response.header("upgrade"), None, "{request}: {response}");
    response
}

#[tokio::test]
async fn a_request_to_upgrade_is_served_and_its_connection_stays() {
    let server = TestServer::start().await;
    server.user("ada").await;
    let body = credentials("ada").to_string();
    for upgrade in UPGRADES {
        let mut connection = Connection::open(server.address()).await;
        for (request, status) in [
            (get(upgrade), 200),
            (counted(&body, upgrade), 200),
            (counted("{}", upgrade), 422),
            (chunked(&body, upgrade), 200),
            (get(upgrade).replace("GET", "HEAD"), 200),
            (get(upgrade), 200),
        ] {
            connection.write(&request).await;
            expect_kept(&mut connection, &request, status).await;
        }
    }
}

/// Sends requests, of which the last closes the connection, in pieces of this size, and expects an answer to each.
async fn expect_each(server: &TestServer, requests: &[String], size: usize) {
    let closing = get("Connection: close");
    let all = [requests.concat(), closing].concat();
    let mut connection = Connection::open(server.address()).await;
    for piece in all.as_bytes().chunks(size) {
        connection.write(piece).await;
        tokio::task::yield_now().await;
    }
    let answers = connection.rest().await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), requests.len() + 1, "{answers}");
    assert!(!answers.contains("connection: upgrade"), "{answers}");
}

#[tokio::test]
async fn so_is_each_of_several_that_are_sent_at_once_or_in_pieces() {
    let server = TestServer::start().await;
    server.user("ada").await;
    let body = credentials("ada").to_string();
    for (upgrade, size) in UPGRADES.into_iter().zip([1, 2, 7, 100].into_iter().cycle()) {
        let requests =
            [get(upgrade), chunked(&body, upgrade), get(upgrade), counted(&body, upgrade), get(upgrade)];
        expect_each(&server, &requests, usize::MAX).await;
        expect_each(&server, &[get(upgrade), chunked(&body, upgrade)], size).await;
    }
}

#[tokio::test]
async fn what_asks_to_be_closed_is_closed() {
    let server = TestServer::start().await;
    for (version, connection_header, ends) in [
        ("1.1", "Connection: Upgrade, close", true),
        ("1.1", "Connection: close, Upgrade", true),
        ("1.0", "Connection: Upgrade", true),
        ("1.0", "Connection: Upgrade, keep-alive", false),
    ] {
        let request = get(&format!("{connection_header}\r\nUpgrade: websocket"))
            .replace("HTTP/1.1", &format!("HTTP/{version}"));
        let mut connection = Connection::open(server.address()).await;
        connection.write(&request).await;
        if ends {
            let all = connection.rest().await;
            Response::parse(&request, all.as_bytes()).expect("a whole answer").expect(200);
        } else {
            let response = connection.answer(&request).await.expect(200);
            assert_eq!(response.header("connection"), Some("keep-alive"), "{response}");
            connection.write(&request).await;
            connection.answer(&request).await.expect(200);
        }
    }
}
