//! Notifications that are lost, and a Postgres that is away: for one node, or for all.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dualauth::database::private::PrivatePostgres;
use dualauth::tokens::random_bytes;
use futures_util::future::join_all;
use sqlx::PgConnection;
use tokio::time::{sleep, sleep_until, timeout};

use super::{BOUND, PAIRS, assert_accepted, assert_refused_in_time, two_nodes};
use crate::support::program::{Server, folder};
use crate::support::{
    PATIENCE, SECOND,
    client::{Client, Mode, Pair},
    eventually,
    http::{Request, Response},
    proxy::Proxy,
    server::{CHEAP, ONE_NAME, TestServer, registration},
    statements::FEED,
};

/// Ends every connection that listens, and gives how many there were.
async fn deafen(connection: &mut PgConnection) -> usize {
    let ended: Vec<bool> = sqlx::query_scalar(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and query ilike 'listen %'",
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
    let (server, proxy) = TestServer::behind_a_proxy(&[super::GENEROUS]).await;
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

/// How a node loses its Postgres.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Away,
    Silent,
}

impl Loss {
    fn strike(self, proxy: &Proxy) {
        match self {
            Self::Away => proxy.go_away(),
            Self::Silent => proxy.fall_silent(),
        }
    }
}

/// A node that loses its Postgres while another has it, with two devices for each pair: one that is signed out
/// meanwhile, and one that is not.
struct CutOff {
    server: TestServer,
    alone: TestServer,
    proxy: Proxy,
    leaving: Vec<Client>,
    staying: Vec<Client>,
}

impl CutOff {
    async fn new(when_stale: &str) -> Self {
        let server = TestServer::with(&[ONE_NAME, ("JWT_WHEN_STALE", when_stale)]).await;
        let (alone, proxy) = server.another_node_behind_a_proxy(&[]).await;
        server.user("ada").await;
        let (mut leaving, mut staying) = (Vec::new(), Vec::new());
        for devices in [&mut leaving, &mut staying] {
            for pair in PAIRS {
                let client = Client::signed_in(&server, pair, "ada").await;
                assert_accepted(&client.at(&alone)).await;
                devices.push(client);
            }
        }
        Self { server, alone, proxy, leaving, staying }
    }

    /// What the node says of these devices, each at the same time.
    async fn profiles(&self, clients: &[Client]) -> Vec<(Mode, Response)> {
        let profiles = clients.iter().map(async |client| {
            let response = client.at(&self.alone).profile().await;
            (client.pair.mode, response)
        });
        join_all(profiles).await
    }

    async fn is_ready(&self) -> bool {
        self.alone.send(Request::get("/health/ready")).await.status == 200
    }

    /// Signs the leaving out on the node that can, and waits until the bound has passed on the other.
    async fn sign_out(&self) {
        for client in &self.leaving {
            client.clone().logout().await.expect(204);
        }
        sleep_until((Instant::now() + BOUND).into()).await;
    }

    /// Asserts that as soon as it is ready again, everything is as it is on the other.
    async fn assert_recovers(&self) {
        self.proxy.come_back();
        eventually("a node that is ready", async || self.is_ready().await).await;
        for (_, response) in self.profiles(&self.leaving).await {
            response.expect(401);
        }
        for client in &self.staying {
            assert_accepted(&client.at(&self.alone)).await;
            assert_accepted(client).await;
        }
        let mut client = Client::signed_in(&self.alone, Pair::SESSION_BEARER, "ada").await;
        assert_accepted(&client.at(&self.server)).await;
        client.logout().await.expect(204);
        assert_refused_in_time(&client.at(&self.server), Instant::now()).await;
    }
}

async fn assert_refuses_while_cut_off(loss: Loss) {
    let nodes = CutOff::new("refuse").await;
    loss.strike(&nodes.proxy);
    nodes.sign_out().await;

    assert!(!nodes.is_ready().await);
    for clients in [&nodes.leaving, &nodes.staying] {
        for (_, response) in nodes.profiles(clients).await {
            response.problem(503, "unavailable");
        }
    }
    nodes.assert_recovers().await;
}

async fn assert_serves_while_cut_off(loss: Loss) {
    let nodes = CutOff::new("serve").await;
    loss.strike(&nodes.proxy);
    nodes.sign_out().await;

    assert!(!nodes.is_ready().await);
    for clients in [&nodes.leaving, &nodes.staying] {
        for (mode, response) in nodes.profiles(clients).await {
            match mode {
                Mode::Session => {
                    response.problem(503, "unavailable");
                }
                // What it says is signed, and nobody has told this node otherwise.
                Mode::Jwt => {
                    response.ok();
                }
            }
        }
    }
    nodes.assert_recovers().await;
}

#[tokio::test]
async fn a_node_that_lost_its_postgres_answers_nothing_that_it_cannot_know() {
    assert_refuses_while_cut_off(Loss::Away).await;
}

#[tokio::test]
async fn a_node_whose_postgres_says_nothing_answers_nothing_that_it_cannot_know() {
    assert_refuses_while_cut_off(Loss::Silent).await;
}

#[tokio::test]
async fn a_node_that_lost_its_postgres_serves_tokens_where_that_is_wanted() {
    assert_serves_while_cut_off(Loss::Away).await;
}

#[tokio::test]
async fn a_node_whose_postgres_says_nothing_serves_tokens_where_that_is_wanted() {
    assert_serves_while_cut_off(Loss::Silent).await;
}

/// Here it is not that it lost Postgres, but that it goes on without being told.
#[tokio::test]
async fn a_node_cut_off_accepts_nothing_that_ended_elsewhere_past_the_bound() {
    for loss in [Loss::Away, Loss::Silent] {
        let nodes = CutOff::new("refuse").await;
        loss.strike(&nodes.proxy);
        let ends = nodes.leaving.iter().map(async |client| {
            client.clone().logout().await.expect(204);
            let acknowledged = Instant::now();
            let there = client.at(&nodes.alone);
            eventually("no more acceptance", async || {
                let sent = Instant::now();
                let response = there.profile().await;
                assert!(response.status != 200 || sent <= acknowledged + BOUND, "{loss:?}: {response}");
                response.status != 200
            })
            .await;
        });
        join_all(ends).await;
        nodes.assert_recovers().await;
    }
}

#[tokio::test]
async fn what_was_known_before_postgres_was_lost_stays_known() {
    let nodes = CutOff::new("serve").await;
    for client in &nodes.leaving {
        client.clone().logout().await.expect(204);
        assert_refused_in_time(&client.at(&nodes.alone), Instant::now()).await;
    }
    nodes.proxy.go_away();
    sleep_until((Instant::now() + BOUND).into()).await;

    for (mode, response) in nodes.profiles(&nodes.leaving).await {
        match mode {
            Mode::Session => assert_ne!(response.status, 200, "{response}"),
            Mode::Jwt => {
                response.problem(401, "token_revoked");
            }
        }
    }
    nodes.assert_recovers().await;
}

/// Each outage takes connections that never say a word again.
#[tokio::test]
async fn a_node_finds_back_however_often_its_connections_fall_silent() {
    let (server, proxy) = TestServer::behind_a_proxy(&[]).await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    for _ in 0..4 {
        // So many that they use several connections.
        join_all((0..12).map(|_| async { client.clone().login(&client.pair.credentials("ada")).await }))
            .await;
        proxy.fall_silent();
        let lost = (0..12).map(|_| async { client.get("/account/logins").await.problem(503, "unavailable") });
        join_all(lost).await;
        proxy.come_back();
        eventually("a node that is ready", async || {
            server.send(Request::get("/health/ready")).await.status == 200
        })
        .await;
        assert_accepted(&client).await;
    }
}

#[tokio::test]
async fn a_node_stops_though_its_postgres_says_nothing() {
    let (mut server, proxy) = TestServer::behind_a_proxy(&[]).await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    assert_accepted(&client).await;
    proxy.fall_silent();
    client.get("/account/logins").await.problem(503, "unavailable");
    timeout(PATIENCE, server.stop()).await.expect("a node that stops");
}

/// A node that says nothing on standard output but its address, on this Postgres.
async fn process(folder: &Path, url: &str) -> Server {
    let settings = [CHEAP, &[ONE_NAME, ("DATABASE_URL", url)]].concat();
    Server::start(folder, &settings).await
}

fn home() -> PathBuf {
    let name = format!("postgres-{:016x}", u64::from_ne_bytes(random_bytes()));
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[tokio::test]
async fn a_postgres_that_was_started_anew_changes_nothing_on_any_node() {
    let (home, folder) = (home(), folder());
    let postgres = PrivatePostgres::start(&home, &[("fsync", "off")]).await.expect("a Postgres");
    let url = postgres.url();
    let nodes = [process(&folder, &url).await, process(&folder, &url).await];
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
    let postgres = PrivatePostgres::start(&home, &[("fsync", "off")]).await.expect("the same Postgres");
    assert_eq!(postgres.url(), url);
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
    std::fs::remove_dir_all(&home).expect("nobody holds it any more");
}
