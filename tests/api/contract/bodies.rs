//! What a request's body may be, and what is said about one that may not.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    client::{Client, Mode, Pair},
    http::{Request, Response},
    server::{TestServer, credentials, registration},
    with, without,
};

promises! { of every mode:
    what_is_no_json_is_malformed,
    what_is_no_utf8_is_malformed,
    json_that_is_no_object_is_refused,
    a_missing_field_is_pointed_at,
    an_unknown_field_is_pointed_at,
    a_repeated_field_is_pointed_at,
    a_field_of_a_wrong_type_is_pointed_at,
    a_nul_is_pointed_at,
    an_option_is_of_its_type_or_left_out,
    an_option_that_is_null_is_left_out,
    a_byte_order_mark_is_none_of_the_json,
    a_device_name_has_64_code_points,
    a_transport_is_one_of_two,
    a_body_is_json_by_its_type,
    a_body_has_16_kib,
}

/// The members that a body must have. Who registers need not say a username.
fn required<'a>(path: &str, good: &'a Value) -> impl Iterator<Item = &'a str> {
    let may_lack = if path.ends_with("/register") { "username" } else { "" };
    let names = good.as_object().expect("an object").keys();
    names.map(String::as_str).filter(move |name| *name != may_lack)
}

/// The routes that take a body in either mode, each with a good one.
fn routes(mode: Mode) -> [(String, Value); 2] {
    [(mode.path("register"), registration("ada")), (mode.path("login"), credentials("ada"))]
}

async fn post(server: &TestServer, path: &str, body: impl AsRef<[u8]>) -> Response {
    let request = Request::post(path).body("application/json", body);
    server.send(request).await
}

async fn what_is_no_json_is_malformed(mode: Mode) {
    let server = TestServer::start().await;
    for (path, good) in routes(mode) {
        let good = good.to_string();
        for body in [
            "",
            "   ",
            "ada",
            "{",
            "{'username':'ada'}",
            &good[..good.len() - 1],
            &format!("{good}x"),
            &format!("{good}{good}"),
            &good.replace(':', "="),
            &good.replace("ada", "a\nda"),
            &good.replace("ada", r"a\xda"),
        ] {
            post(&server, &path, body).await.problem(400, "malformed_request");
        }
    }
}

async fn what_is_no_utf8_is_malformed(mode: Mode) {
    let server = TestServer::start().await;
    for (path, good) in routes(mode) {
        for bytes in [&b"\xff"[..], b"\xc3\x28", b"\xed\xa0\x80", b"\xc0\x80"] {
            let mut body = good.to_string().into_bytes();
            let name = body.windows(3).position(|it| it == b"ada").expect("a name");
            body.splice(name..name, bytes.iter().copied());
            post(&server, &path, body).await.problem(400, "malformed_request");
        }
        let utf16: Vec<u8> = good.to_string().encode_utf16().flat_map(u16::to_le_bytes).collect();
        post(&server, &path, utf16).await.problem(400, "malformed_request");
    }
}

async fn json_that_is_no_object_is_refused(mode: Mode) {
    let server = TestServer::start().await;
    for (path, good) in routes(mode) {
        let members: Vec<&Value> = good.as_object().expect("an object").values().collect();
        for body in [
            json!([]),
            json!(members), // what serde would take for the object
            json!([good]),
            json!("ada"),
            json!(1),
            json!(true),
            json!(null),
        ] {
            post(&server, &path, body.to_string()).await.points_at(&[""]);
        }
    }
}

async fn a_missing_field_is_pointed_at(mode: Mode) {
    let server = TestServer::start().await;
    for (path, good) in routes(mode) {
        for field in required(&path, &good) {
            let body = without(good.clone(), field);
            post(&server, &path, body.to_string()).await.points_at(&[&format!("/{field}")]);
            let body = with(good.clone(), field, json!(null));
            post(&server, &path, body.to_string()).await.points_at(&[&format!("/{field}")]);
        }
    }
}

async fn an_unknown_field_is_pointed_at(mode: Mode) {
    let server = TestServer::start().await;
    for (path, good) in routes(mode) {
        for (field, pointer) in [("is_admin", "/is_admin"), ("Password", "/Password"), ("a/b~c", "/a~1b~0c")]
        {
            for value in [json!(true), json!(null)] {
                let body = with(good.clone(), field, value);
                post(&server, &path, body.to_string()).await.points_at(&[pointer]);
            }
        }
    }
}

async fn a_repeated_field_is_pointed_at(mode: Mode) {
    let server = TestServer::start().await;
    for (path, good) in routes(mode) {
        let rest = &good.to_string()[1..];
        for again in [r#"{"username":"ada","#, r#"{"\u0075sername":"eve","#] {
            post(&server, &path, format!("{again}{rest}")).await.points_at(&["/username"]);
        }
    }
}

