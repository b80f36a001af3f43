//! The built-in pages and the OpenAPI document.

use std::{collections::BTreeSet, fs::DirEntry, path::Path};

use dualauth::web::LastReport;

use super::support::http::{Request, Response};
use super::support::server::TestServer;

/// The files of the playground, except for the page itself and a part of it.
fn files_of_the_playground() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/playground");
    let named = |entry: std::io::Result<DirEntry>| {
        entry.expect("an entry").file_name().into_string().expect("a name")
    };
    let files: BTreeSet<String> = std::fs::read_dir(folder).expect("a folder").map(named).collect();
    files.into_iter().filter(|file| !file.ends_with(".html")).collect()
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
async fn the_root_path_is_the_playground() {
    let server = TestServer::start().await;
    let page = server.send(Request::get("/")).await.expect(200);
    assert_served(&page, "text/html; charset=utf-8");
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("require-trusted-types-for 'script'"), "scripts can't insert markup: {policy}");
    for link in ["/compare", "/docs/", "/openapi.json"] {
        assert!(page.text().contains(&format!("href=\"{link}\"")), "{link}");
    }
    server.send(Request::new("HEAD", "/")).await.expect(200);
    server.send(Request::post("/")).await.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn every_file_of_the_playground_is_served_and_referenced() {
    let server = TestServer::start().await;
    let page = server.send(Request::get("/")).await.expect(200).text();
    // Where providers send browsers back to, which has files of its own.
    let provider_return = "/playground/provider-return.html";
    let return_page = server.send(Request::get(provider_return)).await.expect(200);
    assert_served(&return_page, "text/html; charset=utf-8");
    let script = server.send(Request::get("/playground/provider-attempt.js")).await.expect(200).text();
    assert!(script.contains(&format!("\"{provider_return}\"")), "{script}");
    for file in files_of_the_playground() {
        let path = format!("/playground/{file}");
        let is_referenced = page.contains(&format!("\"{path}\""));
        let is_of_return_page = return_page.text().contains(&format!("\"{file}\""));
        assert!(is_referenced || is_of_return_page, "neither page references {file}");
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
async fn the_page_of_a_mails_link_is_made_of_its_own_files_alone() {
    let server = TestServer::start().await;
    let page = server.send(Request::get("/mail")).await.expect(200);
    assert_served(&page, "text/html; charset=utf-8");
    assert!(page.header("content-security-policy").is_some_and(|it| it.contains("trusted-types 'none'")));
    assert!(!page.text().contains("=\"/playground") && !page.text().contains("style="), "{page}");
    for file in ["style.css", "icon.svg", "main.js", "challenge-store.js", "redemption.js", "texts.js"] {
        let response = server.send(Request::get(&format!("/mail/{file}"))).await.expect(200);
        assert!(!response.text().contains("/playground"), "{file}");
    }
    server.send(Request::new("HEAD", "/mail")).await.expect(200);
    server.send(Request::post("/mail")).await.problem(405, "method_not_allowed");
    for none in ["/mail/", "/mail/nothing.js"] {
        server.send(Request::get(none)).await.problem(404, "not_found");
    }
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

const NOT_HERE: &str = "Not measured on this machine";

/// Writes a file of a run, as `dualauth compare` does.
fn write(server: &TestServer, name: &str, text: &str) -> std::path::PathBuf {
    let folder = LastReport::folder(&server.data_folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(name), text).expect("it is written");
    folder.join(name)
}

async fn comparison(server: &TestServer) -> String {
    server.send(Request::get("/compare")).await.expect(200).text()
}

#[tokio::test]
async fn without_a_run_of_this_machine_the_run_of_the_docs_is_shown_and_marked() {
    let server = TestServer::start().await;
    let page = server.send(Request::get("/compare")).await.expect(200);
    assert_served(&page, "text/html; charset=utf-8");
    let page = page.text();
    assert!(page.contains(NOT_HERE) && page.contains("aria-current=\"page\""));
    assert_eq!(page.matches("<main>").count(), 1);
    // No cell is empty, and the charts are there.
    assert!(!page.contains("unmeasured") && page.matches("<svg").count() == 4, "{page}");
    assert!(!page.contains("<!--") && !page.contains("<style"), "{page}");

    let report = server.send(Request::get("/compare.json")).await.expect(200).json();
    let warning = report["environment"]["warnings"][0].as_str().expect("a warning");
    assert!(warning.contains(NOT_HERE), "{warning}");
    assert!(report["variants"].as_array().is_some_and(|variants| variants.len() > 10));
}

#[tokio::test]
async fn the_comparison_is_what_a_run_wrote_if_all_of_its_files_can_be_read() {
    let server = TestServer::start().await;
    let before = comparison(&server).await;
    let run = "<html><head><style>p{}</style></head><body><main>\n<h1>Old</h1>\n<p>as it was</p></main></body></html>";
    let json = include_str!("../../docs/comparison.json");
    let textbook = include_str!("../../docs/comparison.textbook.json");
    write(&server, "comparison.html", run);
    write(&server, "comparison.json", json);
    write(&server, "comparison.textbook.json", textbook);
    let shown = comparison(&server).await;
    assert!(shown.contains("<p>as it was</p>") && !shown.contains("<h1>Old</h1>"), "{shown}");
    assert!(!shown.contains(NOT_HERE) && !shown.contains("<style"), "{shown}");
    let served = server.send(Request::get("/compare.json")).await.expect(200);
    assert_eq!(served.text(), json, "byte for byte");

    // A table without figures would be no comparison, and two runs at two addresses none either.
    for broken in ["{\"of\": \"another version\"}", "", "[]"] {
        write(&server, "comparison.json", broken);
        assert_eq!(comparison(&server).await, before, "{broken}");
        let report = server.send(Request::get("/compare.json")).await.expect(200).json();
        assert!(report["environment"]["warnings"][0].as_str().is_some_and(|it| it.contains(NOT_HERE)));
    }
    write(&server, "comparison.json", json);
    // What is no page is no run.
    for broken in ["", "<main>", "\u{0}"] {
        write(&server, "comparison.html", broken);
        assert!(comparison(&server).await.contains(NOT_HERE), "{broken}");
    }
    write(&server, "comparison.html", run);
    for other_version in ["", "{}", "[]", "{\"from_outside\": false, \"rows\": {}}"] {
        write(&server, "comparison.textbook.json", other_version);
        let page = comparison(&server).await;
        assert!(page.contains(NOT_HERE) && !page.contains("as it was"), "{other_version}: {page}");
    }
    std::fs::remove_dir_all(&server.data_folder).expect("it is removed");
    assert_eq!(comparison(&server).await, before);
}

/// It wrote no `comparison.textbook.json`: what its figures say is not in any file that is read here.
#[tokio::test]
async fn a_run_of_an_older_version_is_told_from_none_and_a_new_one_asked_for() {
    let server = TestServer::start().await;
    write(&server, "comparison.json", include_str!("../../docs/comparison.json"));
    write(&server, "comparison.html", "<main><p>the old one</p></main>");
    let page = comparison(&server).await;
    assert!(page.contains("written by another version") && page.contains(NOT_HERE), "{page}");
    assert!(
        page.contains("Run <code>dualauth compare --quick</code>") && !page.contains("the old one"),
        "{page}"
    );
    let report = server.send(Request::get("/compare.json")).await.expect(200).json();
    let warning = report["environment"]["warnings"][0].as_str().expect("a warning");
    assert!(warning.contains("written by another version") && warning.contains(NOT_HERE), "{warning}");
    std::fs::remove_dir_all(&server.data_folder).expect("it is removed");
}

#[tokio::test]
async fn a_run_is_read_once_and_sent_once_to_whoever_keeps_it() {
    let server = TestServer::start().await;
    write(&server, "comparison.json", include_str!("../../docs/comparison.json"));
    write(&server, "comparison.textbook.json", include_str!("../../docs/comparison.textbook.json"));
    let file = write(&server, "comparison.html", "<main><p>the first</p></main>");
    let first = server.send(Request::get("/compare")).await.expect(200);
    assert!(first.text().contains("the first"));
    let tag = first.header("etag").expect("an ETag").to_owned();

    // Unless its time or length says so, there is no other: it is not read again.
    let written = std::fs::metadata(&file).expect("a file").modified().expect("a time");
    write(&server, "comparison.html", "<main><p>the other</p></main>");
    let other = std::fs::File::options().write(true).open(&file).expect("a file");
    other.set_modified(written).expect("a time");
    assert!(comparison(&server).await.contains("the first"));

    let asks = |path: &str, tag: &str| server.send(Request::get(path).header("If-None-Match", tag));
    for known in [tag.as_str(), &format!("\"x\", W/{tag}"), "*"] {
        let answer = asks("/compare", known).await.expect(304);
        assert_eq!((answer.text().as_str(), answer.header("etag")), ("", Some(tag.as_str())), "{known}");
        asks("/compare.json", known).await.expect(304);
    }
    for unknown in ["\"x\"", "", "nonsense"] {
        asks("/compare", unknown).await.expect(200);
    }
    other.set_modified(written + std::time::Duration::from_secs(1)).expect("a time");
    let second = asks("/compare", &tag).await.expect(200);
    assert!(second.text().contains("the other") && second.header("etag") != Some(&tag));
    server.send(Request::new("HEAD", "/compare")).await.expect(200);
    std::fs::remove_dir_all(&server.data_folder).expect("it is removed");
}
