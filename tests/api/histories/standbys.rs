//! A node is led to a standby: what has ended elsewhere may not have reached that, and it doesn't say so.

use sqlx::{AssertSqlSafe, Connection};
use url::Url;

use super::{accepted, devices, nodes, ready, refused, register, rounds};
use crate::support::{
    client::{Client, Mode},
    eventually,
    http::Request,
    postgres::Postgres,
    program::Server,
    proxy::Proxy,
};

fn url(postgres: &Postgres) -> Url {
    postgres.url().parse().expect("a URL")
}

/// It knows that it does not know, and says nothing that it can't.
async fn assert_not_fresh(node: &Server, clients: &[Client]) {
    eventually("a node that has noticed", async || {
        let answer = node.send(Request::get("/health/ready")).await;
        let checks = answer.json()["checks"].clone();
        answer.status == 503 && checks["database"] == "read_only" && checks["feed"] == "down"
    })
    .await;
    for client in clients {
        let client = client.at_node(node.address());
        client.profile().await.problem(503, "unavailable");
        let refresh = client.refresh_request().send(node.address()).await;
        refresh.problem(503, "unavailable");
        if client.pair.mode == Mode::Session {
            client.get("/verify").await.problem(503, "unavailable");
        }
    }
}

#[tokio::test]
async fn a_node_that_is_led_to_a_standby_says_nothing_that_it_cannot_know() {
    let mut primary = Postgres::start(&[]).await;
    let mut standby = primary.standby(&[]).await;
    let way = Proxy::before(&url(&primary)).await;
    let mut pair = nodes(primary.url(), 1).await;
    pair.extend(nodes(way.url().as_str(), 1).await);
    for round in 0..rounds() {
        let name = format!("ada-{round}");
        register(&pair[0], &name).await;
        let leaving = devices(&pair, &name).await;
        let staying = devices(&pair, &name).await;
        let mut slow = primary.connect().await;
        // The newest are those that stay.
        let end = format!(
            "begin; update logins set ended_at = now()
             where id in (select id from logins order by id desc offset {count} limit {count})",
            count = leaving.len()
        );
        sqlx::raw_sql(AssertSqlSafe(end.as_str()))
            .execute(&mut slow)
            .await
            .expect("an end that is under way");

        way.lead_to(&url(&standby)).await;
        assert_not_fresh(&pair[1], &staying).await;
        sqlx::raw_sql("commit").execute(&mut slow).await.expect("the end");
        let ended = vec![std::time::Instant::now(); leaving.len()];
        slow.close().await.expect("a connection that can be closed");

        refused(&pair, &leaving, &ended).await;
        assert_not_fresh(&pair[1], &leaving).await;
        way.lead_to(&url(&primary)).await;
        ready(&pair[1]).await;
        accepted(&pair, &staying).await;
        refused(&pair, &leaving, &ended).await;
    }
    for node in pair {
        assert!(node.terminate().await.success());
    }
    standby.stop().await;
    primary.stop().await;
}

#[tokio::test]
async fn a_node_that_starts_on_a_standby_is_ready_once_that_is_the_primary() {
    let mut primary = Postgres::start(&[]).await;
    let first = nodes(primary.url(), 1).await;
    register(&first[0], "ada").await;
    let clients = devices(&first, "ada").await;
    for node in first {
        assert!(node.terminate().await.success());
    }
    let mut standby = primary.standby(&[]).await;

    let late = nodes(standby.url(), 1).await;
    assert_not_fresh(&late[0], &clients).await;
    primary.stop().await;
    standby.promote().await;

    ready(&late[0]).await;
    accepted(&late, &clients).await;
    for client in clients {
        client.at_node(late[0].address()).assert_goes_on().await;
    }
    for node in late {
        assert!(node.terminate().await.success());
    }
    standby.stop().await;
}
