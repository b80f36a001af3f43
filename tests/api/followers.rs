//! What services that verify access tokens by themselves are told: every revocation, once it is committed, by any node.

mod answers;
mod cursors;
mod many;
mod outages;
mod services;
mod waits;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use crate::oauth::{FEED, Service};
use crate::support::{
    assert_members, eventually,
    http::{Request, Response},
    server::TestServer,
    text, time,
};

/// A service that follows as the contract says.
#[derive(Clone)]
struct Follower {
    service: Service,
    cursor: String,
    /// Ended logins, each with when that may be forgotten.
    ended: BTreeMap<String, String>,
    /// The roles of changed users.
    roles: BTreeMap<String, Value>,
}

impl Follower {
    async fn of(server: &TestServer) -> Self {
        let service = Service::registered(server).await;
        // That is news, too: a node knows the service a moment before it has taken in the rest of what it read.
        server.send(Request::get("/.well-known/jwks.json?current=1")).await.expect(200);
        Self { service, cursor: String::new(), ended: BTreeMap::new(), roles: BTreeMap::new() }
    }

    /// The same, that has been told everything so far.
    async fn up_to_date(server: &TestServer) -> Self {
        let mut follower = Self::of(server).await;
        follower.catches_up(server).await;
        follower
    }

    fn request(&self, wait: &str) -> Request {
        let form = [("cursor", self.cursor.as_str()), ("wait", wait)];
        Request::post(FEED).basic(&self.service.id, &self.service.secret).form(&form)
    }

    /// Takes in an answer.
    fn learns(&mut self, response: Response) -> Value {
        let answer = response.not_stored().ok();
        assert_members(&answer, &["cursor", "anew", "more", "age_ms", "ended", "roles", "keys_changed"]);
        if answer["anew"] == true {
            self.ended.clear();
            self.roles.clear();
        }
        for login in answer["ended"].as_array().expect("a list") {
            time(&login["until"]);
            self.ended.insert(text(&login["sid"]).to_owned(), text(&login["until"]).to_owned());
        }
        for user in answer["roles"].as_array().expect("a list") {
            time(&user["until"]);
            self.roles.insert(text(&user["sub"]).to_owned(), user["roles"].clone());
        }
        text(&answer["cursor"]).clone_into(&mut self.cursor);
        answer
    }

    /// Asks without waiting for anything.
    async fn asks(&mut self, server: &TestServer) -> Value {
        let response = server.send(self.request("0")).await;
        self.learns(response)
    }

    /// The same, with what else this node has to say; and how many answers that took.
    async fn catches_up(&mut self, server: &TestServer) -> usize {
        for answers in 1.. {
            if self.asks(server).await["more"] == false {
                return answers;
            }
        }
        unreachable!("a last one")
    }

    /// Asks, and waits for news.
    async fn waits(&mut self, server: &TestServer) -> Value {
        let response = server.send(self.request("25")).await;
        self.learns(response)
    }

    /// Waits until it is told of the end of this login, which may need other nodes to be told first.
    async fn hears_of(&mut self, server: &TestServer, login: &str) {
        eventually("the end of a login", async || {
            let response = self.request("1").send(server.address()).await;
            if response.status == 200 {
                self.learns(response);
            }
            self.ended.contains_key(login)
        })
        .await;
    }
}

/// Asks in the background, and gives the answer when it comes.
fn asking(request: Request, to: SocketAddr) -> tokio::task::JoinHandle<Response> {
    tokio::spawn(async move { request.send(to).await })
}

/// Waits until this many requests wait at a server with [`METRICS`](crate::support::server::METRICS).
async fn waiting(server: &TestServer, count: usize) {
    eventually("requests that wait", async || {
        server.metric("dualauth_revocation_followers").await == count as f64
    })
    .await;
}
