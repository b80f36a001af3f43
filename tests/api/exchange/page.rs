//! `/handoff`: what the page and its files are. What it does is tried in a browser.

use crate::support::{http::Request, server::TestServer};

#[tokio::test]
async fn the_page_is_strict_and_has_its_files() {
    let server = TestServer::start().await;
    let page = server.send(Request::get("/handoff")).await.expect(200);
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    let html = page.text();
    assert!(!html.contains("<script>") && !html.contains("onclick"), "{html}");
    for file in ["style.css", "icon.svg", "main.js", "texts.js"] {
        assert!(html.contains(file) || file == "texts.js", "{file}");
        server.send(Request::get(&format!("/handoff/{file}"))).await.expect(200);
    }
    server.send(Request::get("/handoff/other.js")).await.problem(404, "not_found");
}
