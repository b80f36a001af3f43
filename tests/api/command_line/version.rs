//! Version and commit of the program.

use std::path::Path;
use std::process::Command;

use crate::support::{
    cluster::Database,
    http::Request,
    program::{PROGRAM, Server, folder, program, run, text},
    server::{CHEAP, METRICS},
};

/// The commit of the checkout, or `unknown` where it is not a Git repository.
fn checked_out() -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    if !Path::new(root).join(".git").exists() {
        return "unknown".to_owned();
    }
    git(&["rev-parse", "HEAD"])
}

/// What Git says about the checkout, which may have another owner.
fn git(words: &[&str]) -> String {
    let here = ["-C", env!("CARGO_MANIFEST_DIR"), "-c", "safe.directory=*"];
    let asked = Command::new("git").args(here).args(words).output().expect("git");
    assert!(asked.status.success(), "{}", text(&asked.stderr));
    text(&asked.stdout).trim().to_owned()
}

#[tokio::test]
async fn the_program_and_its_metrics_say_which_commit_it_was_built_from() {
    let (version, commit) = (env!("CARGO_PKG_VERSION"), checked_out());
    for word in ["--version", "-V"] {
        let mut asked = program(&folder(), &[]);
        asked.arg(word);
        assert_eq!(text(&run(asked, "").await.stdout), format!("dualauth {version} ({commit})\n"));
    }

    let database = Database::migrated().await;
    let own = [("DATABASE_URL", database.url().as_str()), METRICS];
    let server = Server::start(&folder(), &[CHEAP, &own].concat()).await;
    let metrics = Request::get("/metrics").send(server.metrics_address()).await.expect(200).text();
    let sample = format!(r#"dualauth_build_info{{commit="{commit}",version="{version}"}} 1"#);
    assert!(metrics.lines().any(|line| line == sample), "{sample} is not in {metrics}");
}

#[test]
fn of_the_repository_the_program_holds_only_the_commit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !root.join(".git").exists() {
        // An archive: there is nothing to hold.
        return;
    }
    let path = git(&["rev-parse", "--git-path", "logs/HEAD"]);
    let log = std::fs::read_to_string(root.join(path)).unwrap_or_default();
    // `<old> <new> Name <address> time zone\taction`: no other text has the end of a line.
    let lines = log.lines().filter_map(|line| line.rsplit_once('>').map(|(_, action)| action));
    for action in lines.rev().take(1) {
        let search = ["--quiet", "--text", "--fixed-strings", action, PROGRAM];
        let found = Command::new("grep").args(search).status().expect("grep");
        assert_eq!(found.code(), Some(1), "{action}");
    }
}
