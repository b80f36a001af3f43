//! schemathesis, which nobody here wrote, reads the API's document and asks whatever it allows and forbids: as somebody
//! who is not signed in, by cookie and by Bearer. Each answer has to be one that the document names.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    nodes::GENEROUS,
    oauth::Service,
    providers::provider_file,
    support::{
        http::Request,
        mail_server::MailServer,
        program::{folder, text},
        server::TestServer,
        stub_provider::StubProvider,
    },
};

/// Where providers send browsers back to.
const RETURN_TO: &str = "https://app.example.org/in";

/// How often each operation answered with each status, by the operation's id.
type Reached = BTreeMap<String, BTreeMap<String, u64>>;

/// The API's own. Not as it is served, for then it would not ask for it.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json");

/// Runs it as this client by a document, and gives what it reached.
async fn run(identity: &str, server: &TestServer, document: &Path) -> Reached {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (own, folder) = (root.join("tests/schemathesis"), folder());
    let (url, reached) = (format!("http://{}", server.address()), folder.join("reached.json"));
    let service = Service::registered(server).await;
    let mut command = Command::new(root.join("target/schemathesis/venv/bin/schemathesis"));
    command
        .arg("--config-file")
        .arg(own.join("schemathesis.toml"))
        .args(["--no-color", "run", "--url", &url])
        .arg(document)
        .current_dir(&folder)
        .env("SCHEMATHESIS_HOOKS", own.join("hooks.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONUTF8", "1")
        .envs([("IDENTITY", identity), ("URL", &url), ("RETURN_TO", RETURN_TO)])
        .envs([("CLIENT_ID", service.id), ("CLIENT_SECRET", service.secret)])
        .env("REACHED", &reached)
        .kill_on_drop(true);
    let output = command.output().await.unwrap_or_else(|error| panic!("{error}: run scripts/schemathesis"));
    let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "as {identity}: {told}");
    let reached = std::fs::read(&reached).unwrap_or_else(|error| panic!("{error}: {told}"));
    let _ = std::fs::remove_dir_all(&folder);
    serde_json::from_slice(&reached).expect("what was reached")
}

/// The document says eight characters, which an operator may raise. And a machine that does this besides other tests may
/// be slow.
const SETTINGS: [(&str, &str); 2] = [("PASSWORD_MIN_LENGTH", "8"), GENEROUS];

struct Operation {
    id: String,
    /// Whether it wants a user's credential.
    is_protected: bool,
    has_body: bool,
}

/// Those that the document names.
fn operations() -> Vec<Operation> {
    let document: Value =
        serde_json::from_str(include_str!("../../../openapi/openapi.json")).expect("the committed document");
    let items = document["paths"].as_object().expect("paths").values();
    let operations = items.flat_map(|item| item.as_object().expect("a path item").values());
    let wants = |operation: &Value, scheme: &str| {
        let requirements = operation["security"].as_array().into_iter().flatten();
        requirements.flat_map(|it| it.as_object().expect("a requirement").keys()).any(|it| it == scheme)
    };
    let operations = operations.map(|operation| Operation {
        id: operation["operationId"].as_str().expect("an id").to_owned(),
        // Most challenges are for somebody who is not signed in.
        is_protected: operation["security"] != json!([])
            && !wants(operation, "client_basic")
            && operation["operationId"] != "create_challenge",
        has_body: operation.get("requestBody").is_some(),
    });
    operations.collect()
}

/// Whether an operation answered with a status in this range.
fn has(reached: &Reached, operation: &Operation, range: std::ops::Range<u16>) -> bool {
    let statuses = reached.get(&operation.id).into_iter().flat_map(BTreeMap::keys);
    statuses.filter_map(|status| status.parse().ok()).any(|status| range.contains(&status))
}

/// Two variants of a comparison that somebody has made, for who asks for it.
fn show_a_run(server: &TestServer) {
    let folder = dualauth::web::LastReport::folder(&server.data_folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    let run = include_bytes!("../../schemathesis/comparison.json");
    std::fs::write(folder.join("comparison.json"), run).expect("it is written");
}

/// Asserts that it was no walk along locked doors: every operation has done what it is for, and refused what it must.
async fn assert_keeps_to_its_document(identity: &str) {
    let mails = MailServer::start().await;
    let url = mails.url();
    let mail = [
        ("SMTP_URL", url.as_str()),
        ("REGISTRATION", "open"),
        ("EMAIL_SIGN_IN", "on"),
        ("MAIL_LIMIT", "1000000/1h"),
    ];
    let stub = StubProvider::start().await;
    let file = provider_file(&stub.url(), "a secret", "");
    let provider = [("PROVIDERS", file.as_str()), ("RETURN_TO", RETURN_TO)];
    let server = TestServer::with(&[&SETTINGS[..], &mail, &provider].concat()).await;
    // Proved addresses, without a mail that it can't read.
    crate::nodes::sql(&server, "alter table users alter column email_verified_at set default '2031-01-01'")
        .await;
    let reached = run(identity, &server, Path::new(DOCUMENT)).await;
    for operation in operations() {
        // Mails are kept in files on the private Postgres alone; and a code is in a mail, which is read in other tests.
        let is_here = !["local_mails", "reset_password", "prove_email"].contains(&&*operation.id);
        let is_open = is_here && (identity != "anonymous" || !operation.is_protected);
        let told = format!("{}, as {identity}: {:?}", operation.id, reached.get(&operation.id));
        // What only sends browsers on has done that.
        let is_redirect = operation.id.ends_with("_callback") || operation.id == "session_open";
        let done = if is_redirect { 303..304 } else { 200..300 };
        assert_eq!(has(&reached, &operation, done), is_open, "{told}");
        assert!(has(&reached, &operation, 401..402) || !operation.is_protected, "{told}");
        assert!(has(&reached, &operation, 400..500) || !operation.has_body, "{told}");
    }
}

#[tokio::test]
async fn the_comparison_keeps_to_its_document() {
    let server = TestServer::with(&SETTINGS).await;
    show_a_run(&server);
    let (folder, served) = (folder(), server.send(Request::get("/compare/openapi.json")).await.expect(200));
    let document = folder.join("comparison.openapi.json");
    std::fs::write(&document, &served.body).expect("it is written");
    let reached = run("anonymous", &server, &document).await;
    assert!(reached["compare_json"].contains_key("200"), "{reached:?}");
    let _ = std::fs::remove_dir_all(&folder);
}

#[tokio::test]
async fn the_api_keeps_to_its_document_for_somebody_who_is_not_signed_in() {
    assert_keeps_to_its_document("anonymous").await;
}

#[tokio::test]
async fn the_api_keeps_to_its_document_for_a_client_with_cookies() {
    assert_keeps_to_its_document("cookie").await;
}

#[tokio::test]
async fn the_api_keeps_to_its_document_for_a_client_with_bearer_tokens() {
    assert_keeps_to_its_document("bearer").await;
}
