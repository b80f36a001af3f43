//! What a service is told while Postgres is away.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustix::process::Signal;
use tokio::time::sleep_until;

use super::{INTROSPECT, Service, inactive};
use crate::nodes::BOUND;
use crate::support::{
    client::{Client, Mode, Pair},
    cluster::Database,
    eventually,
    http::Request,
    program::{Server, folder},
    proxy::Proxy,
    server::{CHEAP, ONE_NAME, TestServer},
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
    nodes.service.is_deleted(nodes.server.sql().await).await;
    // Nobody has told this node otherwise.
    nodes.service.asks(&nodes.alone, "nothing").await.ok();
    nodes.is_found().await;
    nodes.service.asks(&nodes.alone, "nothing").await.oauth_problem(401, "invalid_credentials");
}

/// It is asked in its sleep, so that nothing it does on waking comes before the first answers.
#[tokio::test]
async fn a_node_that_was_asleep_looks_before_it_listens_to_a_service() {
    let database = Database::migrated().await;
    let settings = [CHEAP, &[("DATABASE_URL", database.url().as_str())]].concat();
    let folder = folder();
    let node = Server::start(&folder, &settings).await;
    for _ in 0..5 {
        let gone = Service::registered_in(database.connect().await).await;
        let kept = Service::registered_in(database.connect().await).await;
        for service in [&gone, &kept] {
            assert_eq!(node.send(service.request(INTROSPECT, "nothing")).await.ok(), inactive());
        }

        node.signal(Signal::STOP);
        gone.is_deleted(database.connect().await).await;
        sleep_until((Instant::now() + BOUND).into()).await;
        let asked = [&gone, &kept].map(|service| {
            let (request, address) = (service.request(INTROSPECT, "nothing"), node.address());
            tokio::spawn(async move { request.send(address).await })
        });
        // The requests are on their way before it wakes.
        sleep_until((Instant::now() + Duration::from_millis(200)).into()).await;
        node.signal(Signal::CONT);

        let answers: Vec<_> =
            join_all(asked).await.into_iter().map(|answer| answer.expect("an answer")).collect();
        assert_ne!(answers[0].status, 200, "{}", answers[0]);
        assert_ne!(answers[1].status, 401, "{}", answers[1]);
    }
    assert!(node.terminate().await.success());
}
