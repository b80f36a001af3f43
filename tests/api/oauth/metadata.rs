//! Where services ask what.

use serde_json::json;

use crate::support::{http::Request, server::TestServer};

const PATH: &str = "/.well-known/oauth-authorization-server";

#[tokio::test]
async fn the_metadata_names_what_there_is_and_nothing_else() {
    let server = TestServer::with(&[
        ("PUBLIC_URL", "https://auth.example.org"),
        ("JWT_ISSUER", "https://issuer.example.org"),
    ])
    .await;
    let response = server.send(Request::get(PATH)).await;
    assert_eq!(response.header("cache-control"), Some("public, max-age=300"), "{response}");
    assert_eq!(
        response.ok(),
        json!({
            "issuer": "https://issuer.example.org",
            "jwks_uri": "https://auth.example.org/.well-known/jwks.json",
            "introspection_endpoint": "https://auth.example.org/jwt/introspect",
            "introspection_endpoint_auth_methods_supported": ["client_secret_basic"],
            "revocation_endpoint": "https://auth.example.org/jwt/revoke",
            "revocation_endpoint_auth_methods_supported": ["client_secret_basic"],
            "response_types_supported": [],
            "grant_types_supported": [],
            "service_documentation": "https://auth.example.org/docs/",
        })
    );
}

#[tokio::test]
async fn what_the_metadata_names_of_this_server_is_there() {
    let server = TestServer::start().await;
    let metadata = server.send(Request::get(PATH)).await.ok();
    let url = format!("http://{}", server.address());
    assert_eq!(metadata["issuer"], url);
    for endpoint in ["introspection_endpoint", "revocation_endpoint"] {
        let path =
            metadata[endpoint].as_str().and_then(|it| it.strip_prefix(&url)).expect("a path of this server");
        server.send(Request::post(path)).await.oauth_problem(401, "not_authenticated");
    }
    for document in ["jwks_uri", "service_documentation"] {
        let path = metadata[document].as_str().and_then(|it| it.strip_prefix(&url));
        server.send(Request::get(path.expect("a path of this server"))).await.expect(200);
    }
}

#[tokio::test]
async fn the_metadata_is_read_and_not_written() {
    let server = TestServer::start().await;
    let head = server.send(Request::new("HEAD", PATH)).await.expect(200);
    assert_eq!((head.text(), head.header("cache-control")), (String::new(), Some("public, max-age=300")));
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let response = server.send(Request::new(method, PATH)).await.problem(405, "method_not_allowed");
        assert!(response.list("allow").starts_with(&["get".to_owned(), "head".to_owned()]), "{response}");
    }
}
