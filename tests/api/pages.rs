//! What people and machines look at: the pages, the document.

use std::{collections::BTreeSet, fs::DirEntry, path::Path};

use super::support::http::{Request, Response};
use super::support::server::TestServer;

/// What the playground is made of, as its pages and scripts name it.
fn files_of_the_playground() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/playground");
    let named = |entry: std::io::Result<DirEntry>| {
        entry.expect("an entry").file_name().into_string().expect("a name")
    };
    let files: BTreeSet<String> = std::fs::read_dir(folder).expect("a folder").map(named).collect();
    files.into_iter().filter(|file| file != "index.html").collect()
}

#[track_caller]
fn assert_served(response: &Response, content_type: &str) {
    assert_eq!(response.header("content-type"), Some(content_type), "{response}");
    assert_eq!(response.header("cache-control"), Some("no-cache"), "{response}");
    let policy = response.header("content-security-policy").expect("a policy");
    for directive in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"]
    {
        assert!(policy.split("; ").any(|it| it == directive), "{directive} in {response}");
    }
}

#[tokio::test]
async fn a_bare_address_is_the_playground() {
    let server = TestServer::start().await;
    let page = server.send(Request::get("/")).await.expect(200);
    assert_served(&page, "text/html; charset=utf-8");
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("require-trusted-types-for 'script'"), "no script makes markup: {policy}");
    for link in ["/compare", "/docs/", "/openapi.json"] {
        assert!(page.text().contains(&format!("href=\"{link}\"")), "{link}");
    }
    server.send(Request::new("HEAD", "/")).await.expect(200);
    server.send(Request::post("/")).await.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn every_file_of_the_playground_is_served_and_wanted() {
    let server = TestServer::start().await;
    let page = server.send(Request::get("/")).await.expect(200).text();
    for file in files_of_the_playground() {
        let path = format!("/playground/{file}");
        assert!(page.contains(&format!("\"{path}\"")), "the page does not ask for {file}");
        let response = server.send(Request::get(&path)).await.expect(200);
        let content_type = match file.rsplit_once('.').expect("an extension").1 {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            other => panic!("{other}"),
        };
        assert_served(&response, content_type);
        server.send(Request::new("HEAD", &path)).await.expect(200);
        server.send(Request::post(&path)).await.problem(405, "method_not_allowed");
    }
    server.send(Request::get("/playground/nothing.js")).await.problem(404, "not_found");
    server.send(Request::get("/playground/")).await.problem(404, "not_found");
}

#[tokio::test]
async fn the_docs_are_found_without_their_slash() {
    let server = TestServer::start().await;
    let response = server.send(Request::get("/docs")).await.expect(303);
    assert_eq!(response.header("location"), Some("/docs/"));
    assert_served(&server.send(Request::get("/docs/")).await.expect(200), "text/html; charset=utf-8");
}

#[tokio::test]
async fn everything_that_swagger_ui_loads_is_served_from_here() {
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
