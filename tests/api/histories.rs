//! What happens to every Postgres sooner or later: it crashes, another takes its place, a dump of it is restored, somebody
//! keeps a transaction open. Whatever it is: no credential is accepted later than the bound after its end was
//! acknowledged, and no live one is refused.
//!
//! Each drill runs once with a few devices; `DRILL_ROUNDS` and `DRILL_DEVICES` (of each pair) say how many.

mod crashes;
mod failovers;
mod restores;
mod standbys;
mod transactions;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::PgConnection;

use crate::{
    nodes::BOUND,
    oauth::Service,
    support::{
        PATIENCE, SECOND,
        client::{Client, Mode, Pair},
        eventually,
        http::Request,
        other_service::OtherService,
        program::{Server, folder},
        server::{CHEAP, ONE_NAME, registration},
    },
};

/// What other services can verify.
const EDDSA: (&str, &str) = ("JWT_ALGORITHM", "EdDSA");

/// How long a dead credential is shown to every node after its end.
const WATCHED: Duration = Duration::from_secs(3);

fn rounds() -> usize {
    number("DRILL_ROUNDS", 1)
}

/// Of each pair, how many devices are signed out, and how many stay.
fn devices_of_a_pair() -> usize {
    number("DRILL_DEVICES", 3)
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |number| number.parse().expect("a number"))
}

/// Nodes that are programs, on the Postgres at this URL.
async fn nodes(url: &str, count: usize) -> Vec<Server> {
    let settings = [CHEAP, &[("DATABASE_URL", url), ONE_NAME, ("JWT_WHEN_STALE", "refuse"), EDDSA]].concat();
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(Server::start(&folder(), &settings).await);
    }
    nodes
}

pub async fn ready(node: &Server) {
    eventually("a node that is ready", async || node.send(Request::get("/health/ready")).await.status == 200)
        .await;
}

pub async fn register(node: &Server, name: &str) {
    eventually("an account", async || {
        let response = node.send(Request::post("/session/register").json(&registration(name))).await;
        [201, 409].contains(&response.status)
    })
    .await;
}

/// Devices of this user, signed in in each way and known to every node.
pub async fn devices(nodes: &[Server], name: &str) -> Vec<Client> {
    let mut devices = Vec::new();
    for pair in Pair::ALL {
        for _ in 0..devices_of_a_pair() {
            let mut client = Client::at_address(nodes[0].address(), pair);
            client.login(&pair.credentials(name)).await.ok();
            devices.push(client);
        }
    }
    accepted(nodes, &devices).await;
    devices
}

/// Asserts that no node refuses these. That one can't tell for now is no refusal.
pub async fn accepted(nodes: &[Server], clients: &[Client]) {
    for node in nodes {
        join_all(clients.iter().map(async |client| {
            eventually("a node that knows", async || {
                let response = client.at_node(node.address()).profile().await;
                response.status != 503 && {
                    response.expect(200);
                    true
                }
            })
            .await;
        }))
        .await;
    }
}

/// Signs a device out by a node, however often that can't be done, and gives the time at which it was acknowledged.
async fn sign_out(node: &Server, client: &Client) -> Instant {
    let mut acknowledged = None;
    eventually("a logout that is acknowledged", async || {
        let mut client = client.at_node(node.address());
        let response = client.logout().await;
        acknowledged = Some(Instant::now());
        // After an answer that got lost, it is over already.
        assert!([204, 401, 503].contains(&response.status), "{response}");
        response.status != 503
    })
    .await;
    acknowledged.expect("an answer")
}

async fn sign_all_out(node: &Server, clients: &[Client]) -> Vec<Instant> {
    join_all(clients.iter().map(|client| sign_out(node, client))).await
}

/// The same by all nodes at once, each its share.
pub async fn sign_all_out_by(nodes: &[Server], clients: &[Client]) -> Vec<Instant> {
    let shares = clients.iter().zip(nodes.iter().cycle());
    join_all(shares.map(|(client, node)| sign_out(node, client))).await
}

/// Shows what ended then to every node for a while: past the bound, nobody accepts it.
pub async fn refused(nodes: &[Server], clients: &[Client], acknowledged: &[Instant]) {
    let watching = nodes.iter().flat_map(|node| {
        clients.iter().zip(acknowledged).map(async |(client, acknowledged)| {
            let client = client.at_node(node.address());
            while acknowledged.elapsed() < BOUND + WATCHED {
                let asked = Instant::now();
                let response = client.profile().await;
                let late = asked.saturating_duration_since(*acknowledged + BOUND);
                assert!(
                    response.status != 200 || late.is_zero(),
                    "{:?} on {}: {late:?} past the bound: {response}",
                    client.pair,
                    node.address()
                );
                tokio::time::sleep(SECOND / 20).await;
            }
        })
    });
    join_all(watching).await;
}

/// A service that verifies access tokens by itself, and follows this node.
async fn follower(node: &Server, database: PgConnection) -> OtherService {
    OtherService::following(node.address(), &Service::registered_in(database).await, &[]).await
}

/// Shows it what ended then, the same way: past the bound it refuses it, or says that it does not know.
async fn refused_by(follower: &OtherService, clients: &[Client], acknowledged: &[Instant]) {
    let tokens = clients.iter().zip(acknowledged).filter(|(client, _)| client.pair.mode == Mode::Jwt);
    join_all(tokens.map(async |(client, acknowledged)| {
        let mut status = 200;
        while acknowledged.elapsed() < BOUND + WATCHED || status == 503 {
            assert!(acknowledged.elapsed() < PATIENCE, "it does not get to know");
            let asked = Instant::now();
            let response = follower.me(&client.credential()).await;
            let late = asked.saturating_duration_since(*acknowledged + BOUND);
            assert!(response.status != 200 || late.is_zero(), "{late:?} past the bound: {response}");
            status = response.status;
            tokio::time::sleep(SECOND / 20).await;
        }
        assert_eq!(status, 401);
    }))
    .await;
}

/// Asserts that it refuses none of these.
async fn accepted_by(follower: &OtherService, clients: &[Client]) {
    for client in clients.iter().filter(|client| client.pair.mode == Mode::Jwt) {
        eventually("a service that knows", async || {
            let response = follower.me(&client.credential()).await;
            response.status != 503 && {
                response.expect(200);
                true
            }
        })
        .await;
    }
}

/// Transactions that are given a number and come to nothing: what is not written down is given out again after a crash.
async fn burn_transaction_ids(connection: &mut PgConnection, count: usize) {
    for _ in 0..count {
        let burn = sqlx::raw_sql("begin; select pg_current_xact_id(); rollback");
        burn.execute(&mut *connection).await.expect("a transaction that comes to nothing");
    }
}

/// What these nodes have counted, by the name of a metric.
async fn metric(node: &Server, name: &str) -> f64 {
    let text = Request::get("/metrics").send(node.metrics_address()).await.expect(200).text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().expect("a number"))
}
