//! The command `health`, a readiness check for containers.

use std::process::Output;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::sockets::{PUBLIC_URL, listen, socket, start_at};
use crate::support::{
    cluster::Database,
    eventually, free_port,
    program::{Server, folder, program, run, text},
    server::{CHEAP, TestServer},
};

async fn health(settings: &[(&str, &str)], words: &[&str]) -> Output {
    let mut health = program(&folder(), settings);
    health.arg("health").args(words);
    run(health, "").await
}

#[track_caller]
fn assert_ready(output: &Output, what: &str) {
    assert!(output.status.success(), "{what}: {}", text(&output.stderr));
    assert_eq!((text(&output.stdout), text(&output.stderr)), (String::new(), String::new()), "{what}");
}

/// Asserts that it fails with one line that contains this.
#[track_caller]
fn assert_not_ready(output: &Output, why: &str) {
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(why) && told.lines().count() == 1, "{why} is not in {told}");
    assert_eq!(text(&output.stdout), "");
}

/// The address of a server that handles connections like this.
async fn served_by<F: Future + Send>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serve(stream).await;
        }
    });
    address
}

async fn answered(answer: &'static str) -> String {
    served_by(async move |mut stream: TcpStream| {
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await
}

#[tokio::test]
async fn a_ready_server_is_found_at_every_kind_of_address() {
    let database = Database::migrated().await;
    let at = async |listen| {
        let own = [("DATABASE_URL", database.url().as_str()), ("LISTEN", listen)];
        Server::start(&folder(), &[CHEAP, &own].concat()).await
    };
    let (v4, v6, everywhere) = (at("127.0.0.1:0").await, at("[::1]:0").await, at(":0").await);
    let everywhere = everywhere.address().port();
    let [v4, v6] = [v4.address(), v6.address()];
    let mut addresses = vec![v4.to_string(), v6.to_string(), format!("localhost:{}", v4.port())];
    addresses.extend(
        ["", "*", "0.0.0.0", "[::]", "127.0.0.1", "[::1]"].map(|host| format!("{host}:{everywhere}")),
    );
    for address in &addresses {
        assert_ready(&health(&[("LISTEN", address)], &[]).await, address);
    }
    let nobody = ("LISTEN", "127.0.0.1:1");
    for (authority, path) in
        [(v4.to_string(), ""), (v6.to_string(), "/"), (format!("localhost:{}", v4.port()), "")]
    {
        let url = format!("http://{authority}{path}");
        assert_ready(&health(&[nobody], &["--url", &url]).await, &url);
    }
}

#[tokio::test]
async fn the_base_path_of_a_server_may_be_in_the_url_or_not() {
    let port = free_port();
    let public_url = format!("http://127.0.0.1:{port}/auth");
    let listen = format!("127.0.0.1:{port}");
    let _server = TestServer::with(&[("LISTEN", &listen), ("PUBLIC_URL", &public_url)]).await;
    for url in [format!("{public_url}/"), public_url.clone(), format!("http://{listen}")] {
        assert_ready(&health(&[], &["--url", &url]).await, &url);
    }
    assert_not_ready(&health(&[], &["--url", &format!("http://{listen}/elsewhere")]).await, "404");
}

#[tokio::test]
async fn a_server_on_a_unix_socket_is_found_by_listen() {
    let (database, path) = (Database::migrated().await, socket());
    let listen = listen(&path);
    let own = [("DATABASE_URL", database.url().as_str()), ("LISTEN", &listen), PUBLIC_URL];
    let _server = start_at(&path, &[CHEAP, &own].concat()).await;
    // A server with this LISTEN would need PUBLIC_URL; the check does not.
    assert_ready(&health(&[("LISTEN", &listen)], &[]).await, &listen);
    std::fs::remove_file(&path).expect("a socket");
    assert_not_ready(&health(&[("LISTEN", &listen)], &[]).await, &listen);
}

#[tokio::test]
async fn only_listen_has_to_be_valid_and_it_may_be_in_a_file() {
    let server = TestServer::start().await;
    let address = server.address().to_string();
    let wrong = [
        ("APP_SECRET", "short"),
        ("DATABASE_URL", ""),
        ("SESSION_TTL", "soon"),
        ("JWT_KEY_FILE", "/nowhere"),
    ];
    assert_ready(&health(&[&wrong[..], &[("LISTEN", &address)]].concat(), &[]).await, "wrong settings");

    let folder = folder();
    let file = folder.join("listen");
    std::fs::write(&file, format!("{address}\n")).expect("a file");
    let named = format!("LISTEN_FILE={}\n", file.display());
    for content in [format!("LISTEN={address}\nAPP_SECRET=short\n"), named] {
        std::fs::write(folder.join(".env"), &content).expect("a file");
        let mut health = program(&folder, &[]);
        health.arg("health").env_remove("LISTEN");
        assert_ready(&run(health, "").await, &content);
    }
}

#[tokio::test]
async fn a_server_that_is_not_ready_fails_with_the_parts_that_are_down() {
    let (server, proxy) = TestServer::behind_a_proxy(&[]).await;
    let address = server.address().to_string();
    let settings = [("LISTEN", address.as_str())];
    assert_ready(&health(&settings, &[]).await, "before");
    proxy.go_away();
    eventually("a feed that can't be read", async || {
        let output = health(&settings, &[]).await;
        let told = text(&output.stderr);
        !output.status.success() && told.ends_with("not ready: database down, feed down\n")
    })
    .await;
    assert_not_ready(&health(&settings, &[]).await, &address);
    proxy.come_back();
    eventually("a server that is ready", async || health(&settings, &[]).await.status.success()).await;
}

#[tokio::test]
async fn no_server_or_a_server_of_something_else_is_not_ready() {
    let nobody = format!("127.0.0.1:{}", free_port());
    assert_not_ready(&health(&[("LISTEN", &nobody)], &[]).await, &nobody);
    let not_there = format!("unix:{}", socket().display());
    assert_not_ready(&health(&[("LISTEN", &not_there)], &[]).await, &not_there);
    for answer in [
        "",
        "HTTP/1.",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\n\r\n<p>It works!</p>",
        "HTTP/1.1 200 OK\r\n\r\n{\"status\": \"ok\"}",
        "HTTP/1.1 200 OK\r\n\r\n{\"status\": \"no\", \"checks\": {}}",
        "HTTP/1.1 200 OK\r\n\r\n{\"status\": \"ok\", \"checks\"",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\n\r\n{}",
        "HTTP/1.1 503 Service Unavailable\r\n\r\n",
        "HTTP/1.1 2\u{e9}0 OK\r\n\r\n",
        "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
    ] {
        let address = answered(answer).await;
        assert_not_ready(&health(&[("LISTEN", &address)], &[]).await, &address);
    }
}

#[tokio::test]
async fn a_server_that_hangs_fails_after_a_time_limit() {
    let silent = served_by(|stream| async move {
        tokio::spawn(async move {
            let _open = stream;
            std::future::pending::<()>().await;
        });
    });
    // An endless response whose single reads are short.
    let trickle = served_by(|mut stream| async move {
        tokio::spawn(async move {
            while stream.write_all(b"HTTP/1.1 200 OK\r\n").await.is_ok() {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        });
    });
    // An endless response at full speed.
    let flood = served_by(|mut stream| async move {
        tokio::spawn(async move { while stream.write_all(&[b'a'; 4096]).await.is_ok() {} });
    });
    let [silent, trickle, flood] = [silent.await, trickle.await, flood.await];
    let [silent, trickle, flood] = [&silent, &trickle, &flood].map(|address| [("LISTEN", address.as_str())]);
    let (silent, trickle, flood) =
        tokio::join!(health(&silent, &[]), health(&trickle, &[]), health(&flood, &[]));
    assert_not_ready(&silent, "no answer in 5 s");
    assert_not_ready(&trickle, "no answer in 5 s");
    assert_not_ready(&flood, "no answer");
}

#[tokio::test]
async fn an_address_that_can_t_be_checked_is_an_error() {
    assert_not_ready(&health(&[("LISTEN", "127.0.0.1:0")], &[]).await, "--url");
    assert_not_ready(&health(&[("LISTEN", "nowhere")], &[]).await, "LISTEN: expected");
    for url in ["https://auth.example.org", "127.0.0.1:8080", "unix:/run/a.sock", "nowhere"] {
        let output = health(&[], &["--url", url]).await;
        assert!(!output.status.success() && text(&output.stderr).contains("--url"), "{url}");
    }
}
