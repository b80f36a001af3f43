//! The program is told to stop: no new connections, what is under way is answered, what waits is written, and all that
//! in time.

use std::{process::ExitStatus, sync::Arc, time::Duration};

use futures_util::future::join_all;
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use url::Url;

use crate::support::{
    client::{Client, Pair},
    cluster::Database,
    eventually,
    http::{Connection, Request},
    people,
    program::{Server, folder, program, run, started_by, text},
    proxy::Proxy,
    server::{CHEAP, ONE_NAME, credentials, registration},
};

/// Who manages services kills what takes longer.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Settings of a program on this database. A refresh that nobody acknowledged can be tried again for as long as a slow
/// machine takes.
fn settings(url: &Url) -> Vec<(&str, &str)> {
    [
        CHEAP,
        &[("DATABASE_URL", url.as_str()), ONE_NAME, ("REFRESH_GRACE", "10m"), ("LAST_SEEN_INTERVAL", "24h")],
    ]
    .concat()
}

/// A program, and its way to Postgres.
async fn service() -> (Server, Proxy, Arc<Database>) {
    let database = Arc::new(Database::migrated().await);
    let proxy = Proxy::in_front_of(&database).await;
    // Whoever runs the tests may have them outlive a terminal, and what they start would inherit that.
    let starter = ["env", "--default-signal=HUP"];
    let server = Server::of(started_by(&starter, &folder(), &settings(proxy.url()))).await;
    (server, proxy, database)
}

/// Tells it to stop, and waits for its end.
async fn stop(server: &mut Server) -> ExitStatus {
    server.signal(Signal::TERM);
    timeout(TIME_LIMIT, server.child.wait()).await.expect("an end in time").expect("its status")
}

