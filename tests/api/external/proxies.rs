//! The nginx configuration that is shipped, in a real nginx: whom it lets through, and what the app behind is told.

mod base_path;
mod haproxy;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::nginx::{Nginx, PRIVATE_PAGE, PUBLIC_PAGE};
use crate::support::{
    PATIENCE,
    client::{Client, Pair},
    eventually,
    http::{Connection, Request, Response},
    server::{ONE_NAME, TestServer, registration},
    text,
};

promises! { of every pair:
    who_is_signed_in_gets_the_protected_files_and_nobody_else,
    a_part_of_the_app_is_for_a_role,
    a_websocket_reaches_the_app_and_who_it_is_of,
    one_registers_signs_in_and_signs_out_through_the_proxy,
    the_app_is_told_who_is_asking,
    an_identity_that_a_client_claims_never_reaches_the_app,
}

/// The proxy, as dualauth sees it.
const TRUSTED: (&str, &str) = ("TRUSTED_PROXIES", "127.0.0.1");

async fn site() -> (TestServer, Nginx) {
    let server = TestServer::with(&[ONE_NAME, TRUSTED]).await;
    let nginx = Nginx::in_front_of(&server).await;
    (server, nginx)
}

/// Everything in what the app was sent that an app may take for an identity, whichever way the name is written.
fn identity(response: &Response) -> Vec<(String, String)> {
    let told = response.json();
    let headers = told["headers"].as_array().expect("the headers").iter();
    let mut identity: Vec<_> = headers
        .map(|header| (text(&header[0]).to_ascii_lowercase(), text(&header[1]).to_owned()))
        .filter(|(name, _)| {
            let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
            letters.starts_with("xauth")
        })
        .collect();
    identity.sort();
    identity
}

/// How a login was proved that began as a test does.
const ACR: (&str, &str) = ("x-auth-acr", "aal1");
const AMR: (&str, &str) = ("x-auth-amr", "pwd");
const TIME: (&str, &str) = ("x-auth-time", "2031-01-01T02:13:20.000000Z");

