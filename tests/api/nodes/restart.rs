//! A Postgres that is stopped and started.

use std::path::Path;
use std::time::Instant;

use futures_util::future::join_all;

use super::{PAIRS, assert_accepted, assert_refused_in_time};
use crate::support::program::{Server, folder};
use crate::support::{
    client::{Client, Pair},
    eventually,
    http::Request,
    postgres::Postgres,
    server::{CHEAP, ONE_NAME, registration},
};

/// Refuses what it can't check: a node that a busy machine keeps from reading the feed would serve an ended access token.
async fn process(folder: &Path, url: &str) -> Server {
    let settings = [CHEAP, &[ONE_NAME, ("DATABASE_URL", url), ("JWT_WHEN_STALE", "refuse")]].concat();
    Server::start(folder, &settings).await
}

#[tokio::test]
async fn a_postgres_that_was_started_anew_changes_nothing_on_any_node() {
    let (folder, mut postgres) = (folder(), Postgres::start(&[]).await);
    let nodes = [process(&folder, postgres.url()).await, process(&folder, postgres.url()).await];
    nodes[0].send(Request::post("/session/register").json(&registration("ada"))).await.expect(201);
    let sign_in = async |pair: Pair| {
        let mut client = Client::at_address(nodes[0].address(), pair);
        client.login(&pair.credentials("ada")).await.ok();
        assert_accepted(&client.at_node(nodes[1].address())).await;
        client
    };
    let (mut ended, mut live) = (Vec::new(), Vec::new());
    for pair in PAIRS {
        live.push(sign_in(pair).await);
        let client = sign_in(pair).await;
        client.clone().logout().await.expect(204);
        assert_refused_in_time(&client.at_node(nodes[1].address()), Instant::now()).await;
        ended.push(client);
    }

    postgres.stop().await;
    eventually("nodes that miss it", async || {
        let ready = nodes.iter().map(|node| node.send(Request::get("/health/ready")));
        join_all(ready).await.iter().all(|response| response.status == 503)
    })
    .await;
    for client in &ended {
        assert_ne!(client.profile().await.status, 200);
    }
    postgres.start_again().await;
    eventually("nodes that have it again", async || {
        let ready = nodes.iter().map(|node| node.send(Request::get("/health/ready")));
        join_all(ready).await.iter().all(|response| response.status == 200)
    })
    .await;

    for node in &nodes {
        for client in &ended {
            client.at_node(node.address()).profile().await.expect(401);
        }
        for client in &live {
            assert_accepted(&client.at_node(node.address())).await;
        }
    }
    // And what ends now is told as ever.
    for client in &live {
        client.clone().logout().await.expect(204);
        assert_refused_in_time(&client.at_node(nodes[1].address()), Instant::now()).await;
    }
    for node in nodes {
        assert!(node.terminate().await.success());
    }
    postgres.stop().await;
}
