//! Where the service listens.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dualauth::crypto::random_bytes;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::support::{
    cluster::Database,
    eventually,
    http::Request,
    program::{Server, folder, program, run, text},
    server::CHEAP,
};

pub const PUBLIC_URL: (&str, &str) = ("PUBLIC_URL", "https://auth.example.org");

/// A path that is short enough for a socket, wherever the checkout is.
pub fn socket() -> PathBuf {
    std::env::temp_dir().join(format!("dualauth-test-{:016x}.sock", u64::from_ne_bytes(random_bytes())))
}

pub fn listen(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// What a request without a body gets there.
async fn get(path: &Path, head: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(format!("GET {head}\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Starts it, and waits until it answers there.
pub async fn start_at(path: &Path, settings: &[(&str, &str)]) -> tokio::process::Child {
    let mut child =
        program(&folder(), settings).stdout(std::process::Stdio::null()).spawn().expect("it starts");
    eventually("an answer", async || {
        assert_eq!(child.try_wait().expect("a state"), None, "it has ended");
        get(path, "/health/live HTTP/1.1").await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    })
    .await;
    child
}

fn signal(child: &tokio::process::Child, signal: Signal) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("a pid"), signal).expect("a signal that arrives");
}

#[tokio::test]
async fn a_unix_socket_is_served_and_goes_with_the_service() {
    let (database, path) = (Database::migrated().await, socket());
    let listen = listen(&path);
    let own = [
        ("DATABASE_URL", database.url().as_str()),
        ("LISTEN", &listen),
        PUBLIC_URL,
        ("TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let settings = [CHEAP, &own].concat();
    let mut first = start_at(&path, &settings).await;
    let metadata = path.symlink_metadata().expect("a socket");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o660);

    // Who is served there is a process of this machine, and may be a proxy that is trusted.
    let login = "POST /jwt/login HTTP/1.1\r\nX-Forwarded-For: 203.0.113.9\r\nContent-Type: application/json\r\nContent-Length: 37";
    let mut stream = UnixStream::connect(&path).await.expect("a connection");
    let body = r#"{"username":"nobody","password":"no"}"#;
    stream
        .write_all(format!("{login}\r\nHost: x\r\nConnection: close\r\n\r\n{body}").as_bytes())
        .await
        .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let mut sql = database.connect().await;
    eventually("an event", async || {
        let addresses = "select address::text from audit_events where event = 'login_failed'";
        let addresses: Vec<String> = sqlx::query_scalar(addresses).fetch_all(&mut sql).await.expect("events");
        addresses.iter().any(|address| address.starts_with("203.0.113.9"))
    })
    .await;

    // Nobody takes it over while it is served,
    let refused = run(program(&folder(), &settings), "").await;
    let told = text(&refused.stderr);
    assert!(refused.status.code() == Some(1) && told.contains(&listen), "{told}");
    get(&path, "/health/live HTTP/1.1").await.expect("an answer still");

    // but what a server that was killed leaves behind is replaced.
    first.kill().await.expect("it dies");
    assert!(path.exists());
    let mut second = start_at(&path, &settings).await;
    signal(&second, Signal::TERM);
    assert!(second.wait().await.expect("its status").success());
    assert!(!path.exists());
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let (database, path) = (Database::migrated().await, socket());
    std::fs::write(&path, "mine").expect("a file");
    let listen = listen(&path);
    let settings =
        [CHEAP, &[("DATABASE_URL", database.url().as_str()), ("LISTEN", &listen), PUBLIC_URL]].concat();
    let refusal = async || text(&run(program(&folder(), &settings), "").await.stderr);
    let told = refusal().await;
    assert!(told.contains("can't listen on") && told.contains(&listen), "{told}");
    assert!(told.contains("not a socket"), "{told}");
    assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "mine");
    std::fs::remove_file(&path).expect("it goes");
    std::os::unix::fs::symlink("/nowhere/at/all", &path).expect("a link");
    let told = refusal().await;
    assert!(told.contains("not a socket"), "{told}");
    std::fs::remove_file(&path).expect("it goes");
    std::fs::create_dir(&path).expect("a folder");
    let told = refusal().await;
    assert!(told.contains("not a socket"), "{told}");
    std::fs::remove_dir(&path).expect("it goes");
}

#[tokio::test]
async fn a_server_that_stops_leaves_another_s_socket_alone() {
    let (database, path) = (Database::migrated().await, socket());
    let listen = listen(&path);
    let settings =
        [CHEAP, &[("DATABASE_URL", database.url().as_str()), ("LISTEN", &listen), PUBLIC_URL]].concat();
    let mut first = start_at(&path, &settings).await;
    // Somebody cleans up, and the next one starts before the first has stopped.
    std::fs::remove_file(&path).expect("it is there");
    let mut second = start_at(&path, &settings).await;
    signal(&first, Signal::TERM);
    assert!(first.wait().await.expect("its status").success());
    assert!(get(&path, "/health/live HTTP/1.1").await.expect("an answer").starts_with("HTTP/1.1 200"));
    signal(&second, Signal::TERM);
    assert!(second.wait().await.expect("its status").success());
    assert!(!path.exists());
}

#[tokio::test]
async fn a_start_that_fails_leaves_no_socket_behind() {
    let (database, path) = (Database::migrated().await, socket());
    let listen = listen(&path);
    let settings =
        [CHEAP, &[("DATABASE_URL", database.url().as_str()), ("LISTEN", &listen), PUBLIC_URL]].concat();
    let key = folder().join("key");
    std::fs::write(&key, "no key").expect("a file");
    for late in [
        ("METRICS_LISTEN", listen.as_str()),
        ("METRICS_LISTEN", "192.0.2.1:80"),
        ("JWT_KEY_FILE", key.to_str().expect("a path")),
    ] {
        let output = run(program(&folder(), &[&settings[..], &[late]].concat()), "").await;
        assert_eq!(output.status.code(), Some(1), "{late:?}: {}", text(&output.stderr));
        assert!(path.symlink_metadata().is_err(), "{late:?}");
    }
}

#[tokio::test]
async fn metrics_may_be_on_a_unix_socket() {
    let (database, path) = (Database::migrated().await, socket());
    let metrics = listen(&path);
    let settings =
        [CHEAP, &[("DATABASE_URL", database.url().as_str()), ("METRICS_LISTEN", &metrics)]].concat();
    let server = Server::start(&folder(), &settings).await;
    assert!(get(&path, "/metrics HTTP/1.1").await.expect("an answer").starts_with("HTTP/1.1 200"));
    assert!(server.terminate().await.success() && !path.exists());
}

#[tokio::test]
async fn a_port_alone_is_every_interface_and_clients_are_told_localhost() {
    let database = Database::migrated().await;
    for listen in [":0", "*:0"] {
        let settings = [CHEAP, &[("DATABASE_URL", database.url().as_str()), ("LISTEN", listen)]].concat();
        let server = Server::start(&folder(), &settings).await;
        let port = server.address().port();
        let docs = format!("http://localhost:{port}/docs/");
        eventually("where the documents are", async || server.output().contains(&docs)).await;
        Request::get("/health/live")
            .send(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))
            .await
            .expect(200);
        if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            Request::get("/health/live")
                .send(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port))
                .await
                .expect(200);
        }
        assert!(server.terminate().await.success());
    }
    let settings = [CHEAP, &[("DATABASE_URL", database.url().as_str()), ("LISTEN", "localhost:0")]].concat();
    let server = Server::start(&folder(), &settings).await;
    assert!(server.address().ip().is_loopback());
    assert!(server.terminate().await.success());
    let told = text(&run(program(&folder(), &[("LISTEN", "8080")]), "").await.stderr);
    assert!(told.contains("LISTEN") && told.contains(":8080 (every interface)"), "{told}");
}
