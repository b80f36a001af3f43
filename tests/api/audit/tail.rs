//! `audit tail`: what an operator sees of the trail.

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::ChildStdout;
use tokio::time::timeout;

use super::{from_afar, trail_of};
use crate::support::{
    PATIENCE,
    client::{Client, Pair},
    http::Request,
    program::{folder, program, run, text},
    server::{TestServer, credentials},
};

async fn tail(server: &TestServer, words: &[&str]) -> Vec<String> {
    let mut command = program(&folder(), &[("DATABASE_URL", server.database_url().as_str())]);
    command.args(["audit", "tail"]).args(words);
    let output = run(command, "").await;
    assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

/// Two users: ada signed in in every way and out again, bob only failed to sign in.
async fn stage() -> TestServer {
    let server = TestServer::with(&[super::PROXIED]).await;
    server.user("ada").await;
    server.user("bob").await;
    for mut client in Client::in_every_way(&server, "ada").await {
        client.logout().await.expect(204);
    }
    let mut wrong = credentials("bob");
    wrong["password"] = super::WRONG.into();
    let request = Request::post("/session/login").json(&wrong);
    server.send(from_afar(request)).await.expect(401);
    server
}

#[tokio::test]
async fn the_newest_are_shown_the_oldest_of_them_first() {
    let server = stage().await;
    let events = trail_of(&server, 11).await;
    let lines = tail(&server, &[]).await;
    assert_eq!(lines.len(), events.len());
    for (line, event) in lines.iter().zip(&events) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let text = |member: &str| event[member].as_str();
        assert_eq!(Some(words[1]), text("event"), "{line}");
        assert_eq!(Some(words[2]), text("username"), "{line}");
        assert_eq!(words[3].split('/').next(), text("mode"), "{line}");
        assert_eq!(words[3].split('/').nth(1), text("transport"), "{line}");
        assert_eq!(Some(words[4]), text("address"), "{line}");
    }
    let place = |line: &String, word: &str| line.find(word);
    assert!(
        lines.iter().all(|line| place(line, "ada").or_else(|| place(line, "bob")) == place(&lines[0], "ada"))
    );
    assert!(
        lines[10].contains("reason=wrong_password") && lines[10].contains("203.0.113.9"),
        "{}",
        lines[10]
    );
    assert!(lines[10].contains(r#"agent="lantern/1.0""#), "{}", lines[10]);

    assert_eq!(tail(&server, &["-n", "3"]).await.len(), 3);
    assert!(tail(&server, &["-n", "1"]).await[0].contains("login_failed"));
    assert!(tail(&server, &["-n", "0"]).await.is_empty());
}

#[tokio::test]
async fn one_users_events_or_those_of_one_kind_are_picked_out() {
    let server = stage().await;
    trail_of(&server, 11).await;
    for name in ["bob", "BOB", "bob@example.org"] {
        let lines = tail(&server, &["--user", name]).await;
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(lines.iter().all(|line| line.contains("bob")), "{lines:#?}");
    }
    assert_eq!(tail(&server, &["--event", "logout"]).await.len(), 4);
    assert_eq!(tail(&server, &["--event", "logout", "--user", "bob"]).await.len(), 0);
    assert_eq!(tail(&server, &["--user", "nobody"]).await.len(), 0);
    // Who is gone is found by name.
    crate::nodes::sql(&server, "delete from users where username = 'bob'").await;
    assert_eq!(tail(&server, &["--user", "Bob"]).await.len(), 2);

    let mut command = program(&folder(), &[("DATABASE_URL", server.database_url().as_str())]);
    command.args(["audit", "tail", "--event", "loggedout"]);
    let output = run(command, "").await;
    assert!(!output.status.success() && text(&output.stderr).contains("login_started"));
}

#[tokio::test]
async fn programs_read_a_json_object_a_line() {
    let server = stage().await;
    let events = trail_of(&server, 11).await;
    let lines = tail(&server, &["--json"]).await;
    let read: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(read.len(), events.len());
    for (read, event) in read.iter().zip(&events) {
        for member in
            ["id", "event", "source", "user_id", "login_id", "mode", "address", "user_agent", "detail"]
        {
            assert_eq!(read[member], event[member], "{member}");
        }
    }
}

#[tokio::test]
async fn nothing_that_a_client_says_reaches_the_terminal_as_it_is() {
    let server = TestServer::start().await;
    server.user("ada").await;
    let evil = "\u{9b}31m\u{202e}drow\u{7f}";
    let login = Request::post("/session/login").json(&credentials("ada")).header("User-Agent", evil);
    let status = server.send(login).await.status;
    // What HTTP itself refuses is nobody's event.
    let count = if status == 200 { 2 } else { 1 };
    trail_of(&server, count).await;
    for words in [&[][..], &["--json"]] {
        for line in tail(&server, words).await {
            assert!(line.chars().all(|letter| !letter.is_control() && letter != '\u{202e}'), "{line:?}");
        }
    }
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    let line = timeout(PATIENCE, lines.next_line()).await.expect("a line in time");
    line.expect("its output").expect("a line")
}

#[tokio::test]
async fn who_follows_sees_what_comes_until_they_have_seen_enough() {
    let server = TestServer::start().await;
    server.user("ada").await;
    trail_of(&server, 1).await;
    let mut command = program(&folder(), &[("DATABASE_URL", server.database_url().as_str())]);
    let mut child = command.args(["audit", "tail", "-f", "-n", "5"]).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    assert!(next(&mut lines).await.contains("registered"));

    let client = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    assert!(next(&mut lines).await.contains("login_started"));
    client.clone().logout().await.expect(204);
    let line = next(&mut lines).await;
    assert!(line.contains("logout") && line.contains("jwt/bearer"), "{line}");

    // An event that was late, and happened before all of these.
    let late = "insert into audit_events (id, at, event, source) values (gen_random_uuid(), '2020-01-01', 'late', 'node')";
    crate::nodes::sql(&server, late).await;
    assert!(next(&mut lines).await.contains("late"));

    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("it runs"), rustix::process::Signal::INT).expect("a signal");
    assert!(child.wait().await.expect("it ends").success());
    assert_eq!(lines.next_line().await.expect("its output"), None);
}