fn named(identity: &[(&str, &str)]) -> Vec<(String, String)> {
    identity.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

async fn who_is_signed_in_gets_the_protected_files_and_nobody_else(pair: Pair) {
    let (server, nginx) = site().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await.at_node(nginx.address());

    let response = client.get("/private/").await.expect(200);
    assert_eq!(response.text(), PRIVATE_PAGE);
    assert!(response.list("cache-control").contains(&"private".to_owned()), "{response}");
    assert_eq!(nginx.send(Request::get("/")).await.expect(200).text(), PUBLIC_PAGE);

    let revoked = client.clone();
    client.logout().await.expect(204);
    for path in ["/private/", "/private/index.html", "//private/", "/%70rivate/", "/docs/../private/"] {
        for (request, blamed) in [
            (Request::get(path), false),
            (Request::get(path).header("Cookie", "sessionid=nonsense"), true),
            (Request::get(path).bearer("nonsense"), true),
            (revoked.request("GET", "/private/"), true),
        ] {
            let response = nginx.send(request).await.expect(401).blames_a_token(blamed);
            assert!(response.header("www-authenticate").is_some_and(|it| it.starts_with("Bearer")));
            assert!(!response.text().contains(PRIVATE_PAGE), "{response}");
        }
    }
}

/// As a page of PUBLIC_URL sends it.
fn from_a_page(request: Request) -> Request {
    request.header("Origin", ONE_NAME.1)
}

/// Ada, who has registered and signed in through this proxy, and her id.
async fn signed_in_through(proxy: SocketAddr, server: &TestServer, pair: Pair) -> (Client, String) {
    let mut client = Client::new(server, pair).at_node(proxy);
    let register = Request::post(&client.path("register")).json(&registration("ada"));
    let user = client.send(from_a_page(register)).await.expect(201).json();
    let login = Request::post(&client.path("login")).json(&pair.credentials("ada"));
    client.send(from_a_page(login)).await.ok();
    (client, text(&user["user_id"]).to_owned())
}

async fn one_registers_signs_in_and_signs_out_through_the_proxy(pair: Pair) {
    let (server, nginx) = site().await;
    let (mut client, _) = signed_in_through(nginx.address(), &server, pair).await;
    for path in [&client.path("profile"), "/profile", "/account", "/account/logins"] {
        client.get(path).await.ok();
    }
    client.send(from_a_page(client.refresh_request())).await.ok();
    let before = client.clone();
    client.send(from_a_page(client.request("POST", &client.path("logout")))).await.expect(204);
    before.get("/profile").await.problem(401, pair.mode.ended());
}

async fn the_app_is_told_who_is_asking(pair: Pair) {
    let (server, nginx) = site().await;
    let id = server.user("Ada.L-1_x").await;
    sqlx::query("update users set roles = '{admin,user}'")
        .execute(&mut server.sql().await)
        .await
        .expect("two roles");
    let client = Client::signed_in(&server, pair, "Ada.L-1_x").await.at_node(nginx.address());
    let who = named(&[
        ACR,
        AMR,
        ("x-auth-mode", pair.mode.name()),
        ("x-auth-roles", "admin,user"),
        TIME,
        ("x-auth-user-id", &id),
        ("x-auth-username", "Ada.L-1_x"),
    ]);

    let response = client.get("/app/orders?page=2").await.expect(200);
    assert_eq!(identity(&response), who);
    // One after the other, as a browser does: nothing of one request is left for the next.
    for request in [
        client.request("POST", "/app/orders").body("text/plain", "a body"),
        client.request("POST", "/app/orders").bytes("a body").chunked(),
    ] {
        let response = nginx.send(request).await.expect(200);
        assert_eq!(identity(&response), who);
        assert_eq!(response.json()["method"], "POST");
        assert_eq!(response.json()["body"], "a body", "{response}");
    }
    let open = client.get("/app/public/news").await.expect(200);
    assert_eq!(identity(&open), []);
}

async fn a_part_of_the_app_is_for_a_role(pair: Pair) {
    let (server, nginx) = site().await;
    let client = Client::of_new_user(&server, pair, "ada").await.at_node(nginx.address());
    client.get("/app/admin/users").await.expect(403);
    // Conditions come from the proxy.
    let posing = client.request("GET", "/app/admin/users?role=user").header("X-Verify", "role=user");
    nginx.send(posing).await.expect(403);
    nginx.send(Request::get("/app/admin/users")).await.expect(401);

    sqlx::query("update users set roles = '{admin}'")
        .execute(&mut server.sql().await)
        .await
        .expect("another role");
    let client = Client::signed_in(&server, pair, "ada").await.at_node(nginx.address());
    for path in ["/app/admin/users?page=2", "/app/admin/"] {
        let response = client.get(path).await.expect(200);
        assert!(identity(&response).contains(&("x-auth-roles".to_owned(), "admin".to_owned())));
    }
    let told = client.request("GET", "/app/orders").header("X-Verify", "role=user");
    let told = nginx.send(told).await.expect(200).text();
    assert!(!told.contains("x-verify"), "{told}");
}

/// Asks for a WebSocket; the connection, and the answer's head.
async fn upgrade(to: SocketAddr, request: Request) -> (TcpStream, String) {
    let request = request
        .header("Connection", "keep-alive, Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Content-Length", "0");
    let mut stream = TcpStream::connect(to).await.expect("a connection");
    stream.write_all(&request.encode(to)).await.expect("the request is taken");
    let mut head = Vec::new();
    let read = async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("an answer"));
        }
    };
    timeout(PATIENCE, read).await.expect("an answer in time");
    (stream, String::from_utf8(head).expect("an answer's head"))
}

async fn assert_websockets_pass(server: &TestServer, proxy: SocketAddr, pair: Pair) {
    let client = Client::of_new_user(server, pair, "ada").await;
    for (path, who) in [("/app/socket", Some("x-told: ada")), ("/app/public/socket", None)] {
        let (mut stream, head) = upgrade(proxy, client.request("GET", path)).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert_eq!(head.contains("x-told"), who.is_some(), "{head}");
        assert!(who.is_none_or(|who| head.contains(who)), "{head}");
        for message in [&b"\x81\x84mask"[..], b"\x00\xff\r\n\r\n"] {
            stream.write_all(message).await.expect("it is taken");
            let mut echoed = vec![0; message.len()];
            timeout(PATIENCE, stream.read_exact(&mut echoed)).await.expect("an echo").expect("all of it");
            assert_eq!(echoed, message);
        }
    }
    let (_, head) = upgrade(proxy, Request::get("/app/socket")).await;
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
    // dualauth has none.
    let (_, head) = upgrade(proxy, client.request("GET", "/profile")).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}

