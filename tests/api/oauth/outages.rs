//! What a service is told while Postgres is away.

use std::time::Instant;

use tokio::time::sleep_until;

use super::{Service, inactive};
use crate::nodes::BOUND;
use crate::support::{
    client::{Client, Mode, Pair},
    eventually,
    http::Request,
    proxy::Proxy,
    server::{ONE_NAME, TestServer},
};

const PAIRS: [Pair; 3] = [Pair::SESSION_BEARER, Pair::JWT_BEARER, Pair::JWT_COOKIE];

/// A node that loses its Postgres while another has it.
struct CutOff {
    server: TestServer,
    alone: TestServer,
    proxy: Proxy,
    service: Service,
    clients: Vec<Client>,
}

impl CutOff {
    async fn new(when_stale: &str) -> Self {
        let server = TestServer::with(&[ONE_NAME, ("JWT_WHEN_STALE", when_stale)]).await;
        let (alone, proxy) = server.another_node_behind_a_proxy(&[]).await;
        server.user("ada").await;
        let service = Service::registered(&server).await;
        let mut clients = Vec::new();
        for pair in PAIRS {
            let client = Client::signed_in(&server, pair, "ada").await;
            assert_eq!(service.is_told(&alone, &client.credential()).await["active"], true);
            clients.push(client);
        }
        Self { server, alone, proxy, service, clients }
    }

    async fn is_lost(&self) {
        self.proxy.go_away();
        sleep_until((Instant::now() + 2 * BOUND).into()).await;
    }

    async fn is_found(&self) {
        self.proxy.come_back();
        eventually("a node that is ready", async || {
            self.alone.send(Request::get("/health/ready")).await.status == 200
        })
        .await;
    }
}

#[tokio::test]
async fn without_postgres_a_service_is_told_what_its_users_would_be() {
    for when_stale in ["serve", "refuse"] {
        let nodes = CutOff::new(when_stale).await;
        nodes.is_lost().await;
        for client in &nodes.clients {
            let response = nodes.service.asks(&nodes.alone, &client.credential()).await;
            if client.pair.mode == Mode::Jwt && when_stale == "serve" {
                assert_eq!(response.ok()["active"], true);
            } else {
                response.oauth_problem(503, "unavailable");
            }
        }
        // That this is none of ours is known without asking anybody.
        assert_eq!(nodes.service.is_told(&nodes.alone, "nothing").await, inactive());

        nodes.is_found().await;
        for client in &nodes.clients {
            assert_eq!(nodes.service.is_told(&nodes.alone, &client.credential()).await["active"], true);
        }
    }
}

#[tokio::test]
async fn without_postgres_no_revocation_is_acknowledged() {
    for when_stale in ["serve", "refuse"] {
        let nodes = CutOff::new(when_stale).await;
        nodes.is_lost().await;
        for client in &nodes.clients {
            for token in [client.credential(), client.renewal()] {
                nodes.service.revokes(&nodes.alone, &token).await.oauth_problem(503, "unavailable");
            }
            client.profile().await.ok();
        }
        nodes.is_found().await;
        for client in &nodes.clients {
            nodes.service.revokes(&nodes.alone, &client.credential()).await.expect(200);
            client.at(&nodes.alone).assert_refused(client.pair.mode.ended()).await;
        }
    }
}

#[tokio::test]
async fn without_postgres_nobody_who_may_be_a_service_is_told_that_it_is_none() {
    let nodes = CutOff::new("serve").await;
    nodes.is_lost().await;
    let newcomer = Service::registered(&nodes.server).await;
    let mistaken = Service { secret: newcomer.secret.clone(), ..nodes.service.clone() };
    for service in [&newcomer, &mistaken] {
        service.asks(&nodes.alone, "nothing").await.oauth_problem(503, "unavailable");
        service.revokes(&nodes.alone, "nothing").await.oauth_problem(503, "unavailable");
    }
    assert_eq!(newcomer.is_told(&nodes.server, "nothing").await, inactive());

    nodes.is_found().await;
    assert_eq!(newcomer.is_told(&nodes.alone, "nothing").await, inactive());
    mistaken.asks(&nodes.alone, "nothing").await.oauth_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn a_service_that_was_deleted_during_an_outage_is_refused_after_it() {
    let nodes = CutOff::new("serve").await;
    nodes.is_lost().await;
    nodes.service.is_deleted(&nodes.server).await;
    // Nobody has told this node otherwise.
    nodes.service.asks(&nodes.alone, "nothing").await.ok();
    nodes.is_found().await;
    nodes.service.asks(&nodes.alone, "nothing").await.oauth_problem(401, "invalid_credentials");
}
