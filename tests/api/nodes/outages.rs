//! A Postgres that is away, or says nothing, for one node of two.

use std::time::Instant;

use futures_util::future::join_all;
use tokio::time::{sleep_until, timeout};

use super::{BOUND, PAIRS, assert_accepted, assert_refused_in_time};
use crate::support::{
    PATIENCE,
    client::{Client, Mode, Pair},
    eventually,
    http::{Request, Response},
    proxy::Proxy,
    server::{ONE_NAME, TestServer},
};

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
    // So few that two outages would take them all.
    let (server, proxy) = TestServer::behind_a_proxy(&[("DATABASE_MAX_CONNECTIONS", "4")]).await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    for _ in 0..2 {
        // So many that they use every connection.
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