async fn a_field_of_a_wrong_type_is_pointed_at(mode: Mode) {
    let server = TestServer::start().await;
    for (path, good) in routes(mode) {
        for field in good.as_object().expect("an object").keys() {
            for value in [json!(1), json!(true), json!([]), json!({})] {
                let body = with(good.clone(), field, value);
                post(&server, &path, body.to_string()).await.points_at(&[&format!("/{field}")]);
            }
        }
    }
}

async fn a_nul_is_pointed_at(mode: Mode) {
    let server = TestServer::start().await;
    for (path, good) in routes(mode) {
        for field in good.as_object().expect("an object").keys() {
            let value = format!("{}\0", good[field].as_str().expect("a string"));
            let body = with(good.clone(), field, value);
            post(&server, &path, body.to_string()).await.points_at(&[&format!("/{field}")]);
        }
    }
    let body = with(credentials("ada"), "device_name", "tele\0phone");
    post(&server, &mode.path("login"), body.to_string()).await.points_at(&["/device_name"]);
}

async fn an_option_is_of_its_type_or_left_out(mode: Mode) {
    let server = TestServer::start().await;
    for (field, wrong) in [
        ("remember_me", json!("true")),
        ("remember_me", json!(1)),
        ("transport", json!(1)),
        ("device_name", json!(["telephone"])),
        ("device_name", json!({})),
    ] {
        let body = with(credentials("ada"), field, wrong);
        post(&server, &mode.path("login"), body.to_string()).await.points_at(&[&format!("/{field}")]);
    }
}

async fn an_option_that_is_null_is_left_out(mode: Mode) {
    let server = TestServer::start().await;
    let user = with(registration("ada"), "username", json!(null));
    let user = post(&server, &mode.path("register"), user.to_string()).await.expect(201).json();
    assert_eq!(user["username"], "ada");

    for nulls in
        [&["remember_me"][..], &["transport"], &["device_name"], &["device_name", "transport", "remember_me"]]
    {
        let body = nulls.iter().fold(credentials("ada"), |body, field| with(body, field, json!(null)));
        let login = post(&server, &mode.path("login"), body.to_string()).await.ok();
        assert_eq!(login["login"]["remember_me"], false);
        let usual = if mode == Mode::Session { "cookie" } else { "bearer" };
        assert_eq!(login["login"]["transport"], usual);
    }
    let twice = credentials("ada").to_string().replace('{', r#"{"transport":null,"transport":"bearer","#);
    post(&server, &mode.path("login"), twice).await.points_at(&["/transport"]);
}

async fn a_byte_order_mark_is_none_of_the_json(mode: Mode) {
    let server = TestServer::start().await;
    for (path, good) in routes(mode) {
        let status = if path.ends_with("/register") { 201 } else { 200 };
        post(&server, &path, format!("\u{feff}{good}")).await.expect(status);
        for body in [format!("\u{feff}\u{feff}{good}"), format!(" \u{feff}{good}"), format!("{good}\u{feff}")]
        {
            post(&server, &path, body).await.problem(400, "malformed_request");
        }
        let body = with(good, "username", "a\u{feff}b");
        assert_ne!(post(&server, &path, body.to_string()).await.status, status);
    }
}

async fn a_device_name_has_64_code_points(mode: Mode) {
    let server = TestServer::start().await;
    server.user("ada").await;
    let path = mode.path("login");

    let body = with(credentials("ada"), "device_name", "\u{1f4f1}".repeat(64));
    post(&server, &path, body.to_string()).await.ok();
    let body = with(credentials("ada"), "device_name", "x".repeat(65));
    post(&server, &path, body.to_string()).await.points_at(&["/device_name"]);
}

async fn a_transport_is_one_of_two(mode: Mode) {
    let server = TestServer::start().await;
    server.user("ada").await;
    for transport in ["", "header", "Bearer", "COOKIE"] {
        let body = with(credentials("ada"), "transport", transport);
        post(&server, &mode.path("login"), body.to_string()).await.points_at(&["/transport"]);
    }
}

async fn a_body_is_json_by_its_type(mode: Mode) {
    let server = TestServer::start().await;
    for (path, good) in routes(mode) {
        let good = good.to_string();
        for content_type in [
            "text/plain",
            "text/json",
            "application/x-www-form-urlencoded",
            "application/vnd.api+json",
            "application/problem+json",
            "application/jsonx",
            "application/json; charset=iso-8859-1",
            "application/json; charset=utf-16",
            "application/json; charset=utf-8; charset=utf-16",
            "application/json; charset=utf88",
            "application/json; charset=",
            "json",
            "",
        ] {
            let request = Request::post(&path).body(content_type, &good);
            server.send(request).await.problem(415, "unsupported_media_type");
        }
        let untold = Request::post(&path).bytes(&good);
        server.send(untold).await.problem(415, "unsupported_media_type");
    }

    server.user("ada").await;
    for content_type in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "application/json; charset=\"utf-8\"",
        "application/json; charset=utf8",
        "application/json;CHARSET=\"UTF8\"",
        "application/json;",
        "application/json; charset=utf-8;",
        "application/json; profile=x",
    ] {
        let request = Request::post(&mode.path("login"));
        let request = request.body(content_type, credentials("ada").to_string());
        server.send(request).await.ok();
    }
}

