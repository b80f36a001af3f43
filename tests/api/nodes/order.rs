//! Changes that commit in another order than they were begun, and nodes that come when something has happened.

use std::time::Instant;

use sqlx::{AssertSqlSafe, PgConnection};

use super::{PAIRS, assert_accepted, assert_refused_in_time, two_nodes};
use crate::support::{
    client::Client,
    eventually,
    http::Request,
    server::{METRICS, ONE_NAME, TestServer},
};

async fn run(connection: &mut PgConnection, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await.expect("statements that run");
}

/// Whoever reads a feed by its highest number overlooks the first one here.
#[tokio::test]
async fn what_commits_late_is_refused_though_later_ends_were_read_before() {
    let (server, elsewhere) = two_nodes(&[]).await;
    server.user("ada").await;
    for pair in PAIRS {
        let late = Client::signed_in(&server, pair, "ada").await;
        let mut early = Client::signed_in(&server, pair, "ada").await;
        for client in [&late, &early] {
            assert_accepted(client).await;
            assert_accepted(&client.at(&elsewhere)).await;
        }
        let end = format!("begin; update logins set ended_at = now() where id = '{}'", late.login_id().await);
        let mut slow = server.sql().await;
        run(&mut slow, &end).await;

        let before = early.clone();
        early.logout().await.expect(204);
        let acknowledged = Instant::now();
        for client in [&before, &before.at(&elsewhere)] {
            assert_refused_in_time(client, acknowledged).await;
        }
        // It is live until the commit.
        for client in [&late, &late.at(&elsewhere)] {
            assert_accepted(client).await;
        }
        run(&mut slow, "commit").await;

        let acknowledged = Instant::now();
        for client in [&late, &late.at(&elsewhere)] {
            assert_refused_in_time(client, acknowledged).await;
        }
    }
}

/// It keeps the oldest transaction that anybody has to look back to where it is.
#[tokio::test]
async fn ends_are_told_while_another_transaction_takes_its_time() {
    let (server, elsewhere) = two_nodes(&[]).await;
    server.user("ada").await;
    let mut long = server.sql().await;
    run(&mut long, "begin isolation level repeatable read; select pg_current_xact_id()").await;
    for _ in 0..3 {
        for pair in PAIRS {
            let mut client = Client::signed_in(&server, pair, "ada").await;
            let there = client.at(&elsewhere);
            assert_accepted(&there).await;
            client.logout().await.expect(204);
            assert_refused_in_time(&there, Instant::now()).await;
        }
    }
    run(&mut long, "rollback").await;
    let mut client = Client::signed_in(&server, PAIRS[0], "ada").await;
    let there = client.at(&elsewhere);
    assert_accepted(&there).await;
    client.logout().await.expect(204);
    assert_refused_in_time(&there, Instant::now()).await;
}

#[tokio::test]
async fn a_new_nodes_first_answers_are_right() {
    let server = TestServer::with(&[ONE_NAME]).await;
    server.user("ada").await;
    let (mut ended, mut live) = (Vec::new(), Vec::new());
    for pair in PAIRS {
        live.push(Client::signed_in(&server, pair, "ada").await);
        let client = Client::signed_in(&server, pair, "ada").await;
        assert_accepted(&client).await;
        client.clone().logout().await.expect(204);
        ended.push(client);
    }
    for first in &ended {
        let new = server.another_node().await;
        first.at(&new).profile().await.problem(401, first.pair.mode.ended());
        new.send(Request::get("/health/ready")).await.expect(200);
        for client in &live {
            assert_accepted(&client.at(&new)).await;
        }
    }
}

/// More than a node can read within the bound, as a rule.
#[tokio::test]
async fn a_flood_of_ends_is_taken_in_and_then_all_is_as_before() {
    let (server, elsewhere) = two_nodes(&[METRICS]).await;
    server.user("ada").await;
    let flood = "insert into revocations (login_id, until)
                 select gen_random_uuid(), '2032-01-01' from generate_series(1, 200000)";
    run(&mut server.sql().await, flood).await;

    let knows = async |node: &TestServer| {
        let ended = "dualauth_directory_entries{kind=\"ended_logins\"}";
        eventually("a node that took it in", async || node.metric(ended).await == 200_000.0).await;
        eventually("a node that is ready", async || {
            node.send(Request::get("/health/ready")).await.status == 200
        })
        .await;
    };
    for node in [&server, &elsewhere] {
        knows(node).await;
    }
    let new = server.another_node().await;
    knows(&new).await;

    for pair in PAIRS {
        let mut client = Client::signed_in(&server, pair, "ada").await;
        let before = client.clone();
        for node in [&server, &elsewhere, &new] {
            assert_accepted(&client.at(node)).await;
        }
        client.logout().await.expect(204);
        let acknowledged = Instant::now();
        for node in [&elsewhere, &new] {
            assert_refused_in_time(&before.at(node), acknowledged).await;
        }
    }
}
