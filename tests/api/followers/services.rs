//! Another service, which is a process of its own: it refuses what has ended in time, and never what has not; when it can't know, it
//! says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::json;

use crate::nodes::BOUND;
use crate::oauth::Service;
use crate::support::{
    PASSWORD,
    client::{Client, Pair},
    cluster::Database,
    eventually,
    http::Request,
    other_service::OtherService,
    program::{Server, folder, program, run},
    proxy::Proxy,
    server::{CHEAP, ONE_NAME, registration},
    signer, text,
};

/// What the way of a refusal may take beyond the bound.
const MARGIN: Duration = Duration::from_millis(100);

const SETTINGS: [(&str, &str); 3] = [ONE_NAME, ("JWT_ALGORITHM", "EdDSA"), ("JWT_WHEN_STALE", "refuse")];

struct Stage {
    database: Arc<Database>,
    client: Service,
}

impl Stage {
    async fn set() -> Self {
        let database = Arc::new(Database::migrated().await);
        let client = Service::registered_in(database.connect().await).await;
        Self { database, client }
    }

    async fn node(&self) -> Server {
        self.node_at(self.database.url().as_str(), "127.0.0.1:0").await
    }

    async fn node_at(&self, url: &str, listen: &str) -> Server {
        let settings = [("DATABASE_URL", url), ("LISTEN", listen)];
        Server::start(&folder(), &[CHEAP, &SETTINGS, &settings].concat()).await
    }

    /// What an operator does, with the settings of the nodes.
    async fn command(&self, words: &[&str]) {
        let settings = [CHEAP, &SETTINGS, &[("DATABASE_URL", self.database.url().as_str())]].concat();
        let mut command = program(&folder(), &settings);
        command.args(words);
        let output = run(command, "").await;
        assert!(output.status.success(), "{words:?}: {output:?}");
    }

    async fn service(&self, node: &Server, settings: &[(&str, &str)]) -> OtherService {
        OtherService::following(node.address(), &self.client, settings).await
    }
}

/// Somebody new, with a token.
async fn signed_in(node: &Server, name: &str) -> Client {
    node.send(Request::post("/session/register").json(&registration(name))).await.expect(201);
    another(node, name).await
}

async fn another(node: &Server, name: &str) -> Client {
    let mut client = Client::at_address(node.address(), Pair::JWT_BEARER);
    client.login(&Pair::JWT_BEARER.credentials(name)).await.ok();
    client
}

/// Asserts that a service refuses a token in time whose end was acknowledged then, with this code.
async fn refused_in_time(service: &OtherService, token: &str, acknowledged: Instant, code: &str) {
    eventually("a refusal", async || {
        let sent = Instant::now();
        let response = service.me(token).await;
        let late = sent.saturating_duration_since(acknowledged + BOUND + MARGIN);
        assert!(response.status != 200 || late.is_zero(), "{late:?} past the bound: {response}");
        // A service that was kept from asking, by a busy machine, says that it does not know.
        response.status == 401 && {
            assert_eq!(response.json()["code"], code);
            true
        }
    })
    .await;
}

async fn accepted(service: &OtherService, token: &str) {
    eventually("an answer", async || {
        let response = service.me(token).await;
        response.status != 503 && {
            response.expect(200);
            true
        }
    })
    .await;
}

/// The service follows one node, and everything happens at another.
#[tokio::test]
async fn whatever_ends_a_token_ends_it_for_another_service_in_time() {
    let stage = Stage::set().await;
    let (node, followed) = (stage.node().await, stage.node().await);
    let service = stage.service(&followed, &[]).await;
    let password = json!({ "current_password": PASSWORD, "new_password": "a slow heron beneath the weir" });
    let post = async |client: &Client, path: &str| {
        node.send(client.request("POST", path)).await.expect(204);
    };
    for cause in ["logout", "logout-all", "password", "disabled", "deleted", "roles", "key"] {
        let victim = signed_in(&node, cause).await;
        let (other, token) = (another(&node, cause).await, victim.credential());
        accepted(&service, &token).await;
        let mut code = "token_revoked";
        match cause {
            "logout" => post(&victim, "/jwt/logout").await,
            "logout-all" => post(&other, "/jwt/logout-all").await,
            "password" => {
                let change = other.request("POST", "/account/password").json(&password);
                drop(node.send(change).await.expect(204));
            }
            "disabled" => stage.command(&["user", "disable", cause]).await,
            "deleted" => stage.command(&["user", "delete", cause]).await,
            "roles" => stage.command(&["user", "role", "add", cause, "editor"]).await,
            _ => {
                stage.command(&["keys", "rotate"]).await;
                stage.command(&["keys", "retire", text(&signer::part(&token, 0)["kid"])]).await;
                code = "invalid_token";
            }
        }
        refused_in_time(&service, &token, Instant::now(), code).await;
        if ["logout", "password"].contains(&cause) {
            accepted(&service, &other.credential()).await;
        }
    }
    let living = signed_in(&node, "grace").await;
    accepted(&service, &living.credential()).await;
    // It asked many times, which is nothing to read of.
    eventually("a line", async || followed.output().contains("/.well-known/jwks.json")).await;
    assert!(!followed.output().contains("/jwt/feed"), "{}", followed.output());
}

