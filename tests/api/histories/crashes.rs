//! Postgres crashes: transaction ids that were given out and never written down are given out again.

use futures_util::future::join;

use super::{
    accepted, accepted_by, burn_transaction_ids, devices, follower, nodes, ready, refused, refused_by,
    register, rounds, sign_all_out, sign_all_out_by,
};
use crate::support::{SECOND, eventually, http::Request, postgres::Postgres, program::Server};

/// What crashes.
#[derive(Clone, Copy, Debug)]
enum Crash {
    /// The postmaster, and with it everything.
    Postmaster,
    /// One backend: the postmaster ends all others, and begins anew.
    Backend,
}

/// So many transactions come to nothing before the crash, so that what ends after it has a number that was there before.
const BURNT: usize = 60;

/// Crashes, while what the nodes know of is not written down yet.
async fn crash(postgres: &mut Postgres, crash: Crash) {
    let mut burning = postgres.connect().await;
    burn_transaction_ids(&mut burning, BURNT).await;
    // The nodes look, before Postgres has written down that there were these: it does so five times a second.
    sqlx::query("select pg_notify('dualauth', '')").execute(&mut burning).await.expect("a notification");
    tokio::time::sleep(SECOND / 50).await;
    match crash {
        Crash::Postmaster => postgres.kill().await,
        Crash::Backend => postgres.kill_a_backend().await,
    }
}

async fn recover(postgres: &mut Postgres, crash: Crash) {
    match crash {
        Crash::Postmaster => postgres.start_again().await,
        Crash::Backend => postgres.ready().await,
    }
}

async fn drill(kind: Crash) {
    let mut postgres = Postgres::start(&[]).await;
    let nodes = nodes(postgres.url(), 2).await;
    let follower = follower(&nodes[1], postgres.connect().await).await;
    for round in 0..rounds() {
        let name = format!("ada-{round}");
        register(&nodes[0], &name).await;
        let leaving = devices(&nodes, &name).await;
        let staying = devices(&nodes, &name).await;
        accepted_by(&follower, &leaving).await;

        crash(&mut postgres, kind).await;
        // As soon as it can be done at all: before the nodes have looked again.
        let ((), acknowledged) = join(recover(&mut postgres, kind), sign_all_out(&nodes[0], &leaving)).await;

        let by_nodes = refused(&nodes, &leaving, &acknowledged);
        join(by_nodes, refused_by(&follower, &leaving, &acknowledged)).await;
        accepted(&nodes, &staying).await;
        accepted_by(&follower, &staying).await;
    }
    end(nodes, postgres).await;
}

async fn end(nodes: Vec<Server>, mut postgres: Postgres) {
    for node in nodes {
        assert!(node.terminate().await.success());
    }
    postgres.stop().await;
}

#[tokio::test]
async fn what_ends_after_postgres_was_killed_is_refused_on_every_node() {
    drill(Crash::Postmaster).await;
}

#[tokio::test]
async fn what_ends_after_one_backend_was_killed_is_refused_on_every_node() {
    drill(Crash::Backend).await;
}

/// In the middle of it, and not before.
#[tokio::test]
async fn what_ends_while_postgres_is_killed_is_refused_on_every_node() {
    let mut postgres = Postgres::start(&[]).await;
    let nodes = nodes(postgres.url(), 2).await;
    for round in 0..rounds() {
        let name = format!("ada-{round}");
        register(&nodes[0], &name).await;
        let leaving = devices(&nodes, &name).await;
        let staying = devices(&nodes, &name).await;
        let killing = async {
            tokio::time::sleep(SECOND * (round as u32 % 10) / 500).await;
            postgres.kill().await;
            postgres.start_again().await;
        };

        let (acknowledged, ()) = join(sign_all_out_by(&nodes, &leaving), killing).await;

        refused(&nodes, &leaving, &acknowledged).await;
        accepted(&nodes, &staying).await;
        for node in &nodes {
            ready(node).await;
        }
    }
    end(nodes, postgres).await;
}

/// A restart that is no crash loses nothing, and signs nobody out.
#[tokio::test]
async fn a_clean_restart_is_noticed_and_changes_nothing() {
    let mut postgres = Postgres::start(&[]).await;
    let nodes = nodes(postgres.url(), 2).await;
    register(&nodes[0], "ada").await;
    let leaving = devices(&nodes, "ada").await;
    let staying = devices(&nodes, "ada").await;
    let acknowledged = sign_all_out(&nodes[0], &leaving).await;

    postgres.stop().await;
    eventually("a node that has noticed", async || {
        nodes[0].send(Request::get("/health/ready")).await.status == 503
    })
    .await;
    postgres.start_again().await;

    for node in &nodes {
        ready(node).await;
    }
    refused(&nodes, &leaving, &acknowledged).await;
    accepted(&nodes, &staying).await;
    end(nodes, postgres).await;
}
