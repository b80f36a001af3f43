//! HTTP/1.0, which proxies speak to what is behind them unless they are told otherwise.

use crate::support::{
    client::{Client, Pair},
    http::{Connection, Response},
    server::{TestServer, credentials},
};

/// Everything that is answered to these bytes, sent in these pieces.
async fn answered(server: &TestServer, pieces: &[&str]) -> Response {
    let mut connection = Connection::open(server.address()).await;
    for piece in pieces {
        connection.write(piece).await;
        tokio::task::yield_now().await;
    }
    let all = connection.rest().await;
    assert!(!all.contains("chunked"), "{all}");
    Response::parse(pieces[0], all.as_bytes()).expect("a whole answer")
}

#[tokio::test]
async fn a_post_without_a_length_has_no_body() {
    let server = TestServer::start().await;
    server.user("ada").await;
    for pair in Pair::ALL {
        for pieces in [1, 2, 40] {
            let client = Client::signed_in(&server, pair, "ada").await;
            let request = client
                .request("POST", &client.path("logout"))
                .without_a_length()
                .replace("HTTP/1.1", "HTTP/1.0");
            let (size, text) = (request.len().div_ceil(pieces), request.as_str());
            let pieces: Vec<&str> =
                (0..text.len()).step_by(size).map(|at| &text[at..text.len().min(at + size)]).collect();
            answered(&server, &pieces).await.expect(204);
            client.profile().await.problem(401, pair.mode.ended());
        }
    }
}

#[tokio::test]
async fn it_is_served_like_http_1_1() {
    let server = TestServer::start().await;
    server.user("ada").await;
    let body = credentials("ada").to_string();
    let json = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());

    answered(&server, &[&format!("POST /jwt/login HTTP/1.0\r\n{json}\r\n{body}")]).await.ok();
    answered(&server, &[&format!("POST /jwt/login HTTP/1.0\n{}\n{body}", json.replace("\r\n", "\n"))])
        .await
        .ok();
    answered(&server, &["GET /health/live HTTP/1.0\r\n\r\n"]).await.expect(200);
    answered(&server, &["POST /nothing HTTP/1.0\r\n\r\n"]).await.problem(404, "not_found");
    answered(&server, &["POST /session/logout HTTP/1.0\n\n"]).await.problem(401, "not_authenticated");
    answered(&server, &["DELETE /account/logins/x HTTP/1.0\r\n\r\n"]).await.problem(401, "not_authenticated");
    answered(&server, &["\r\nPOST /session/logout HTTP/1.0\r\n\r\n"]).await.problem(401, "not_authenticated");
    answered(&server, &["POST /session/logout HTTP/1.0\r\nContent-Length-Hint: 2\r\n\r\n"])
        .await
        .problem(401, "not_authenticated");
    answered(&server, &["GET /docs/swagger-ui-bundle.js HTTP/1.0\r\n\r\n"]).await.expect(200);
    let chunked = "POST /jwt/login HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    answered(&server, &[chunked]).await.problem(400, "malformed_request");
    let twice = "POST /jwt/login HTTP/1.0\r\nContent-Length: 2\r\nContent-Length: 0\r\n\r\n{}";
    answered(&server, &[twice]).await.problem(400, "malformed_request");
}

#[tokio::test]
async fn its_connection_stays_if_that_is_asked_for() {
    let server = TestServer::start().await;
    let mut connection = Connection::open(server.address()).await;
    let post = "POST /session/logout HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    // A body that looks like a request is a body.
    let body = "POST /nothing HTTP/1.0\r\n\r\n";
    let expecting = format!(
        "POST /jwt/login HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    for _ in 0..2 {
        connection.write(post).await;
        let response = connection.answer(post).await.problem(401, "not_authenticated");
        assert_eq!(response.header("connection"), Some("keep-alive"), "{response}");
        connection.write("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await;
        connection.answer("GET").await.expect(200);
        connection.write(&expecting).await;
        connection.answer("100").await.expect(100);
        connection.write(body).await;
        connection.answer("POST").await.problem(400, "malformed_request");
    }
    connection.write(post.replace("keep-alive", "close")).await;
    assert_eq!(connection.rest().await.matches("HTTP/1.0 401").count(), 1);
}
