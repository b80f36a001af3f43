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
    // The checkout may have another owner.
    let asked =
        Command::new("git").args(["-C", root, "-c", "safe.directory=*", "rev-parse", "HEAD"]).output();
    let asked = asked.expect("git");
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
    let log = Path::new(env!("CARGO_MANIFEST_DIR")).join(".git/logs/HEAD");
    // A worktree, an archive, or Git without reflogs: the program was built from something else.
    let Ok(log) = std::fs::read(log) else { return };
    // `<old> <new> Name <address> time zone\taction`, and the end of the line is in no other text.
    let line = log.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().expect("a line");
    let action = line.rsplit(|byte| *byte == b'>').next().expect("a time and an action");
    let action = String::from_utf8_lossy(action);
    let found = Command::new("grep")
        .args(["--quiet", "--text", "--fixed-strings", action.as_ref(), PROGRAM])
        .status();
    assert_eq!(found.expect("grep").code(), Some(1), "{action}");
}