async fn a_body_has_16_kib(mode: Mode) {
    let server = TestServer::start().await;
    server.user("ada").await;
    let path = mode.path("login");
    let good = credentials("ada").to_string();
    let fits = Request::post(&path).body("application/json", format!("{good:<16384}"));
    let too_large = Request::post(&path).body("application/json", format!("{good:<16385}"));

    server.send(fits.clone()).await.ok();
    server.send(fits.chunked()).await.ok();
    for request in [too_large.clone(), too_large.chunked()] {
        server.send(request).await.problem(413, "payload_too_large");
    }
}

#[tokio::test]
async fn a_body_that_is_not_needed_has_its_limit_too() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    for tail in ["refresh", "logout"] {
        let large = client.request("POST", &client.path(tail)).body("text/plain", "x".repeat(16_385));
        server.send(large).await.problem(413, "payload_too_large");
    }
}

#[tokio::test]
async fn no_body_is_decoded() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    let renewing = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    for coding in ["gzip", "br", "deflate", "zstd", "aes128gcm", "gzip, identity", "identity", "GZIP", ""] {
        for request in [
            Request::post("/session/login").json(&credentials("ada")),
            Request::post("/jwt/register").json(&registration("grace")),
            Request::post("/jwt/refresh").json(&json!({ "refresh_token": renewing.renewal() })),
            client.request("PUT", "/session/data/theme").json(&json!("dark")),
            client.request("POST", "/session/refresh").body("text/plain", "x"),
            client.request("POST", "/session/logout").json(&json!({})),
        ] {
            let request = request.header("Content-Encoding", coding);
            server.send(request.clone()).await.problem(415, "unsupported_media_type");
            server.send(request.chunked()).await.problem(415, "unsupported_media_type");
        }
    }
    // Nothing was done.
    client.profile().await.ok();
    client.get("/session/data/theme").await.problem(404, "not_found");
}

#[tokio::test]
async fn a_body_comes_within_its_time() {
    let server = TestServer::start().await;
    let address = server.address();
    let announced = |path: &str, length: &str| {
        Request::post(path).header("Content-Type", "application/json").header("Content-Length", length)
    };
    let spaces = [b" ".as_slice(); 900];

    let slow = ["/session/login", "/jwt/login"].map(async |path| {
        let (half, drips) = (announced(path, "100"), announced(path, "1000"));
        let (held, dripping) = tokio::join!(
            half.trickle(address, &[b"{\"username\":"], Duration::ZERO),
            drips.trickle(address, &spaces, Duration::from_millis(250)),
        );
        held.problem(408, "timeout");
        dripping.problem(408, "timeout");
    });
    join_all(slow).await;
}

#[tokio::test]
async fn a_refresh_token_comes_in_a_body_like_any_other() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let good = json!({ "refresh_token": client.renewal() });
    let path = "/jwt/refresh";

    for malformed in ["{", "ada"] {
        post(&server, path, malformed).await.problem(400, "malformed_request");
    }
    for wrong in [json!([client.renewal()]), json!("ada"), json!(null)] {
        post(&server, path, wrong.to_string()).await.points_at(&[""]);
    }
    for wrong in [json!([]), json!(1), json!("a\0b")] {
        let body = with(good.clone(), "refresh_token", wrong);
        post(&server, path, body.to_string()).await.points_at(&["/refresh_token"]);
    }
    let none = with(good.clone(), "refresh_token", json!(null));
    post(&server, path, none.to_string()).await.problem(401, "not_authenticated");
    let unknown = with(good.clone(), "grant_type", "refresh_token");
    post(&server, path, unknown.to_string()).await.points_at(&["/grant_type"]);
    let plain = Request::post(path).body("text/plain", good.to_string());
    server.send(plain).await.problem(415, "unsupported_media_type");
    let large = format!("{:<16385}", good.to_string());
    post(&server, path, large).await.problem(413, "payload_too_large");

    post(&server, path, good.to_string()).await.ok();
}
