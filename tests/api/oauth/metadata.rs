//! Where services ask what.

use serde_json::json;

use crate::support::{eventually, http::Request, server::TestServer};

const PATH: &str = "/.well-known/oauth-authorization-server";

/// Where OpenID Connect has it (OpenID Connect Discovery 1.0, section 4).
const OPENID_PATH: &str = "/.well-known/openid-configuration";

#[tokio::test]
async fn the_metadata_names_what_there_is_and_nothing_else() {
    let server = TestServer::with(&[
        ("PUBLIC_URL", "https://auth.example.org"),
        ("JWT_ISSUER", "https://issuer.example.org"),
        ("JWT_ALGORITHM", "ES256"),
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
            "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "revocation_endpoint": "https://auth.example.org/jwt/revoke",
            "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "revocation_feed_endpoint": "https://auth.example.org/jwt/feed",
            "revocation_feed_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "response_types_supported": [],
            "grant_types_supported": [],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
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
    for endpoint in ["introspection_endpoint", "revocation_endpoint", "revocation_feed_endpoint"] {
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

/// Verifiers that know OpenID Connect alone look there for the keys, and for the algorithms that they are to take.
#[tokio::test]
async fn openid_connects_document_is_the_same() {
    for algorithm in ["HS256", "EdDSA", "ES256", "RS256"] {
        let server = TestServer::with(&[("JWT_ALGORITHM", algorithm)]).await;
        let [openid, oauth] =
            [server.send(Request::get(OPENID_PATH)).await, server.send(Request::get(PATH)).await];
        assert_eq!(openid.but_for_the_date(), oauth.but_for_the_date());
        // What only this server can verify is named to nobody: an empty list is left out (RFC 8414, section 3.2).
        let expected = if algorithm == "HS256" { json!(null) } else { json!([algorithm]) };
        assert_eq!(openid.ok()["id_token_signing_alg_values_supported"], expected);
        for method in ["POST", "DELETE"] {
            server.send(Request::new(method, OPENID_PATH)).await.problem(405, "method_not_allowed");
        }
    }
}

/// While tokens by an older key are about, its algorithm is named as well.
#[tokio::test]
async fn the_algorithms_are_those_of_every_key_that_verifies() {
    let server = TestServer::with(&[("JWT_ALGORITHM", "RS256")]).await;
    let node = server.another_node_with(&[("JWT_ALGORITHM", "EdDSA")]).await;
    let algorithms = async || {
        let document = node.send(Request::get(OPENID_PATH)).await.ok();
        document["id_token_signing_alg_values_supported"].clone()
    };
    eventually("both algorithms", async || algorithms().await == json!(["EdDSA", "RS256"])).await;
}