/// Waits until nobody new is let in.
async fn closed(server: &Server) {
    eventually("no new connection", async || TcpStream::connect(server.address()).await.is_err()).await;
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_stop_under_load() {
    let (mut server, _proxy, database) = service().await;
    let address = server.address();
    let stopping = async {
        people::assert_served_again(address, "calm").await;
        // One that is not used at the moment does not hold it up.
        let mut idle = Connection::open(address).await;
        idle.send(&Request::get("/health/live")).await.expect(200);
        assert!(stop(&mut server).await.success());
        idle.assert_closed().await;
    };
    let (people, ()) = people::live_through(address, "stopped", stopping).await;
    assert!(people.iter().any(|person| !person.is_served), "nobody was disturbed");

    let server = Server::start(&folder(), &settings(database.url())).await;
    people::assert_kept(&people, server.address()).await;
    assert!(server.terminate().await.success());
}

#[tokio::test]
async fn listeners_close_first_and_requests_under_way_are_answered() {
    let (mut server, proxy, database) = service().await;
    server.send(Request::post("/session/register").json(&registration("ada"))).await.expect(201);
    // Several at once, so slowly that each has a connection: to make one is too much for a way as slow as it will be.
    proxy.set_delay(Duration::from_millis(50));
    join_all((0..8).map(|_| server.send(Request::get("/health/ready")))).await;
    proxy.take_statements();
    // Each login has two more statements to wait for by the time that the program is told to stop.
    proxy.set_delay(Duration::from_millis(300));
    let address = server.address();
    let logins = Pair::ALL.map(|pair| async move {
        let mut client = Client::at_address(address, pair);
        let mut connection = Connection::open(address).await;
        let login = Request::post(&client.path("login")).json(&pair.credentials("ada"));
        let response = connection.send(&login).await;
        client.absorb(&response);
        response.ok();
        connection.assert_closed().await;
        client
    });
    let logins = tokio::spawn(join_all(logins));
    let mut asked = 0;
    eventually("every login is under way", async || {
        asked += proxy.take_statements().count("password_hash");
        asked == Pair::ALL.len()
    })
    .await;

    let exit = async {
        server.signal(Signal::TERM);
        closed(&server).await;
        assert!(!logins.is_finished(), "they were answered before");
        let status = timeout(TIME_LIMIT, server.child.wait()).await.expect("an end in time");
        (status.expect("its status"), logins.await.expect("four answers"))
    };
    let (status, clients) = exit.await;
    assert!(status.success());

    let server = Server::start(&folder(), &settings(database.url())).await;
    for client in clients {
        client.at_node(server.address()).assert_goes_on().await;
    }
}

#[tokio::test]
async fn uses_are_written_down_though_somebody_never_ends_their_request() {
    let (mut server, _proxy, database) = service().await;
    server.send(Request::post("/session/register").json(&registration("ada"))).await.expect(201);
    let mut client = Client::at_address(server.address(), Pair::SESSION_BEARER);
    client.login(&client.pair.credentials("ada")).await.ok();
    client.profile().await.ok();
    let mut sql = database.connect().await;
    let mut is_noted = async || -> bool {
        sqlx::query_scalar("select last_seen_at > created_at from logins")
            .fetch_one(&mut sql)
            .await
            .expect("a login")
    };
    assert!(!is_noted().await);

    let _half = half_a_request(&server).await;
    assert!(stop(&mut server).await.success());
    assert!(is_noted().await);
}

/// A login whose body is still to come.
async fn half_a_request(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).await.expect("a connection");
    let head =
        "POST /session/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60\r\n";
    // It says that it has been read so far.
    let expecting = format!("{head}Expect: 100-continue\r\n\r\n");
    stream.write_all(expecting.as_bytes()).await.expect("a head");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("a word");
    assert_eq!(&answer, b"HTTP/1.1 100");
    stream.write_all(br#"{"username": "#).await.expect("a part of the body");
    stream
}

#[tokio::test]
async fn it_ends_in_time_whatever_hangs() {
    let (mut server, proxy, _database) = service().await;
    server.send(Request::post("/session/register").json(&registration("ada"))).await.expect(201);
    let mut client = Client::at_address(server.address(), Pair::SESSION_BEARER);
    client.login(&client.pair.credentials("ada")).await.ok();
    client.profile().await.ok();
    let _half = half_a_request(&server).await;
    let mut idle = Connection::open(server.address()).await;
    idle.send(&Request::get("/health/live")).await.expect(200);
    proxy.fall_silent();
    let address = server.address();
    let logins = (0..20).map(|_| async move {
        let login = Request::post("/session/login").json(&credentials("ada"));
        login.attempt(address).await.map(|response| response.problem(503, "unavailable"))
    });
    let logins = tokio::spawn(join_all(logins));
    eventually("it has lost its Postgres", async || client.profile().await.status == 503).await;

    assert!(stop(&mut server).await.success());
    logins.await.expect("nobody is told anything else");
}

#[tokio::test]
async fn it_ends_in_time_when_its_postgres_is_away() {
    let (mut server, proxy, _database) = service().await;
    server.send(Request::post("/session/register").json(&registration("ada"))).await.expect(201);
    let mut client = Client::at_address(server.address(), Pair::SESSION_BEARER);
    client.login(&client.pair.credentials("ada")).await.ok();
    client.profile().await.ok();
    proxy.go_away();
    assert!(stop(&mut server).await.success());
}

#[tokio::test]
async fn a_later_signal_ends_it_at_once() {
    for (first, second) in [
        (Signal::TERM, Signal::TERM),
        (Signal::INT, Signal::TERM),
        (Signal::TERM, Signal::INT),
        (Signal::HUP, Signal::HUP),
    ] {
        let (mut server, _proxy, _database) = service().await;
        let _half = half_a_request(&server).await;
        server.signal(first);
        closed(&server).await;
        // Those that come within a second are the same wish still.
        eventually("an end", async || {
            let is_over = server.child.try_wait().expect("a state").is_some();
            if !is_over {
                server.signal(second);
            }
            is_over
        })
        .await;
        // It says that it did not do all that it does otherwise.
        assert_eq!(server.child.wait().await.expect("its status").code(), Some(1));
    }
}

#[tokio::test]
async fn signals_that_come_together_are_one_wish_to_stop() {
    for signals in
        [&[Signal::TERM, Signal::INT, Signal::HUP][..], &[Signal::INT, Signal::TERM], &[Signal::HUP]]
    {
        let (mut server, _proxy, _database) = service().await;
        let half = half_a_request(&server).await;
        signals.iter().for_each(|signal| server.signal(*signal));
        closed(&server).await;
        assert_eq!(server.child.try_wait().expect("a state"), None, "{}", server.output());
        drop(half);
        let status = timeout(TIME_LIMIT, server.child.wait()).await.expect("an end in time");
        assert!(status.expect("its status").success(), "{signals:?}: {}", server.output());
    }
}

/// As `nohup` has it.
#[tokio::test]
async fn it_outlives_its_terminal_if_it_is_to() {
    let database = Database::migrated().await;
    let shell = ["sh", "-c", r#"trap '' HUP; exec "$0""#];
    let server = Server::of(started_by(&shell, &folder(), &settings(database.url()))).await;
    server.signal(Signal::HUP);
    for _ in 0..20 {
        server.send(Request::get("/health/ready")).await.expect(200);
    }
    assert!(server.terminate().await.success());
}

#[tokio::test]
async fn it_can_be_stopped_while_it_waits_for_its_postgres_to_start() {
    let database = Database::migrated().await;
    let proxy = Proxy::in_front_of(&database).await;
    proxy.fall_silent();
    let mut child = program(&folder(), &settings(proxy.url())).spawn().expect("it starts");
    eventually("it asks for Postgres", async || proxy.connections() == 1).await;
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("a pid"), Signal::TERM).expect("a signal that arrives");
    let status = timeout(TIME_LIMIT, child.wait()).await.expect("an end in time").expect("its status");
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn it_does_not_wait_for_ever_for_its_postgres_to_start() {
    let database = Database::migrated().await;
    let proxy = Proxy::in_front_of(&database).await;
    proxy.fall_silent();
    let output = run(program(&folder(), &settings(proxy.url())), "").await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("Postgres does not respond"), "{told}");
}

/// Each worker has a runtime of its own, which ends first where nothing is under way. Postgres is everybody's.
#[tokio::test]
async fn a_request_under_way_is_answered_though_every_other_worker_has_nothing_to_do() {
    // Connections of clients go to the workers in turn, so that each has it once.
    for turn in 0..4 {
        let (mut server, proxy, _database) = service().await;
        server.send(Request::post("/session/register").json(&registration("ada"))).await.expect(201);
        let login = Request::post("/session/login").json(&credentials("ada"));
        for _ in 0..turn {
            server.send(login.clone()).await.ok();
        }
        proxy.take_statements();
        proxy.set_delay(Duration::from_millis(200));
        let address = server.address();
        let login = tokio::spawn(async move { login.send(address).await });
        eventually("it is under way", async || proxy.take_statements().count("password_hash") == 1).await;

        assert!(stop(&mut server).await.success());
        login.await.expect("no panic").ok();
    }
}
