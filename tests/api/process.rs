//! The program itself, as an operator runs it: its command line, its memory, its end.

use futures_util::future::join_all;
use serde_json::json;

use super::support::PASSWORD;
use super::support::cluster::Database;
use super::support::http::Request;
use super::support::program::{Server, folder, program, run, text};
use super::support::server::{credentials, registration};

#[tokio::test]
async fn every_wrong_setting_is_told_at_once_and_no_secret_with_it() {
    let settings = [("LISTEN", "nowhere"), ("SESSION_TTL", "soon"), ("APP_SECRET", "hunter2")];
    let output = run(program(&folder(), &settings), "").await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for name in ["LISTEN", "SESSION_TTL", "APP_SECRET"] {
        assert!(told.contains(name), "{name} is not in {told}");
    }
    assert!(!told.contains("hunter2"), "{told}");
}

#[tokio::test]
async fn settings_are_read_from_a_file_as_well_and_the_environment_wins() {
    let folder = folder();
    std::fs::write(folder.join(".env"), "SESSION_TTL=soon\nLISTEN=nowhere\n").expect("a file");
    let told = text(&run(program(&folder, &[]), "").await.stderr);
    assert!(told.contains("SESSION_TTL") && !told.contains("LISTEN"), "{told}");
}

#[tokio::test]
async fn a_user_made_on_the_command_line_can_sign_in() {
    let database = Database::migrated().await;
    let settings = [("DATABASE_URL", database.url().as_str())];
    let mut create = program(&folder(), &settings);
    create.args(["user", "create", "--username", "root", "--email", "root@example.org", "--admin"]);
    let output = run(create, &format!("{PASSWORD}\n")).await;
    assert!(output.status.success(), "{}", text(&output.stderr));

    let server = Server::start(&folder(), &settings).await;
    let login = server.send(Request::post("/jwt/login").json(&credentials("root"))).await.expect(200).json();
    assert_eq!(login["user"]["roles"], json!(["admin", "user"]));
    assert!(server.terminate().await.success());
}

#[tokio::test]
async fn what_is_wrong_with_a_new_user_is_said_on_the_command_line() {
    let database = Database::migrated().await;
    let mut create = program(&folder(), &[("DATABASE_URL", database.url().as_str())]);
    create.args(["user", "create", "--username", "a b", "--email", "nobody"]);
    let output = run(create, "short\n").await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(["username", "email", "password"].iter().all(|field| told.contains(field)), "{told}");
}

#[tokio::test]
async fn a_private_postgres_keeps_what_was_written_when_the_program_is_killed() {
    let folder = folder();
    let mut server = Server::start(&folder, &[]).await;
    server.send(Request::post("/session/register").json(&registration("ada"))).await.expect(201);
    server.child.kill().await.expect("it dies");

    let server = Server::start(&folder, &[]).await;
    server.send(Request::post("/session/login").json(&credentials("ada"))).await.expect(200);
    assert!(server.terminate().await.success());
    std::fs::remove_dir_all(&folder).expect("nobody holds it any more");
}

/// Each hash works in 19 MiB. What the service holds is that, times the hashes computed at once, and itself, however
/// many want to sign in.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_storm_of_logins_is_turned_away_beyond_the_queue_and_leaves_everything_else_alone() {
    const LOGINS: usize = 2_000;
    const MOST_KIB: u64 = 300 * 1024;

    let database = Database::migrated().await;
    let settings = [("DATABASE_URL", database.url().as_str()), ("HASH_CONCURRENCY", "2")];
    let limits = [("LOGIN_LIMIT", "1000000/1m"), ("REGISTER_LIMIT", "1000000/1m")];
    let server = Server::start(&folder(), &[&settings[..], &limits].concat()).await;
    server.send(Request::post("/session/register").json(&registration("ada"))).await.expect(201);
    let login = Request::post("/jwt/login").json(&credentials("ada"));
    let token = server.send(login.clone()).await.expect(200).json()["access_token"].clone();
    let profile = Request::get("/jwt/profile").bearer(token.as_str().expect("a token"));

    let storm = join_all((0..LOGINS).map(|_| server.send(login.clone())));
    let asking = async {
        loop {
            server.send(profile.clone()).await.expect(200);
        }
    };
    let answers = tokio::select! {
        answers = storm => answers,
        () = asking => unreachable!(),
    };

    let (signed_in, turned_away): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 200);
    assert!(!signed_in.is_empty() && !turned_away.is_empty(), "{} signed in", signed_in.len());
    for answer in turned_away {
        answer.problem(503, "unavailable");
    }
    server.send(login).await.expect(200);
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("its status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(peak < MOST_KIB, "{peak} KiB at the most");
    assert!(server.terminate().await.success());
}
