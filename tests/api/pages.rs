//! What people and machines look at: the pages, the document.

use super::support::http::Request;
use super::support::server::TestServer;

#[tokio::test]
async fn a_bare_address_leads_to_swagger_ui() {
    let server = TestServer::start().await;
    for path in ["/", "/docs"] {
        let response = server.send(Request::get(path)).await.expect(303);
        assert_eq!(response.header("location"), Some("/docs/"), "{path}");
    }
    let page = server.send(Request::get("/docs/")).await.expect(200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self';"), "{policy}");
}

#[tokio::test]
async fn everything_the_page_loads_is_served_from_here() {
    let server = TestServer::start().await;
    for file in ["setup.js", "setup.css", "swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"] {
        server.send(Request::get(&format!("/docs/{file}"))).await.expect(200);
    }
    server.send(Request::get("/docs/nothing.js")).await.problem(404, "not_found");
    server.send(Request::post("/docs/")).await.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn the_document_that_is_served_is_the_committed_one() {
    let server = TestServer::start().await;
    let served = server.send(Request::get("/openapi.json")).await.expect(200).json();
    let committed: serde_json::Value =
        serde_json::from_str(include_str!("../../openapi/openapi.json")).expect("the committed document");
    assert_eq!(served, committed);
}
