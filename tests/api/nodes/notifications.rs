//! Notifications that are lost: they only make it quicker.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::PgConnection;
use tokio::time::{sleep, timeout};

use super::{GENEROUS, PAIRS, assert_accepted, assert_refused_in_time, two_nodes};
use crate::support::{
    SECOND, client::Client, eventually, proxy::Proxy, server::TestServer, statements::FEED,
};

/// Ends every connection that listens, and gives how many there were.
async fn deafen(connection: &mut PgConnection) -> usize {
    let ended: Vec<bool> = sqlx::query_scalar(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and (query ilike 'listen %' or query like 'select pg_notify%')",
    )
    .fetch_all(connection)
    .await
    .expect("a Postgres that can be asked");
    ended.len()
}

#[tokio::test]
async fn what_ended_is_refused_in_time_by_nodes_that_hear_nothing() {
    let (server, elsewhere) = two_nodes(&[]).await;
    server.user("ada").await;
    let mut sql = server.sql().await;
    eventually("both nodes listen", async || deafen(&mut sql).await == 2).await;
    let deafening = async {
        loop {
            deafen(&mut sql).await;
            sleep(Duration::from_millis(5)).await;
        }
    };
    let ends = PAIRS.map(async |pair| {
        for _ in 0..3 {
            let mut client = Client::signed_in(&server, pair, "ada").await;
            let (here, there) = (client.clone(), client.at(&elsewhere));
            assert_accepted(&here).await;
            assert_accepted(&there).await;
            client.logout().await.expect(204);
            let acknowledged = Instant::now();
            assert_refused_in_time(&there, acknowledged).await;
            assert_refused_in_time(&here, acknowledged).await;
        }
    });
    tokio::select! {
        _ = join_all(ends) => {}
        () = deafening => {}
    }
}

/// Revokes something, and says whether the node looks within half a second.
async fn is_heard(sql: &mut PgConnection, proxy: &Proxy) -> bool {
    proxy.take_statements();
    let revoke = sqlx::query("insert into revocations (handle_hash, until) values ('', now())");
    revoke.execute(sql).await.expect("a row of the feed");
    let looks = async {
        while proxy.take_statements().count(FEED) == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SECOND / 2, looks).await.is_ok()
}

/// By itself, a node with this bound looks once a second: three rows in turn that it looks for at once it was told of.
async fn assert_hears(server: &TestServer, proxy: &Proxy) {
    let mut sql = server.sql().await;
    eventually("three rows in turn that are heard of", async || {
        for _ in 0..3 {
            if !is_heard(&mut sql, proxy).await {
                return false;
            }
        }
        true
    })
    .await;
}

#[tokio::test]
async fn a_node_hears_again_when_its_notifications_were_cut_off() {
    let (server, proxy) = TestServer::behind_a_proxy(&[GENEROUS]).await;
    assert_hears(&server, &proxy).await;
    let mut sql = server.sql().await;
    for _ in 0..3 {
        eventually("the node listens", async || deafen(&mut sql).await == 1).await;
    }
    assert_hears(&server, &proxy).await;
    proxy.cut().await;
    proxy.come_back();
    assert_hears(&server, &proxy).await;
    // Nobody says that this connection is dead.
    proxy.fall_silent();
    sleep(Duration::from_millis(50)).await;
    proxy.come_back();
    assert_hears(&server, &proxy).await;
}
