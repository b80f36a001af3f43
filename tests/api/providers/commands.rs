//! Providers as operators and pages see them: the list, `provider check`, `doctor`, the metric.

use serde_json::json;

use super::{SECRET, provider_file};
use crate::doctor::doctor_in;
use crate::support::{
    http::Request,
    program::{folder, program, run, text},
    server::TestServer,
    stub_provider::{StubAnswer, StubProvider},
};

const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Proxies that the environment names: nobody is there.
const PROXIES: [(&str, &str); 4] = [
    ("HTTP_PROXY", "http://127.0.0.1:1"),
    ("http_proxy", "http://127.0.0.1:1"),
    ("HTTPS_PROXY", "http://127.0.0.1:1"),
    ("ALL_PROXY", "http://127.0.0.1:1"),
];

async fn check(file: &str, name: &str) -> (Option<i32>, String) {
    let settings =
        [&[("PROVIDERS", file), ("PUBLIC_URL", "https://auth.example.com")], &PROXIES[..]].concat();
    let mut command = program(&folder(), &settings);
    command.args(["provider", "check"]).args(Some(name).filter(|name| !name.is_empty()));
    let output = run(command, "").await;
    (output.status.code(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
}

#[tokio::test]
async fn pages_are_told_of_the_providers_of_the_settings() {
    let server = TestServer::start().await;
    let list = server.send(Request::get("/providers")).await.expect(200);
    assert_eq!(list.json(), json!({ "providers": [] }));
    // Nobody is there: the start asks nobody.
    let file = provider_file(
        "https://127.0.0.1:1",
        SECRET,
        "title = 'Work'\n[more]\nkind = 'microsoft'\nclient_id = 'x'",
    );
    let server = TestServer::with(&[("PROVIDERS", &file)]).await;
    let list = server.send(Request::get("/providers")).await.expect(200);
    let expected = json!([{ "name": "stub", "title": "Work" }, { "name": "more", "title": "Microsoft" }]);
    assert_eq!(list.json(), json!({ "providers": expected }));
    server.send(Request::post("/providers")).await.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn a_provider_is_checked_without_a_sign_in() {
    let stub = StubProvider::start().await;
    let file = provider_file(&stub.url(), SECRET, "");
    let (code, told) = check(&file, "").await;
    assert_eq!(code, Some(0), "{told}");
    for word in [
        &stub.url(),
        "keys that verify ID tokens: 1",
        "https://auth.example.com/providers/stub/callback",
        // The stub lives in 2031.
        "clock ahead of ours by: ",
        "NTP",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
    let (code, told) = check(&file, "other").await;
    assert!(code == Some(1) && told.contains("no provider \"other\""), "{told}");
    stub.json(DISCOVERY, crate::support::with(stub.discovery(), "issuer", "https://evil.example"));
    let (code, told) = check(&file, "stub").await;
    assert!(code == Some(1) && told.contains("https://evil.example") && !told.contains(SECRET), "{told}");
}

#[tokio::test]
async fn doctor_asks_the_providers() {
    let stub = StubProvider::start().await;
    let file = provider_file(&stub.url(), SECRET, "");
    let told = doctor_in(&folder(), &[("PROVIDERS", &file)], &[]).await;
    told.assert_has("warning", &["stub", "clock", "NTP"]);
    told.assert_has("warning", &["PUBLIC_URL is not"]);
    stub.answer(DISCOVERY, StubAnswer::Status(503, json!({})));
    let told = doctor_in(&folder(), &[("PROVIDERS", &file)], &[]).await;
    told.assert_has("problem", &["stub", "status 503"]);
    std::fs::write(&file, "[stub]\nclient_id = 'x'\nissuer = 'http://a.example'").expect("it is written");
    let told = doctor_in(&folder(), &[("PROVIDERS", &file)], &[]).await;
    told.assert_has("problem", &["PROVIDERS, line 3"]);
}