async fn a_websocket_reaches_the_app_and_who_it_is_of(pair: Pair) {
    let (server, nginx) = site().await;
    assert_websockets_pass(&server, nginx.address(), pair).await;
    // Nothing else is upgraded: by HTTP/2 in clear text, requests would reach the app past the proxy.
    let other = Request::get("/app/public/news").header("Connection", "close, Upgrade, HTTP2-Settings");
    let other = other.header("Upgrade", "h2c").header("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA");
    let told = nginx.send(other).await.expect(200).json();
    assert!(!told["headers"].to_string().contains("h2c"), "{told}");
}

#[tokio::test]
async fn a_body_that_is_too_large_for_the_app_is_refused_by_the_proxy() {
    let (_server, nginx) = site().await;
    let upload = |bytes: usize| Request::post("/app/public/upload").bytes("x".repeat(bytes));
    nginx.send(upload(900_000)).await.expect(200);
    nginx.send(upload(1_100_000)).await.expect(413);
}

/// How a client may write the names of an identity, so that some app takes them for the proxy's.
const CLAIMED_AS: [fn(&str) -> String; 6] = [
    str::to_owned,
    str::to_ascii_lowercase,
    str::to_ascii_uppercase,
    |name| name.replace('-', "_"),
    |name| name.replace('-', "."),
    |name| name.replacen('-', "_", 1),
];

/// The request with an identity that nobody gave it, each header twice.
fn with_a_claim(request: Request, write: fn(&str) -> String) -> Request {
    let claims = [
        ("X-Auth-User-Id", "00000000-0000-7000-8000-000000000000"),
        ("X-Auth-Username", "root"),
        ("X-Auth-Roles", "admin"),
        ("X-Auth-Mode", "session"),
        ("X-Auth-Roles", ""),
        ("X-Auth-Roles", "root"),
        ("X-Auth-User-Id", "1"),
        ("X-Auth-Acr", "aal2"),
        ("X-Auth-Amr", "hwk,mfa"),
        ("X-Auth-Time", "2100-01-01T00:00:00Z"),
    ];
    claims.iter().fold(request, |request, (name, value)| request.header(&write(name), value))
}

async fn assert_no_claim_passes(server: &TestServer, proxy: SocketAddr, pair: Pair) {
    let id = server.user("ada").await;
    // Without a role there is nothing to write over a claimed one.
    sqlx::query("update users set roles = '{}'").execute(&mut server.sql().await).await.expect("no role");
    let client = Client::signed_in(server, pair, "ada").await;
    let who = named(&[
        ACR,
        AMR,
        ("x-auth-mode", pair.mode.name()),
        TIME,
        ("x-auth-user-id", &id),
        ("x-auth-username", "ada"),
    ]);

    for write in CLAIMED_AS {
        let protected = client.request("GET", "/app/orders");
        let response = with_a_claim(protected.clone(), write).send(proxy).await.expect(200);
        assert_eq!(identity(&response), who, "{}", write("X-Auth-Roles"));
        // Nor can a client have what the proxy says dropped on the way, here or behind the app.
        let dropping = protected.header("Connection", "close").header("Connection", write("X-Auth-User-Id"));
        let response = dropping.send(proxy).await.expect(200);
        assert_eq!(identity(&response), who);
        let named_to_drop = response.json()["headers"].to_string().to_ascii_lowercase();
        assert!(!named_to_drop.contains("[\"connection\",\"x-auth"), "{named_to_drop}");

        with_a_claim(Request::get("/app/orders"), write).send(proxy).await.expect(401);
        for open in [Request::get("/app/public/news"), client.request("GET", "/app/public/news")] {
            let response = with_a_claim(open, write).send(proxy).await.expect(200);
            assert_eq!(identity(&response), [], "{}", write("X-Auth-Roles"));
        }
    }
}

async fn an_identity_that_a_client_claims_never_reaches_the_app(pair: Pair) {
    let (server, nginx) = site().await;
    assert_no_claim_passes(&server, nginx.address(), pair).await;
}

