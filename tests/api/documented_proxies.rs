//! What Envoy, Traefik and Caddy are documented to ask, as they are configured in docs/proxies.

use crate::support::{
    client::{Client, Pair},
    http::{Connection, Request},
    server::{ONE_NAME, TestServer},
};

promises! { of every pair:
    envoy_asks_with_the_originals_method_path_and_query,
    traefik_and_caddy_ask_with_get_and_tell_of_the_original,
}

/// What the app is to believe: Envoy replaces what the client sent by what is in the answer, an empty value as well.
const IDENTITY: [&str; 4] = ["x-auth-user-id", "x-auth-username", "x-auth-roles", "x-auth-mode"];

/// ext_authz over HTTP: `path_prefix` and the original's path and query, its method, Host and Authorization, `Content-Length: 0`,
/// what `allowed_headers` names, and Envoy's own.
fn envoys(original: Request) -> Request {
    original
        .header("Host", "www.example.com")
        .header("Content-Length", "0")
        .header("X-Forwarded-For", "203.0.113.7")
        .header("X-Envoy-Internal", "true")
        .header("X-Envoy-Expected-Rq-Timeout-Ms", "5000")
}

async fn envoy_asks_with_the_originals_method_path_and_query(pair: Pair) {
    let server = TestServer::with(&[ONE_NAME]).await;
    server.user("ada").await;
    sqlx::query("update users set roles = '{}'").execute(&mut server.sql().await).await.expect("no role");
    let client = Client::signed_in(&server, pair, "ada").await;
    // Envoy keeps its connections.
    let mut connection = Connection::open(server.address()).await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        for path in ["/verify/", "/verify/app/orders?page=2&role=admin", "/verify/app/search?q=%ff&q"] {
            let response = connection.send(&envoys(client.without_csrf(method, path))).await.expect(200);
            assert!(IDENTITY.iter().all(|name| response.all(name).count() == 1), "{response}");
            assert_eq!(response.header("x-auth-roles"), Some(""));
            let response = connection.send(&envoys(Request::new(method, path))).await;
            response.problem(401, "not_authenticated");
            let conditioned = envoys(client.without_csrf(method, path)).header("X-Verify", "role=admin");
            connection.send(&conditioned).await.problem(403, "forbidden");
        }
    }
}

/// ForwardAuth and `forward_auth`: GET at the configured address, whatever the original is, with its description.
async fn traefik_and_caddy_ask_with_get_and_tell_of_the_original(pair: Pair) {
    let server = TestServer::with(&[ONE_NAME]).await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let asks = |request: Request, method: &str| {
        request
            .header("Host", "127.0.0.1:8080")
            .header("X-Forwarded-Method", method)
            .header("X-Forwarded-Proto", "https")
            .header("X-Forwarded-Host", "www.example.com")
            .header("X-Forwarded-Uri", "/app/orders?role=admin")
            .header("X-Forwarded-For", "203.0.113.7")
            // Caddy passes the original's on, a page's elsewhere too.
            .header("Origin", "https://elsewhere.example.org")
            .header("Content-Type", "text/plain")
    };
    for method in ["GET", "POST", "DELETE", "OPTIONS"] {
        for (path, status) in
            [("/verify", 200), ("/verify?role=user&role=admin", 200), ("/verify?role=admin", 403)]
        {
            let response = server.send(asks(client.without_csrf("GET", path), method)).await.expect(status);
            let told = IDENTITY.iter().filter(|name| response.header(name).is_some()).count();
            assert_eq!(told, if status == 200 { IDENTITY.len() } else { 0 }, "{response}");
            server.send(asks(Request::get(path), method)).await.problem(401, "not_authenticated");
        }
    }
}
