//! What a session keeps on the server.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    MINUTE,
    client::{Client, Pair},
    http::{Request, Response},
    server::{ONE_NAME, TestServer},
};

/// The promises that hold whichever way the session travels.
macro_rules! promises_of_sessions {
    ($($promise:ident),+ $(,)?) => {$(mod $promise {
        promises!(@ $promise(Pair) by_cookie SESSION_COOKIE);
        promises!(@ $promise(Pair) by_bearer SESSION_BEARER);
    })+};
}

promises_of_sessions! {
    a_value_is_kept_exactly_as_it_was_sent,
    a_value_is_replaced_and_forgotten,
    all_values_are_one_object,
    a_key_is_1_to_64_of_its_characters,
    a_value_has_4_kib,
    all_values_have_64_kib,
    all_values_have_64_kib_also_when_they_come_at_once,
    writes_at_once_all_survive,
    a_value_belongs_to_its_login,
    a_value_survives_a_refresh,
    a_value_is_the_same_on_every_node,
    a_value_is_gone_after_the_logout,
    a_value_is_json,
    a_value_that_is_shown_is_not_stored_on_the_way,
    head_tells_what_get_would,
}

fn path(key: &str) -> String {
    format!("/session/data/{key}")
}

async fn put(server: &TestServer, client: &Client, key: &str, text: impl AsRef<[u8]>) -> Response {
    server.send(client.request("PUT", &path(key)).body("application/json", text)).await
}

async fn kept(client: &Client, key: &str) -> String {
    let response = client.get(&path(key)).await.expect(200);
    assert_eq!(response.header("content-type"), Some("application/json"), "{response}");
    response.text()
}

async fn delete(server: &TestServer, client: &Client, key: &str) {
    let response = server.send(client.request("DELETE", &path(key))).await.expect(204);
    assert_eq!(response.text(), "");
}

async fn all(client: &Client) -> Value {
    client.get("/session/data").await.ok()
}

async fn a_value_is_kept_exactly_as_it_was_sent(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    for text in [
        "null",
        "false",
        "true",
        "0",
        "-0",
        "1.10",
        "1e2",
        "1E+2",
        "12345678901234567890123456789",
        "0.1000000000000000055511151231257827",
        r#""""#,
        r#""null""#,
        r#""she said \"weir\", and \\ left""#,
        r#""\u00e9 é \ud83d\ude00 😀""#,
        r#""it's; drop table session_data; --""#,
        "[]",
        "{}",
        r#"[1, [2, [3, {"a": null}]], "x"]"#,
        r#"{"b": 1, "a": {"b": [true, false]}, "": 0}"#,
        r#"{"twice": 1, "twice": 2}"#,
        "{\n  \"spaces\" :\t[ 1 , 2 ]\r\n}",
    ] {
        let response = put(&server, &client, "value", text).await.expect(204);
        assert_eq!(response.text(), "");
        assert_eq!(kept(&client, "value").await, text);
        let object = client.get("/session/data").await.expect(200).text();
        assert_eq!(object, format!("{{\"value\":{text}}}"));
    }
}

async fn a_value_is_replaced_and_forgotten(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    client.get(&path("theme")).await.problem(404, "not_found");
    delete(&server, &client, "theme").await;

    put(&server, &client, "theme", "\"dark\"").await.expect(204);
    put(&server, &client, "theme", "\"light\"").await.expect(204);
    assert_eq!(kept(&client, "theme").await, "\"light\"");

    for _ in 0..2 {
        delete(&server, &client, "theme").await;
        client.get(&path("theme")).await.problem(404, "not_found");
    }
    // null is a value.
    put(&server, &client, "theme", "null").await.expect(204);
    assert_eq!(kept(&client, "theme").await, "null");
}

async fn all_values_are_one_object(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    assert_eq!(all(&client).await, json!({}));

    for (key, value) in [("b", json!(null)), ("a", json!([1, "x"])), ("B", json!({"c": false}))] {
        put(&server, &client, key, value.to_string()).await.expect(204);
    }
    assert_eq!(all(&client).await, json!({ "a": [1, "x"], "b": null, "B": { "c": false } }));

    delete(&server, &client, "a").await;
    assert_eq!(all(&client).await, json!({ "b": null, "B": { "c": false } }));
}

