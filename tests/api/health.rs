//! Health: whether the service can do its work, and which part of it can't.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::PgConnection;
use tokio::time::timeout;

use crate::{
    nodes::sql,
    support::{
        client::{Client, Pair},
        cluster::Database,
        eventually,
        http::Request,
        postgres::Postgres,
        program::{Server, folder},
        server::{METRICS, ONE_NAME, TestServer},
    },
};

/// What the server says of its parts when it is not ready, once it says this of the database.
async fn checks_once_the_database_is(server: &TestServer, state: &str) -> Value {
    let mut checks = Value::Null;
    eventually("a database that is what it is", async || {
        let response = server.send(Request::get("/health/ready")).await;
        checks = response.json()["checks"].clone();
        checks["database"] == state
    })
    .await;
    server.send(Request::get("/health/ready")).await.problem(503, "unavailable").not_stored();
    checks
}

async fn assert_ready_in_the_end(server: &TestServer) {
    eventually("a service that is ready", async || {
        server.send(Request::get("/health/ready")).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_service_that_is_well_says_so_of_each_part() {
    let server = TestServer::start().await;
    let ready = server.send(Request::get("/health/ready")).await.not_stored().ok();
    let checks = json!({ "database": "ok", "feed": "ok", "keys": "ok", "upkeep": "ok" });
    assert_eq!(ready, json!({ "status": "ok", "checks": checks }));
    assert_eq!(server.send(Request::get("/health/live")).await.ok(), json!({ "status": "ok" }));
}

#[tokio::test]
async fn a_service_without_its_database_lives_but_is_not_ready() {
    let (server, proxy) = TestServer::behind_a_proxy(&[]).await;
    server.send(Request::get("/health/ready")).await.expect(200);

    proxy.go_away();
    server.send(Request::get("/health/live")).await.expect(200);
    eventually("a feed that can't be read", async || {
        let checks = checks_once_the_database_is(&server, "down").await;
        // Signing asks nobody.
        checks == json!({ "database": "down", "feed": "down", "keys": "ok", "upkeep": "ok" })
    })
    .await;

    proxy.come_back();
    assert_ready_in_the_end(&server).await;
}

/// What probes has less patience than a request.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_probe_is_answered_in_time_though_the_database_says_nothing() {
    let (server, proxy) = TestServer::behind_a_proxy(&[]).await;
    server.send(Request::get("/health/ready")).await.expect(200);
    proxy.fall_silent();
    let probe = server.send(Request::get("/health/ready"));
    let response = timeout(PROBE_LIMIT, probe).await.expect("an answer in time");
    assert_eq!(response.problem(503, "unavailable").json()["checks"]["database"], "down");
    proxy.come_back();
    assert_ready_in_the_end(&server).await;
}

#[tokio::test]
async fn a_database_that_takes_no_writes_is_not_ready_and_that_is_all_that_is_wrong() {
    let database = Arc::new(Database::migrated().await);
    let server = TestServer::on(database.clone(), &[]).await;
    server.send(Request::get("/health/ready")).await.expect(200);

    database.set_read_only(true).await;
    eventually("a feed that is read", async || {
        let checks = checks_once_the_database_is(&server, "read_only").await;
        checks == json!({ "database": "read_only", "feed": "ok", "keys": "ok", "upkeep": "ok" })
    })
    .await;

    database.set_read_only(false).await;
    assert_ready_in_the_end(&server).await;
}

#[tokio::test]
async fn a_feed_that_cannot_be_read_is_told_from_a_database_that_is_away() {
    let server = TestServer::start().await;
    sql(&server, "alter table revocations rename to revocations_elsewhere").await;
    eventually("a service that is not ready", async || {
        server.send(Request::get("/health/ready")).await.status == 503
    })
    .await;
    let response = server.send(Request::get("/health/ready")).await.problem(503, "unavailable");
    assert_eq!(
        response.json()["checks"],
        json!({ "database": "ok", "feed": "down", "keys": "ok", "upkeep": "ok" })
    );

    sql(&server, "alter table revocations_elsewhere rename to revocations").await;
    assert_ready_in_the_end(&server).await;
}

/// Nobody is let in, as while a dump is restored: which is no fault of the request.
#[tokio::test]
async fn a_database_that_lets_nobody_in_is_away() {
    let database = Arc::new(Database::migrated().await);
    let server = TestServer::on(database.clone(), &[]).await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;

    database.set_closed(true).await;
    eventually("no more answers", async || client.get("/account/logins").await.status != 200).await;
    client.get("/account/logins").await.problem(503, "unavailable");
    let checks = checks_once_the_database_is(&server, "down").await;
    assert_eq!(checks["keys"], "ok");

    database.set_closed(false).await;
    assert_ready_in_the_end(&server).await;
    client.get("/account/logins").await.ok();
}

#[tokio::test]
async fn a_stranger_is_told_which_part_is_down_and_not_where_it_is() {
    let (server, proxy) = TestServer::behind_a_proxy(&[]).await;
    let url = proxy.url();
    let (port, database) = (url.port().expect("a port").to_string(), url.path().trim_start_matches('/'));
    proxy.go_away();
    checks_once_the_database_is(&server, "down").await;
    let told = server.send(Request::get("/health/ready")).await.text();
    for inside in ["127.0.0.1", &port, database, "postgres", "refused", "os error"] {
        assert!(!told.to_lowercase().contains(inside), "{inside} is in {told}");
    }
}

async fn execute(connection: &mut PgConnection, statements: &[&'static str]) {
    for statement in statements {
        sqlx::raw_sql(*statement).execute(&mut *connection).await.expect("a statement that runs");
    }
}

/// How many commits wait for a standby that the node has only tried.
async fn tried(connection: &mut PgConnection) -> i64 {
    let waiting = sqlx::query_scalar(
        "select count(*) from pg_stat_activity
         where wait_event = 'SyncRep' and query like '%pg_logical_emit_message%'",
    );
    waiting.fetch_one(connection).await.expect("a number")
}

#[tokio::test]
async fn a_database_that_makes_no_commit_is_down_and_is_tried_once_however_many_ask() {
    let mut postgres = Postgres::start(&[]).await;
    let server = Server::start(&folder(), &[("DATABASE_URL", postgres.url())]).await;
    let mut connection = postgres.connect().await;
    let probe = || timeout(PROBE_LIMIT, server.send(Request::get("/health/ready")));
    probe().await.expect("an answer in time").expect(200);

    let standby = "alter system set synchronous_standby_names = 'nobody'";
    execute(&mut connection, &[standby, "select pg_reload_conf()"]).await;
    eventually("no commit", async || probe().await.expect("an answer in time").status == 503).await;
    for answer in join_all((0..30).map(|_| probe())).await {
        let checks = answer.expect("an answer in time").problem(503, "unavailable").json()["checks"].clone();
        assert_eq!(checks, json!({ "database": "down", "feed": "ok", "keys": "ok", "upkeep": "ok" }));
        assert_eq!(tried(&mut connection).await, 1);
    }

    execute(&mut connection, &["alter system reset synchronous_standby_names", "select pg_reload_conf()"])
        .await;
    eventually("commits", async || probe().await.expect("an answer in time").status == 200).await;
    assert_eq!(tried(&mut connection).await, 0);
    assert!(server.terminate().await.success());
    postgres.stop().await;
}

/// Nobody who asks costs Postgres a commit each time.
#[tokio::test]
async fn commits_are_tried_seldom() {
    let (server, proxy) = TestServer::behind_a_proxy(&[]).await;
    server.send(Request::get("/health/ready")).await.expect(200);
    proxy.take_statements();
    for answer in join_all((0..50).map(|_| server.send(Request::get("/health/ready")))).await {
        answer.expect(200);
    }
    assert!(proxy.take_statements().count("pg_logical_emit_message") <= 1);
}

/// Before the beginning of time nothing can be reckoned back from: whoever tries panics.
#[tokio::test]
async fn a_task_of_the_node_that_panics_is_told_of_and_begun_again() {
    let server = TestServer::with(&[METRICS, ONE_NAME]).await;
    let node = server.another_node_with(&[("METRICS_LISTEN", "")]).await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    client.at(&node).profile().await.ok();
    let now = server.clock.now();
    let restarts =
        async || server.metric(r#"dualauth_upkeep_restarts_total{task="revocation_feed.poller"}"#).await;
    assert_eq!(restarts().await, 0.0);
    server.send(Request::get("/health/ready")).await.expect(200);

    server.clock.set(DateTime::<Utc>::MIN_UTC);
    eventually("a task that does not run", async || {
        let response = server.send(Request::get("/health/ready")).await;
        response.status == 503 && response.json()["checks"]["upkeep"] == "down"
    })
    .await;
    eventually("it is begun again", async || restarts().await > 0.0).await;

    server.clock.set(now);
    assert_ready_in_the_end(&server).await;
    // It follows what happens elsewhere, as before.
    client.at(&node).logout().await.expect(204);
    eventually("the end is known", async || client.profile().await.status == 401).await;
}
