//! How the service gets to its Postgres, and what it makes of what it is granted there.

use futures_util::future::join_all;
use url::Url;

use crate::support::{
    client::{Client, Pair},
    cluster::Database,
    eventually,
    http::Request,
    postgres::Postgres,
    program::{self, Server, folder, program, run},
    server::{CHEAP, TestServer, registration},
};

/// A server, as a process, on the Postgres at this URL.
async fn serve(url: &str, settings: &[(&str, &str)]) -> Server {
    let all: Vec<_> = [("DATABASE_URL", url)].iter().chain(CHEAP).chain(settings).copied().collect();
    Server::start(&folder(), &all).await
}

/// What a command says that has nothing to do but to connect, and whether it went well.
pub async fn connect(url: &str, settings: &[(&str, &str)]) -> (bool, String) {
    let settings: Vec<_> = [("DATABASE_URL", url)].iter().chain(settings).copied().collect();
    let mut command = program(&folder(), &settings);
    command.arg("migrate");
    let output = run(command, "").await;
    (output.status.success(), program::text(&output.stderr))
}

#[track_caller]
pub fn assert_connected((went_well, said): (bool, String)) {
    assert!(went_well, "{said}");
}

/// Asserts that it is refused in one line that says this.
#[track_caller]
pub fn assert_refused((went_well, said): (bool, String), part: &str) {
    assert!(!went_well && said.contains(part), "{part} is not in: {said}");
    assert!(!said.contains("hunter2"), "{said}");
}

/// Asserts that many who sign in at once, and more than once, are all let in.
async fn assert_lets_everybody_in(server: &Server, prefix: &str) {
    let person = async |number: usize| {
        let name = format!("{prefix}-{number}");
        server.send(Request::post("/session/register").json(&registration(&name))).await.expect(201);
        for pair in Pair::ALL {
            let mut client = Client::at_address(server.address(), pair);
            client.login(&pair.credentials(&name)).await.ok();
            client.profile().await.ok();
            client.refresh().await.ok();
            client.logout().await.expect(204);
        }
    };
    join_all((0..12).map(person)).await;
}

#[tokio::test]
async fn fewer_connections_than_asked_for_are_shared_by_whoever_waits() {
    let postgres = Postgres::start(&[]).await;
    assert_connected(connect(postgres.url(), &[]).await);
    let mut admin = postgres.connect().await;
    for (limit, most) in [(8, "10"), (6, "4")] {
        // A superuser's connections are not counted.
        let role = format!(
            "do $$ begin create role few login; exception when duplicate_object then null; end $$;
             grant dualauth to few; alter role few connection limit {limit}"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(role)).execute(&mut admin).await.expect("a role");
        let mut url = Url::parse(postgres.url()).expect("a URL");
        url.set_username("few").expect("a user");
        let server = serve(url.as_str(), &[("DATABASE_MAX_CONNECTIONS", most)]).await;
        for round in 0..3 {
            assert_lets_everybody_in(&server, &format!("of-{limit}-{round}")).await;
        }
        server.send(Request::get("/health/ready")).await.expect(200);
        assert!(server.terminate().await.success());
        eventually("nobody is connected", async || {
            let count = "select count(*) from pg_stat_activity where usename = 'few'";
            sqlx::query_scalar::<_, i64>(count).fetch_one(&mut admin).await.expect("a number") == 0
        })
        .await;
    }
}

#[tokio::test]
async fn statements_read_what_is_committed_whatever_the_database_prefers() {
    let server = TestServer::start().await;
    server.user("ada").await;
    let database = server.database_url().path().trim_start_matches('/').to_owned();
    let serializable = format!("alter database {database} set default_transaction_isolation = serializable");
    sqlx::raw_sql(sqlx::AssertSqlSafe(serializable))
        .execute(&mut server.sql().await)
        .await
        .expect("a setting");
    let node = server.another_node().await;
    let login = async |pair: Pair| {
        let mut client = Client::new(&node, pair);
        for _ in 0..8 {
            client.login(&pair.credentials("ada")).await.ok();
        }
    };
    join_all(Pair::ALL.into_iter().cycle().take(12).map(login)).await;
}

#[tokio::test]
async fn a_database_into_which_not_every_name_fits_is_refused() {
    let database = Database::in_encoding("LATIN1").await;
    assert_refused(connect(database.url().as_str(), &[]).await, "ENCODING 'UTF8'");
}

#[tokio::test]
async fn of_several_hosts_the_one_that_takes_writes_is_found_also_after_a_failover() {
    let mut primary = Postgres::start(&[]).await;
    assert_connected(connect(primary.url(), &[]).await);
    let standby = primary.standby(&[]).await;
    let socket = |url: &str| {
        url.split_once("host=").and_then(|(_, rest)| rest.split('&').next()).expect("a socket").to_owned()
    };
    let url = format!(
        "postgres://dualauth@/dualauth?host={},{}&sslmode=disable&target_session_attrs=read-write",
        socket(standby.url()),
        socket(primary.url())
    );
    let server = serve(&url, &[]).await;
    assert_lets_everybody_in(&server, "before").await;
    primary.crash().await;
    standby.promote().await;
    eventually("the new primary is found", async || {
        let request = Request::post("/session/register").json(&registration("after"));
        server.send(request).await.status == 201
    })
    .await;
    assert_lets_everybody_in(&server, "later").await;
    eventually("it is ready", async || server.send(Request::get("/health/ready")).await.status == 200).await;
}

#[tokio::test]
async fn what_is_wrong_with_an_address_is_said_in_one_line_without_the_password() {
    for (url, part) in [
        ("postgres://me:hunter2#@db/app", "%23"),
        ("postgres://me:hunter2/@db/app", "%2F"),
        ("postgres://me:hunter2@db/app?schema=auth", "dualauth"),
        ("postgres://me:hunter2@db/app?ssl=true", "sslmode=require"),
        ("postgres://me:hunter2@db/app?sslmode=verify-full&sslrootcert=/nowhere/ca.pem", "/nowhere/ca.pem"),
        ("hunter2", "host="),
    ] {
        assert_refused(connect(url, &[]).await, part);
    }
}