async fn a_key_is_1_to_64_of_its_characters(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let longest = "x".repeat(64);

    for key in ["a", "0", "_", "-", "...", "aZ09_.-", "null", &longest] {
        put(&server, &client, key, "1").await.expect(204);
        assert_eq!(kept(&client, key).await, "1");
        delete(&server, &client, key).await;
    }
    let too_long = "x".repeat(65);
    for key in [
        &too_long, "a%20b", "a%2Fb", "a%2fb", "%2F", "%25", "%00", "a%00", "%0a", "%C3%A9", "a:b", "a+b",
        "a,b", "a@b", "a'b", "(a)", "~a", "$a", "a%22b",
    ] {
        put(&server, &client, key, "1").await.problem(422, "validation_failed");
        client.get(&path(key)).await.problem(422, "validation_failed");
        let request = client.request("DELETE", &path(key));
        server.send(request).await.problem(422, "validation_failed");
    }
    for key in ["a/b", "", "a/"] {
        put(&server, &client, key, "1").await.problem(404, "not_found");
    }
    assert_eq!(all(&client).await, json!({}));
    // What may be escaped and need not be is the same key.
    put(&server, &client, "%61", "1").await.expect(204);
    assert_eq!(kept(&client, "a").await, "1");
}

/// A JSON string of this many bytes.
fn string_of(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}

async fn a_value_has_4_kib(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    put(&server, &client, "value", string_of(4_096)).await.expect(204);

    // 4,097 bytes in fewer characters.
    let wide = format!("\"{}x\"", "é".repeat(2_047));
    for large in [&string_of(4_097), &wide] {
        put(&server, &client, "value", large).await.problem(413, "payload_too_large");
        put(&server, &client, "another", large).await.problem(413, "payload_too_large");
    }

    assert_eq!(kept(&client, "value").await, string_of(4_096));
    client.get(&path("another")).await.problem(404, "not_found");
    // What stands around a value is none of it, but of the body.
    let spaced = format!("{:<16384}", string_of(4_096));
    put(&server, &client, "value", &spaced).await.expect(204);
    put(&server, &client, "value", format!("{spaced} ")).await.problem(413, "payload_too_large");
}

/// How large the object of all values is.
async fn total(client: &Client) -> usize {
    client.get("/session/data").await.expect(200).body.len()
}

/// Fills what the session keeps up to exactly this many bytes.
async fn fill(server: &TestServer, client: &Client, bytes: usize) {
    // Two braces and a member each of "k00":, its value and a comma, but for the last.
    let mut left = bytes - 1;
    for number in 0.. {
        let value = (left - "\"k00\":,".len()).min(4_096);
        // A value has two quotes at least: leave room for one more.
        let rest = left - "\"k00\":,".len() - value;
        let value = if (1..16).contains(&rest) { value - 16 } else { value };
        put(server, client, &format!("k{number:02}"), string_of(value)).await.expect(204);
        left -= "\"k00\":,".len() + value;
        if left == 0 {
            break;
        }
    }
    assert_eq!(total(client).await, bytes);
}

const LIMIT: usize = 64 * 1024;

async fn all_values_have_64_kib(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    fill(&server, &client, LIMIT).await;
    let full = client.get("/session/data").await.expect(200).text();

    for key in ["z", "k"] {
        put(&server, &client, key, "1").await.problem(413, "payload_too_large");
    }
    let first = kept(&client, "k00").await;
    assert_eq!(first.len(), 4_096);
    let last = kept(&client, "k15").await;
    put(&server, &client, "k15", string_of(last.len() + 1)).await.problem(413, "payload_too_large");
    assert_eq!(client.get("/session/data").await.expect(200).text(), full);

    // What takes no more room is welcome, and room that was made can be used.
    put(&server, &client, "k00", string_of(4_096)).await.expect(204);
    put(&server, &client, "k00", string_of(4_090)).await.expect(204);
    put(&server, &client, "z", "1").await.expect(204);
    assert_eq!(total(&client).await, LIMIT);
    put(&server, &client, "z", "10").await.problem(413, "payload_too_large");
    delete(&server, &client, "z").await;
    put(&server, &client, "k00", string_of(4_096)).await.expect(204);
    assert_eq!(total(&client).await, LIMIT);
}

