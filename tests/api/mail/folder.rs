//! Where only this machine is served, on the private Postgres: mails are files, and the playground shows them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sqlx::Connection;

use super::*;
use crate::support::{
    http::Request,
    program::{Server, folder, program, run, text},
};

/// The names of the mails in the folder, in alphabetical order.
fn mails_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder.join(".data/mail")) else { return Vec::new() };
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".eml")).collect();
    names.sort();
    names
}

async fn send_test(folder: &Path, address: &str, settings: &[(&str, &str)]) -> Result<String, String> {
    let mut command = program(folder, settings);
    command.args(["mail", "test", address]);
    let output = run(command, "").await;
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[tokio::test]
async fn mails_are_files_that_their_owner_alone_can_read_and_that_sort_by_time() {
    let folder = folder();
    for number in 1..=3 {
        let told = send_test(&folder, &format!("ada{number}@example.org"), &[]).await.expect("a mail");
        assert!(told.contains("written to .data/mail/"), "{told}");
    }
    let names = mails_in(&folder);
    for (number, name) in names.iter().enumerate() {
        let path = folder.join(".data/mail").join(name);
        let content = std::fs::read_to_string(&path).expect("a mail");
        assert!(content.contains(&format!("To: ada{}@example.org", number + 1)), "{name}: {content}");
        for path in [path.clone(), path.with_extension("json")] {
            assert_eq!(std::fs::metadata(path).expect("a file").permissions().mode() & 0o777, 0o600);
        }
    }
    assert_eq!(names.len(), 3);
    let mode = std::fs::metadata(folder.join(".data/mail")).expect("a folder").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn no_mail_is_kept_for_a_service_that_others_reach_or_with_a_database_of_its_own() {
    for settings in [
        ("PUBLIC_URL", "https://auth.example.org"),
        ("PUBLIC_URL", "http://192.0.2.1:8080"),
        ("PUBLIC_URL", "http://localhost.example.org"),
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing"),
    ] {
        let folder = folder();
        let error = send_test(&folder, ADDRESS, &[settings]).await.expect_err(settings.1);
        assert!(error.contains("mails are off"), "{error}");
        assert!(!folder.join(".data").exists(), "{settings:?}");
    }
}

#[tokio::test]
async fn the_playground_shows_the_newest_mails_to_this_machine_alone() {
    let folder = folder();
    let server = Server::start(&folder, &[("APP_SECRET", APP_SECRET)]).await;
    let shown = async || server.send(Request::get("/playground/mails")).await.expect(200).json();
    assert_eq!(shown().await, json!({ "mails": [] }));
    let output = server.output();
    let url = output.lines().find_map(|line| line.trim().strip_prefix("Postgres")).expect("a URL").trim();
    let clock = Clock::system();
    let mut sql = PgConnection::connect(url).await.expect("the private Postgres");
    queue(&mut sql, &code_for(Some(ADDRESS), &clock), &clock).await;
    let notice = mail(Some("bea@example.org"), Message::PasswordChanged, &clock);
    queue(&mut sql, &notice, &clock).await;
    eventually("both are shown", async || shown().await["mails"][1].is_object()).await;
    let mails = shown().await;
    let to = |number: usize| mails["mails"][number]["to"].as_str().expect("an address");
    assert_eq!([to(0), to(1)], ["bea@example.org", ADDRESS], "the newest is first");
    assert!(mails["mails"][1]["text"].as_str().expect("a text").contains("3141 5926"), "{mails}");
    eventually("nothing waits", async || waiting(&mut sql).await == 0).await;
    assert_eq!(mails_in(&folder).len(), 2);

    let page = async |request: Request| server.send(request).await.expect(200).text();
    assert!(page(Request::get("/")).await.contains("id=\"mails\""));
    for (name, value) in [
        ("Host", "evil.example"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("Forwarded", "for=127.0.0.1"),
        ("Via", "1.1 proxy"),
    ] {
        let request = |path: &str| Request::get(path).header(name, value);
        server.send(request("/playground/mails")).await.problem(404, "not_found");
        assert!(!page(request("/")).await.contains("id=\"mails\""), "{name}");
    }
    let log = server.output();
    assert!(!log.contains("canary") && !log.contains(CODE), "{log}");
    sql.close().await.expect("closed");
    assert!(server.terminate().await.success());
}

#[tokio::test]
async fn elsewhere_there_is_no_such_page() {
    let server = TestServer::start().await;
    server.send(Request::get("/playground/mails")).await.problem(404, "not_found");
    assert!(!server.send(Request::get("/")).await.expect(200).text().contains("id=\"mails\""));
}
