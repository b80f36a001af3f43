//! Several nodes on one database, and what breaks between them. Throughout, one rule: no credential is accepted later
//! than the bound after its end was acknowledged, and no live one is refused. 503 is no refusal.

mod ends;
mod notifications;
mod order;
mod outages;
mod plans;
mod refreshes;
mod renames;
mod restart;
mod rings;
mod statements;
mod step_ups;
mod tabs;
mod time;
mod upkeep;
mod walk;

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection};

use crate::support::{
    SECOND,
    client::{Client, Pair},
    eventually,
    server::{ONE_NAME, TestServer},
};

const PAIRS: [Pair; 4] = [Pair::SESSION_COOKIE, Pair::SESSION_BEARER, Pair::JWT_COOKIE, Pair::JWT_BEARER];

/// `STALENESS_BOUND` where the test sets no other.
pub const BOUND: Duration = SECOND;

/// A bound within which the slowest machine looks at the feed: who tests what a fresh node does wants it fresh.
pub const GENEROUS: (&str, &str) = ("STALENESS_BOUND", "60s");

pub async fn two_nodes(settings: &[(&str, &str)]) -> (TestServer, TestServer) {
    let settings: Vec<_> = [ONE_NAME].iter().chain(settings).copied().collect();
    let server = TestServer::with(&settings).await;
    let other = server.another_node().await;
    (server, other)
}

/// Runs statements past every node.
pub async fn sql(server: &TestServer, statements: &str) {
    let mut connection = server.sql().await;
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await.expect("statements that run");
    connection.close().await.expect("a connection that can be closed");
}

/// Asserts that this credential, whose end was acknowledged then, is refused in time, and for good.
pub async fn assert_refused_in_time(client: &Client, acknowledged: Instant) {
    eventually("a refusal", async || {
        let sent = Instant::now();
        let response = client.profile().await;
        let late = sent.saturating_duration_since(acknowledged + BOUND);
        assert!(response.status != 200 || late.is_zero(), "{:?} past the bound: {response}", late);
        response.status == 401
    })
    .await;
    assert_everywhere(client, 401).await;
}

/// Asserts that it is good for everything.
pub async fn assert_accepted(client: &Client) {
    assert_everywhere(client, 200).await;
}

/// Asserts what a node says of this credential that knows of it. One that was kept from looking at the feed, by a
/// busy machine, says that it does not know: it is asked again.
async fn assert_everywhere(client: &Client, status: u16) {
    for path in [&client.path("profile"), "/profile", "/verify"] {
        eventually("a node that knows", async || {
            let response = client.get(path).await;
            response.status != 503 && {
                response.expect(status);
                true
            }
        })
        .await;
    }
}