async fn all_values_have_64_kib_also_when_they_come_at_once(pair: Pair) {
    let server = TestServer::with(&[ONE_NAME]).await;
    let node = server.another_node().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let value = string_of(4_096 - "\"k00\":,".len());

    let writes = (0..40).map(|number| {
        let (key, server) = (format!("k{number:02}"), if number % 2 == 0 { &server } else { &node });
        let (client, value) = (client.at(server), value.as_str());
        async move { (put(server, &client, &key, value).await, key) }
    });
    let answers = join_all(writes).await;

    let (written, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|(response, _)| response.status == 204);
    // 16 of them are 64 KiB and one byte.
    assert_eq!(written.len(), 15);
    for (response, _) in refused {
        response.problem(413, "payload_too_large");
    }
    assert!(total(&client).await <= LIMIT);
    for (_, key) in written {
        assert_eq!(kept(&client, &key).await, value);
    }
}

async fn writes_at_once_all_survive(pair: Pair) {
    let server = TestServer::with(&[ONE_NAME]).await;
    let node = server.another_node().await;
    server.user("ada").await;
    for count in [2, 40] {
        let client = Client::signed_in(&server, pair, "ada").await;
        let writes = (0..count).map(|number| {
            let server = if number % 2 == 0 { &server } else { &node };
            let client = client.at(server);
            async move { put(server, &client, &format!("key{number}"), number.to_string()).await.expect(204) }
        });
        join_all(writes).await;

        let expected: Value = (0..count).map(|number| (format!("key{number}"), json!(number))).collect();
        assert_eq!(all(&client).await, expected);
    }
}

async fn a_value_belongs_to_its_login(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    put(&server, &client, "theme", "\"dark\"").await.expect(204);
    server.user("grace").await;

    for other in [Pair::SESSION_COOKIE, Pair::SESSION_BEARER] {
        for name in ["ada", "grace"] {
            let neighbour = Client::signed_in(&server, other, name).await;
            assert_eq!(all(&neighbour).await, json!({}));
            neighbour.get(&path("theme")).await.problem(404, "not_found");
            delete(&server, &neighbour, "theme").await;
            put(&server, &neighbour, "theme", "\"light\"").await.expect(204);
        }
    }

    assert_eq!(kept(&client, "theme").await, "\"dark\"");
}

async fn a_value_survives_a_refresh(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    put(&server, &client, "theme", "\"dark\"").await.expect(204);
    let before = client.clone();
    server.clock.advance(MINUTE);

    client.refresh().await.ok();

    assert_eq!(all(&client).await, json!({ "theme": "dark" }));
    // The id before is of the same session, for as long as it is good.
    put(&server, &before, "theme", "1").await.expect(204);
    assert_eq!(all(&client).await, json!({ "theme": 1 }));
    server.clock.advance(MINUTE);
    assert_eq!(before.get("/session/data").await.status, 401);
    assert_eq!(put(&server, &before, "theme", "1").await.status, 401);
}

async fn a_value_is_the_same_on_every_node(pair: Pair) {
    let server = TestServer::with(&[ONE_NAME]).await;
    let node = server.another_node().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let there = client.at(&node);

    // No wait in between: what was acknowledged here is true there.
    for number in 0..5 {
        put(&server, &client, "count", number.to_string()).await.expect(204);
        assert_eq!(kept(&there, "count").await, number.to_string());
        put(&node, &there, "count", format!("[{number}]")).await.expect(204);
        assert_eq!(kept(&client, "count").await, format!("[{number}]"));
    }
    delete(&node, &there, "count").await;
    client.get(&path("count")).await.problem(404, "not_found");
}

async fn a_value_is_gone_after_the_logout(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    put(&server, &client, "theme", "\"dark\"").await.expect(204);
    let before = client.clone();
    client.logout().await.expect(204);

    before.get("/session/data").await.problem(401, "session_expired");
    before.get(&path("theme")).await.problem(401, "session_expired");
    put(&server, &before, "theme", "1").await.problem(401, "session_expired");
    let forgetting = before.request("DELETE", &path("theme"));
    server.send(forgetting).await.problem(401, "session_expired");

    client.login(&pair.credentials("ada")).await.ok();
    assert_eq!(all(&client).await, json!({}));
}