/// It says that it does not know, or goes on with what it knew, as it is set; and is told everything afterwards.
#[tokio::test]
async fn a_service_that_is_cut_off_refuses_or_serves_as_it_is_set_and_catches_up() {
    let stage = Stage::set().await;
    let node = stage.node().await;
    let way = Proxy::before(&format!("postgres://nobody@{}/", node.address()).parse().expect("a URL")).await;
    let way_address = way.url().socket_addrs(|| None).expect("an address")[0];
    let follow = async |settings| OtherService::following(way_address, &stage.client, settings).await;
    let refusing = follow(&[]).await;
    let serving = follow(&[("DUALAUTH_WHEN_STALE", "serve")]).await;
    let [mut early, mut late, staying] =
        [signed_in(&node, "ada").await, another(&node, "ada").await, another(&node, "ada").await];
    let early_token = early.credential();
    early.logout().await.expect(204);
    for service in [&refusing, &serving] {
        refused_in_time(service, &early_token, Instant::now(), "token_revoked").await;
    }
    for silent in [false, true] {
        let late_token = late.credential();
        if silent {
            way.fall_silent()
        } else {
            way.cut().await
        };
        late.logout().await.expect(204);
        let acknowledged = Instant::now();
        for service in [&refusing, &serving] {
            service.is_to_be_fresh(false).await;
        }
        refusing.me(&late_token).await.problem(503, "unavailable");
        refusing.me(&staying.credential()).await.problem(503, "unavailable");
        serving.me(&staying.credential()).await.expect(200);
        serving.me(&early_token).await.problem(401, "token_revoked");
        way.cut().await;
        way.come_back();
        for service in [&refusing, &serving] {
            service.is_to_be_fresh(true).await;
            refused_in_time(service, &late_token, acknowledged, "token_revoked").await;
            accepted(service, &staying.credential()).await;
        }
        late = another(&node, "ada").await;
    }
}

/// A node that is killed takes nothing with it: what it told is in the cursor, and the rest in Postgres.
#[tokio::test]
async fn a_service_whose_node_was_killed_goes_on_at_the_next() {
    let stage = Stage::set().await;
    let (node, mut followed) = (stage.node().await, stage.node().await);
    let (service, address) = (stage.service(&followed, &[]).await, followed.address().to_string());
    let staying = signed_in(&node, "ada").await;
    for _ in 0..2 {
        let mut leaving = another(&node, "ada").await;
        let token = leaving.credential();
        accepted(&service, &token).await;
        followed.signal(Signal::KILL);
        followed.child.wait().await.expect("it ends");
        leaving.logout().await.expect(204);
        let acknowledged = Instant::now();
        service.is_to_be_fresh(false).await;
        service.me(&token).await.problem(503, "unavailable");
        followed = stage.node_at(stage.database.url().as_str(), &address).await;
        service.is_to_be_fresh(true).await;
        refused_in_time(&service, &token, acknowledged, "token_revoked").await;
        accepted(&service, &staying.credential()).await;
    }
}

/// A node that can't read the feed tells its followers nothing, so they know that they don't know.
#[tokio::test]
async fn a_service_whose_node_is_behind_does_not_take_its_word_for_news() {
    let stage = Stage::set().await;
    let node = stage.node().await;
    let proxy = Proxy::in_front_of(&stage.database).await;
    let behind = stage.node_at(proxy.url().as_str(), "127.0.0.1:0").await;
    let service = stage.service(&behind, &[]).await;
    let (mut leaving, staying) = (signed_in(&node, "ada").await, another(&node, "ada").await);
    let token = leaving.credential();
    accepted(&service, &token).await;
    proxy.fall_silent();
    leaving.logout().await.expect(204);
    let acknowledged = Instant::now();
    let tokens = [token.clone(), staying.credential()];
    join_all(tokens.iter().map(async |token| {
        eventually("a service that does not know", async || {
            let sent = Instant::now();
            let response = service.me(token).await;
            let late = sent.saturating_duration_since(acknowledged + BOUND + MARGIN);
            assert!(response.status != 200 || late.is_zero(), "{late:?} past the bound: {response}");
            response.status == 503
        })
        .await;
    }))
    .await;
    proxy.cut().await;
    proxy.come_back();
    service.is_to_be_fresh(true).await;
    refused_in_time(&service, &token, acknowledged, "token_revoked").await;
    accepted(&service, &staying.credential()).await;
}