#[tokio::test]
async fn the_app_is_told_of_nobody_s_forwarded_address_but_the_proxy_s() {
    let (_server, nginx) = site().await;
    let request = Request::get("/app/public/news")
        .header("Host", "www.example.com")
        .header("X-Forwarded-For", "203.0.113.7")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "elsewhere.example.org");
    let told = nginx.send(request).await.expect(200).json();
    let of = |wanted: &str| -> Vec<&Value> {
        let headers = told["headers"].as_array().expect("the headers").iter();
        headers.filter(|header| header[0] == wanted).map(|header| &header[1]).collect()
    };
    assert_eq!(of("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(of("x-forwarded-proto"), ["http"]);
    assert_eq!(of("x-forwarded-host"), ["www.example.com"]);
    assert_eq!(of("host"), ["www.example.com"]);
}

#[tokio::test]
async fn what_dualauth_can_t_read_is_refused_with_its_own_status() {
    let (_server, nginx) = site().await;
    for path in ["/private/", "/app/orders"] {
        for request in [
            Request::get(path).header("Authorization", "Bearer"),
            Request::get(path).header("Cookie", "sessionid=one; sessionid=two"),
            Request::post(path).header("Authorization", "Bearer two tokens").body("text/plain", "a body"),
        ] {
            let response = nginx.send(request).await.expect(400);
            assert_eq!(response.header("retry-after"), None, "{response}");
        }
    }
}

#[tokio::test]
async fn without_its_database_a_session_is_told_to_come_again() {
    let (server, database) = TestServer::behind_a_proxy(&[ONE_NAME]).await;
    let nginx = Nginx::in_front_of(&server).await;
    let client = Client::of_new_user(&server, Pair::SESSION_COOKIE, "ada").await.at_node(nginx.address());
    client.get("/private/").await.expect(200);

    database.cut().await;

    eventually("a session that is not served any longer", async || {
        client.get("/private/").await.status == 503
    })
    .await;
    for request in [client.request("GET", "/private/"), client.request("POST", "/app/orders").bytes("a body")]
    {
        let response = nginx.send(request).await.expect(503);
        assert!(response.header("retry-after").is_some_and(|it| it.parse::<u32>().is_ok()), "{response}");
    }
    assert_eq!(nginx.send(Request::get("/private/")).await.expect(401).header("retry-after"), None);
}

#[tokio::test]
async fn without_dualauth_nobody_is_let_through() {
    let (mut server, nginx) = site().await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await.at_node(nginx.address());
    client.get("/private/").await.expect(200);

    server.stop().await;

    for path in ["/private/", "/app/orders", "/profile"] {
        client.get(path).await.expect(502);
    }
    nginx.send(Request::get("/app/public/news")).await.expect(200);
}

#[tokio::test]
async fn only_the_proxy_asks_who_is_asking() {
    let (server, nginx) = site().await;
    let client = Client::of_new_user(&server, Pair::SESSION_COOKIE, "ada").await.at_node(nginx.address());
    for path in ["/verify", "/health/ready"] {
        client.get(path).await.expect(404);
    }
}

/// An address of this machine that is not the proxy's.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

#[tokio::test]
async fn a_login_is_recorded_by_the_address_that_the_proxy_saw() {
    let (server, nginx) = site().await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    for forged in [None, Some("203.0.113.7"), Some("203.0.113.7, 127.0.0.1"), Some("nonsense")] {
        let login = Request::post("/session/login").json(&client.pair.credentials("ada"));
        let login = forged.iter().fold(login, |login, address| login.header("X-Forwarded-For", address));
        let login = login.header("Forwarded", "for=203.0.113.7").header("X-Real-IP", "203.0.113.7");
        let id = login.send_from(ELSEWHERE, nginx.address()).await.ok()["login"]["id"].clone();

        let listed = client.get("/account/logins").await.ok();
        let logins = listed["logins"].as_array().expect("the logins");
        let login = logins.iter().find(|login| login["id"] == id).expect("this login");
        assert_eq!(login["address"], ELSEWHERE.to_string(), "{forged:?}");
    }
}

/// HTTP/1.0, unless it is told otherwise.
#[tokio::test]
async fn nginx_as_it_is_built_passes_every_request_on() {
    let server = TestServer::with(&[ONE_NAME]).await;
    let nginx = Nginx::of_old_http(&server).await;
    for pair in Pair::ALL {
        let mut client = Client::new(&server, pair).at_node(nginx.address());
        let name = format!("{}-{}", pair.mode.name(), pair.transport.name());
        let register = Request::post(&client.path("register")).json(&registration(&name));
        client.send(register).await.expect(201);
        client.login(&pair.credentials(&name)).await.ok();
        client.refresh().await.ok();
        client.profile().await.ok();
        let before = client.clone();
        let logout = client.request("POST", &client.path("logout")).without_a_length();
        let mut connection = Connection::open(nginx.address()).await;
        connection.write(logout).await;
        connection.answer("POST").await.expect(204);
        before.profile().await.problem(401, pair.mode.ended());
    }
}