async fn a_value_is_json(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;

    for malformed in [
        &b""[..],
        b"  ",
        b"dark",
        b"{",
        b"[1,]",
        b"1 2",
        b"'dark'",
        b"01",
        b"1.",
        b"NaN",
        b"\"a\nb\"",
        b"\"a\0b\"",
        b"\"\xff\"",
        b"\xff",
        b"\"\xed\xa0\x80\"",
        b"\"\\x\"",
    ] {
        put(&server, &client, "value", malformed).await.problem(400, "malformed_request");
    }
    for nul in
        [r#""a\u0000b""#, r#"["x", {"y": "\u0000"}]"#, r#"{"\u0000": 1}"#, r#"{"a": "\u0000", "a": 1}"#]
    {
        put(&server, &client, "value", nul).await.problem(422, "validation_failed");
    }
    // A backslash before it, and it is no NUL.
    put(&server, &client, "value", r#""\\u0000""#).await.expect(204);
    assert_eq!(kept(&client, "value").await, r#""\\u0000""#);
    delete(&server, &client, "value").await;

    let request = client.request("PUT", &path("value"));
    for content_type in ["text/plain", "application/octet-stream", "application/json; charset=utf-16", ""] {
        let response = server.send(request.clone().body(content_type, "1")).await;
        response.problem(415, "unsupported_media_type");
    }
    server.send(request.clone().bytes("1")).await.problem(415, "unsupported_media_type");
    let large = request.body("application/json", format!("{:<16385}", "1"));
    for large in [large.clone(), large.chunked()] {
        server.send(large).await.problem(413, "payload_too_large");
    }

    assert_eq!(all(&client).await, json!({}));
}

async fn a_value_that_is_shown_is_not_stored_on_the_way(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    put(&server, &client, "theme", "\"dark\"").await.expect(204);
    for path in ["/session/data", &path("theme")] {
        let response = client.get(path).await.expect(200).not_stored();
        assert_eq!(response.set_cookies(), []);
    }
}

async fn head_tells_what_get_would(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    put(&server, &client, "theme", "\"dark\"").await.expect(204);
    for path in ["/session/data", &path("theme"), &path("nothing"), &path("a%20b")] {
        let (status, headers, _) = client.get(path).await.but_for_the_date();
        let head = server.send(client.request("HEAD", path)).await;
        assert_eq!(head.but_for_the_date(), (status, headers, String::new()));
    }
}

/// Each request to what a session keeps, by somebody.
fn requests(client: &Client) -> [Request; 4] {
    [
        client.request("GET", "/session/data"),
        client.request("GET", &path("theme")),
        client.request("PUT", &path("theme")).json(&json!("dark")),
        client.request("DELETE", &path("theme")),
    ]
}

#[tokio::test]
async fn a_jwt_has_no_place_for_values() {
    let server = TestServer::start().await;
    server.user("ada").await;

    let app = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    for request in requests(&app) {
        server.send(request).await.problem(401, "invalid_token").blames_a_token(true);
    }
    // The other mode's cookie is not looked at.
    let browser = Client::signed_in(&server, Pair::JWT_COOKIE, "ada").await;
    for request in requests(&browser) {
        server.send(request).await.problem(401, "not_authenticated").blames_a_token(false);
    }
    for request in requests(&Client::new(&server, Pair::SESSION_COOKIE)) {
        server.send(request).await.problem(401, "not_authenticated").blames_a_token(false);
    }
    for path in ["/jwt/data", "/jwt/data/theme"] {
        app.get(path).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn a_cookie_keeps_and_forgets_nothing_without_its_csrf_token() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::SESSION_COOKIE, "ada").await;
    let other = Client::signed_in(&server, Pair::SESSION_COOKIE, "ada").await;
    put(&server, &client, "theme", "\"dark\"").await.expect(204);

    for method in ["PUT", "DELETE"] {
        let bare = client.without_csrf(method, &path("theme")).json(&json!("light"));
        server.send(bare.clone()).await.problem(403, "csrf_failed");
        let neighbours = other.csrf_token.clone().expect("a CSRF token");
        server.send(bare.header("X-CSRF-Token", neighbours)).await.problem(403, "csrf_failed");
        let foreign = client.request(method, &path("theme")).json(&json!("light"));
        let foreign = foreign.header("Origin", "https://evil.example.org");
        server.send(foreign).await.problem(403, "cross_origin");
        assert_eq!(kept(&client, "theme").await, "\"dark\"");
    }
}

#[tokio::test]
async fn a_login_by_cookie_that_takes_anothers_place_takes_no_values() {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, Pair::SESSION_COOKIE, "ada").await;
    put(&server, &client, "theme", "\"dark\"").await.expect(204);

    client.login(&client.pair.credentials("ada")).await.ok();

    assert_eq!(all(&client).await, json!({}));
}
