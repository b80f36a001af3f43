//! Time that does not pass as it should: a node that was asleep, a clock that is wrong for a while.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustix::process::Signal;
use sqlx::{Connection, PgConnection};
use tokio::{task::JoinHandle, time::sleep_until};

use super::{BOUND, PAIRS, assert_accepted, assert_refused_in_time, two_nodes};
use crate::support::program::{Server, folder};
use crate::support::{
    HOUR, MINUTE,
    client::{Client, Mode, Pair},
    cluster::Database,
    http::Request,
    server::{CHEAP, ONE_NAME, TestServer, beginning, registration},
};

async fn signed_in(node: &Server, pair: Pair) -> Client {
    let mut client = Client::at_address(node.address(), pair);
    client.login(&pair.credentials("ada")).await.ok();
    client
}

/// Calls the nodes to look at the feed all the time.
fn ring(database: &Database) -> JoinHandle<()> {
    let url = database.url().to_string();
    tokio::spawn(async move {
        let mut connection = PgConnection::connect(&url).await.expect("the test's database answers");
        while sqlx::query("notify dualauth").execute(&mut connection).await.is_ok() {}
    })
}

/// Has a node sleep for longer than the bound while logins end on another, and asserts that it is not taken in by what
/// it knew before. It falls asleep in the middle of a look, as a rule. It is asked in its sleep, so that nothing it does
/// on waking comes before the first answers.
async fn assert_wakes_up_well(when_stale: &str) {
    let database = Database::migrated().await;
    let settings = [ONE_NAME, ("DATABASE_URL", database.url().as_str()), ("JWT_WHEN_STALE", when_stale)];
    let settings = [CHEAP, &settings].concat();
    let folder = folder();
    let (awake, asleep) = (Server::start(&folder, &settings).await, Server::start(&folder, &settings).await);
    awake.send(Request::post("/session/register").json(&registration("ada"))).await.expect(201);
    for _ in 0..5 {
        let ringing = ring(&database);
        let (mut ended, mut live) = (Vec::new(), Vec::new());
        for pair in PAIRS {
            ended.push(signed_in(&awake, pair).await);
            live.push(signed_in(&awake, pair).await);
        }
        for client in ended.iter().chain(&live) {
            assert_accepted(&client.at_node(asleep.address())).await;
        }

        asleep.signal(Signal::STOP);
        ringing.abort();
        for client in &ended {
            client.clone().logout().await.expect(204);
        }
        sleep_until((Instant::now() + BOUND).into()).await;
        let asked = ended.iter().chain(&live).map(|client| {
            let client = client.at_node(asleep.address());
            tokio::spawn(async move { client.profile().await })
        });
        let asked: Vec<_> = asked.collect();
        // The requests are on their way before it wakes.
        sleep_until((Instant::now() + Duration::from_millis(200)).into()).await;
        asleep.signal(Signal::CONT);

        for (number, response) in join_all(asked).await.into_iter().enumerate() {
            let response = response.expect("an answer");
            if number < ended.len() {
                assert_ne!(response.status, 200, "{response}");
            } else {
                assert_ne!(response.status, 401, "{response}");
            }
        }
        for client in &live {
            assert_accepted(&client.at_node(asleep.address())).await;
        }
    }
    assert!(asleep.terminate().await.success());
}

#[tokio::test]
async fn a_node_that_was_asleep_accepts_nothing_that_ended_meanwhile() {
    assert_wakes_up_well("refuse").await;
}

#[tokio::test]
async fn a_node_that_was_asleep_looks_before_it_serves_a_token() {
    assert_wakes_up_well("serve").await;
}

/// Has every node look at the feed: what it acknowledges, it knows.
async fn have_them_look(nodes: [&TestServer; 2]) {
    for node in nodes {
        Client::signed_in(node, Pair::SESSION_BEARER, "ada").await.logout().await.expect(204);
    }
}

#[tokio::test]
async fn a_clock_that_was_ahead_for_a_while_revives_nothing_and_ends_nothing_for_good() {
    let (server, elsewhere) = two_nodes(&[]).await;
    server.user("ada").await;
    let (mut ended, mut live) = (Vec::new(), Vec::new());
    for pair in PAIRS {
        for clients in [&mut ended, &mut live] {
            let client = Client::signed_in(&server, pair, "ada").await;
            assert_accepted(&client.at(&elsewhere)).await;
            clients.push(client);
        }
    }
    for client in &ended {
        client.clone().logout().await.expect(204);
        assert_refused_in_time(&client.at(&elsewhere), Instant::now()).await;
    }

    // First beyond the access tokens' life, then beyond the logins' idle time as well.
    for ahead in [16 * MINUTE, 40 * MINUTE] {
        server.clock.set(beginning() + ahead);
        have_them_look([&server, &elsewhere]).await;
        for client in &ended {
            client.at(&elsewhere).profile().await.expect(401);
        }
        for client in live.iter().filter(|client| client.pair.mode == Mode::Jwt || ahead == 40 * MINUTE) {
            client.at(&elsewhere).profile().await.expect(401);
        }
        server.clock.set(beginning());
        for node in [&server, &elsewhere] {
            for client in &ended {
                client.at(node).profile().await.expect(401);
            }
            for client in &live {
                assert_accepted(&client.at(node)).await;
            }
        }
    }
}

#[tokio::test]
async fn a_clock_that_was_behind_for_a_while_revives_nothing_and_ends_nothing() {
    let (server, elsewhere) = two_nodes(&[]).await;
    server.user("ada").await;
    for pair in [Pair::SESSION_COOKIE, Pair::SESSION_BEARER] {
        let (ended, live) =
            (Client::signed_in(&server, pair, "ada").await, Client::signed_in(&server, pair, "ada").await);
        for client in [&ended, &live] {
            assert_accepted(&client.at(&elsewhere)).await;
        }
        server.clock.set(beginning() - HOUR);
        ended.clone().logout().await.expect(204);
        for node in [&server, &elsewhere] {
            assert_refused_in_time(&ended.at(node), Instant::now()).await;
            assert_accepted(&live.at(node)).await;
        }
        server.clock.set(beginning());
        have_them_look([&server, &elsewhere]).await;
        for node in [&server, &elsewhere] {
            ended.at(node).profile().await.expect(401);
            assert_accepted(&live.at(node)).await;
        }
    }
}
