//! What commands print, where it can't be printed.

use std::fs::File;
use std::process::Output;

use dualauth::app::PostgresStorage;
use dualauth::audit::Actor;
use dualauth::clients::{ManageClientError, RegisteredClient};
use dualauth::clock::Clock;
use dualauth::config::Config;
use dualauth::tokens::OpaqueToken;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::Row;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::support::{
    cluster::Database,
    eventually,
    http::Request,
    program::{Server, folder, program, run, started_by, text},
    proxy::Proxy,
    server::CHEAP,
};

/// Where standard output can lead.
#[derive(Clone, Copy, Debug)]
enum Nowhere {
    Closed,
    /// `/dev/null`, to read and to write: Python's `DEVNULL`, and `"ignore"` of Node.
    Null,
    Full,
    /// Whoever read it is gone.
    Unread,
}

impl Nowhere {
    const ALL: [Self; 4] = [Self::Closed, Self::Null, Self::Full, Self::Unread];

    /// Whether it is told that what was printed got lost. Rust puts `/dev/null` in the place of what is closed.
    fn is_told(self) -> bool {
        matches!(self, Self::Full | Self::Unread)
    }

    /// The program, with its output there.
    fn command(self, settings: &[(&str, &str)], words: &[&str]) -> Command {
        let folder = folder();
        let mut command = match self {
            Self::Closed => started_by(&["sh", "-c", r#"exec "$0" "$@" >&-"#], &folder, settings),
            Self::Null | Self::Full | Self::Unread => program(&folder, settings),
        };
        match self {
            Self::Closed => {}
            Self::Null => {
                let null = File::options().read(true).write(true).open("/dev/null");
                command.stdout(null.expect("it is there"));
            }
            Self::Full => {
                command.stdout(File::options().write(true).open("/dev/full").expect("it is there"));
            }
            Self::Unread => {
                let (reader, writer) = std::io::pipe().expect("a pipe");
                drop(reader);
                command.stdout(writer);
            }
        }
        command.args(words);
        command
    }
}

/// Asserts that it says that it failed, as a person would want to hear it.
fn assert_told(output: &Output, what: &str) {
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{what}: {told}");
    assert!(
        told.contains("standard output") && !told.contains("panic") && !told.contains("backtrace"),
        "{what}: {told}"
    );
}

/// How many clients there are, and how many were.
async fn clients(database: &Database) -> (i64, i64) {
    let counts = "select (select count(*) from clients), (select count(*) from audit_events where event = 'client_created')";
    let row = sqlx::query(counts).fetch_one(&mut database.connect().await).await.expect("counts");
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn a_client_whose_secret_could_not_be_printed_is_not_registered() {
    let database = Database::migrated().await;
    let settings = [("DATABASE_URL", database.url().as_str())];
    let words = ["client", "create", "shop"];
    for nowhere in Nowhere::ALL {
        assert_told(&run(nowhere.command(&settings, &words), "").await, &format!("{nowhere:?}"));
        assert_eq!(clients(&database).await, (0, 0), "{nowhere:?}");
    }
    let mut create = program(&folder(), &settings);
    let output = run(
        {
            create.args(words);
            create
        },
        "",
    )
    .await;
    assert!(
        output.status.success() && text(&output.stdout).contains("client_secret: duc_"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(clients(&database).await, (1, 1));
}

#[tokio::test]
async fn a_client_that_could_not_be_taken_back_is_in_the_audit_trail() {
    let database = Database::migrated().await;
    let proxy = Proxy::in_front_of(&database).await;
    let url = proxy.url().to_string();
    let config = Config::from_vars(|name| (name == "DATABASE_URL").then(|| url.clone())).expect("settings");
    let (storage, clock) = (PostgresStorage::open(&config).await.expect("a database"), Clock::system());
    let clients = storage.clients(storage.logins(&config, &clock), &clock);
    let deliver = |_: &RegisteredClient, _: &OpaqueToken| {
        // Postgres is gone before the client can be deleted again.
        proxy.go_away();
        while proxy.connections() > 0 {
            std::thread::yield_now();
        }
        Err("standard output is closed".into())
    };
    let outcome = clients.create("shop", &Actor::OPERATOR, deliver).await;
    assert!(matches!(outcome, Err(ManageClientError::Stranded { .. })), "{outcome:?}");
    proxy.come_back();
    storage.trail.write_all().await;
    assert_eq!(self::clients(&database).await, (1, 1));
}

#[tokio::test]
async fn what_could_not_be_printed_is_told_by_the_exit_code() {
    let database = Database::migrated().await;
    let settings = [CHEAP, &[("DATABASE_URL", database.url().as_str())]].concat();
    // There are keys and events to list.
    assert!(Server::start(&folder(), &settings).await.terminate().await.success());
    // A target that is soon found: what it proposes is tried elsewhere.
    let calibrate = ["hash", "calibrate", "--target", "1"];
    for words in [&["openapi"][..], &["client", "list"], &["keys", "list"], &calibrate, &["audit", "tail"]] {
        for nowhere in Nowhere::ALL {
            let output = run(nowhere.command(&settings, words), "").await;
            match (words, nowhere) {
                // Whoever follows it has seen enough; and there is nothing to print without clients.
                (["audit", _], Nowhere::Unread | Nowhere::Full)
                | (["client", _], Nowhere::Unread | Nowhere::Full) => {}
                _ if !nowhere.is_told() => {
                    assert!(output.status.success(), "{words:?} {nowhere:?}: {}", text(&output.stderr));
                }
                _ => assert_told(&output, &format!("{words:?} {nowhere:?}")),
            }
        }
    }
    let users = folder().join("users.jsonl");
    std::fs::write(&users, "{\"username\": \"ada\", \"email\": \"ada@example.org\"}\n").expect("a file");
    let users = users.to_str().expect("a path");
    for words in [&["migrate"][..], &["doctor"], &["user", "import", users]] {
        assert_told(&run(Nowhere::Full.command(&settings, words), "").await, &format!("{words:?}"));
    }
    for words in ["--help", "--version", "help"] {
        for nowhere in Nowhere::ALL {
            let output = run(nowhere.command(&settings, &[words]), "").await;
            assert_eq!(output.status.success(), !nowhere.is_told(), "{words} {nowhere:?}");
        }
        assert!(
            run(
                {
                    let mut help = program(&folder(), &[]);
                    help.arg(words);
                    help
                },
                ""
            )
            .await
            .status
            .success()
        );
    }
}

#[tokio::test]
async fn a_service_whose_greeting_nobody_reads_runs() {
    let database = Database::migrated().await;
    for nowhere in Nowhere::ALL {
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
        let listen = free.to_string();
        let own = [("DATABASE_URL", database.url().as_str()), ("LISTEN", &listen)];
        let mut child = nowhere.command(&[CHEAP, &own].concat(), &["serve"]).spawn().expect("it starts");
        let live = Request::get("/health/live");
        eventually("an answer", async || {
            assert_eq!(child.try_wait().expect("a state"), None, "{nowhere:?}");
            live.attempt(free).await.is_ok_and(|answer| answer.status == 200)
        })
        .await;
        for _ in 0..3 {
            live.send(free).await.expect(200);
        }
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(pid.expect("a pid"), Signal::TERM).expect("a signal that arrives");
        assert!(child.wait().await.expect("its status").success(), "{nowhere:?}");
    }
}
