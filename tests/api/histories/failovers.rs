//! Another server takes the place of Postgres: a standby that has all of it, or one that has lost the last of it.

use futures_util::future::join;
use sqlx::Connection;
use url::Url;

use super::{accepted, burn_transaction_ids, devices, nodes, ready, refused, register, rounds, sign_all_out};
use crate::support::{SECOND, client::Client, eventually, postgres::Postgres, program::Server, proxy::Proxy};

/// A primary, a standby that follows it, and the way that leads nodes to the one or the other.
struct Pair {
    primary: Postgres,
    standby: Postgres,
    way: Proxy,
}

impl Pair {
    async fn start() -> Self {
        let mut primary = Postgres::start(&[]).await;
        let standby = primary.standby(&[]).await;
        let way = Proxy::before(&url(&primary)).await;
        let pair = Self { primary, standby, way };
        pair.primary_says("select count(*) from pg_stat_replication where state = 'streaming'", "1").await;
        pair
    }

    async fn primary_says(&self, query: &'static str, expected: &str) {
        let mut connection = self.primary.connect().await;
        eventually(query, async || {
            let answer = sqlx::query_scalar::<_, i64>(query).fetch_one(&mut connection).await;
            answer.expect("an answer").to_string() == expected
        })
        .await;
        connection.close().await.expect("a connection that can be closed");
    }

    /// Waits until the standby has all that there is.
    async fn caught_up(&self) {
        let behind = "select count(*) from pg_stat_replication where replay_lsn < pg_current_wal_flush_lsn()";
        self.primary_says(behind, "0").await;
    }

    /// From now on nothing is acknowledged that the standby does not have.
    async fn synchronise(&self) {
        set(&self.primary, "synchronous_standby_names", "*").await;
        self.primary_says("select count(*) from pg_stat_replication where sync_state = 'sync'", "1").await;
    }

    /// From now on the standby gets nothing more.
    async fn part(&self) {
        set(&self.standby, "primary_conninfo", "").await;
        self.primary_says("select count(*) from pg_stat_replication", "0").await;
    }

    /// The primary has died, and the standby takes its place.
    async fn take_over(&self) {
        self.standby.promote().await;
        self.way.lead_to(&url(&self.standby)).await;
    }

    async fn end(mut self, nodes: Vec<Server>) {
        for node in nodes {
            assert!(node.terminate().await.success());
        }
        self.standby.stop().await;
    }
}

fn url(postgres: &Postgres) -> Url {
    postgres.url().parse().expect("a URL")
}

async fn set(postgres: &Postgres, name: &str, value: &str) {
    let mut connection = postgres.connect().await;
    let set = format!("alter system set {name} = '{value}'");
    for statement in [set.as_str(), "select pg_reload_conf()"] {
        let statement = sqlx::raw_sql(sqlx::AssertSqlSafe(statement));
        statement.execute(&mut connection).await.expect("a setting");
    }
    connection.close().await.expect("a connection that can be closed");
}

/// Gives transaction ids away, has every node look, and kills the primary before it has written down that there were any.
async fn kill_primary(pair: &mut Pair) {
    let mut burning = pair.primary.connect().await;
    burn_transaction_ids(&mut burning, 60).await;
    sqlx::query("select pg_notify('dualauth', '')").execute(&mut burning).await.expect("a notification");
    tokio::time::sleep(SECOND / 50).await;
    pair.primary.kill().await;
}

/// Promoted within the bound, so that each node goes on from where it was.
#[tokio::test]
async fn what_ends_on_a_promoted_standby_is_refused_on_every_node() {
    for _ in 0..rounds() {
        let mut pair = Pair::start().await;
        let nodes = nodes(pair.way.url().as_str(), 2).await;
        register(&nodes[0], "ada").await;
        pair.synchronise().await;
        let leaving = devices(&nodes, "ada").await;
        let staying = devices(&nodes, "ada").await;

        kill_primary(&mut pair).await;
        let (acknowledged, ()) = join(sign_all_out(&nodes[0], &leaving), pair.take_over()).await;

        refused(&nodes, &leaving, &acknowledged).await;
        accepted(&nodes, &staying).await;
        pair.end(nodes).await;
    }
}

/// The new primary never had the ends: the nodes that took them in make them again.
#[tokio::test]
async fn what_ended_before_a_failover_that_lost_it_stays_refused_everywhere() {
    for _ in 0..rounds() {
        let mut pair = Pair::start().await;
        let mut nodes = nodes(pair.way.url().as_str(), 2).await;
        register(&nodes[0], "ada").await;
        let lost = devices(&nodes, "ada").await;
        let leaving = devices(&nodes, "ada").await;
        let staying = devices(&nodes, "ada").await;
        pair.caught_up().await;
        let mut renewed = devices(&nodes, "ada").await;
        pair.caught_up().await;
        pair.part().await;
        // Of these not even the beginning is known there.
        let mut lost = lost;
        lost.extend(devices(&nodes, "ada").await);
        for client in &mut renewed {
            client.refresh().await.ok();
        }
        let acknowledged = sign_all_out(&nodes[0], &lost).await;
        refused(&nodes, &lost, &acknowledged).await;

        kill_primary(&mut pair).await;
        let (later, ()) = join(sign_all_out(&nodes[0], &leaving), pair.take_over()).await;

        refused(&nodes, &lost, &acknowledged).await;
        refused(&nodes, &leaving, &later).await;
        accepted(&nodes, &staying).await;
        // One that knows only what is in the database.
        for node in &nodes {
            ready(node).await;
        }
        nodes.extend(super::nodes(pair.way.url().as_str(), 1).await);
        for node in &nodes {
            assert_lost_for_good(node, &lost).await;
        }
        accepted(&nodes, &staying).await;
        // What a lost refresh has given out is good, and buys the next.
        for client in renewed {
            accepted(&nodes, std::slice::from_ref(&client)).await;
            client.at_node(nodes[1].address()).assert_goes_on().await;
        }
        pair.end(nodes).await;
    }
}

/// Neither what they show nor what buys the next of it is good for anything.
async fn assert_lost_for_good(node: &Server, clients: &[Client]) {
    for client in clients {
        let mut client = client.at_node(node.address());
        eventually("a node that knows", async || client.profile().await.status != 503).await;
        client.profile().await.expect(401);
        client.refresh().await.expect(401);
    }
}
