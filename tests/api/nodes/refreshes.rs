//! Refreshes of one refresh token on several nodes at once.

use std::collections::BTreeSet;
use std::time::Instant;

use futures_util::future::join_all;
use serde_json::json;

use super::{assert_accepted, assert_refused_in_time, two_nodes};
use crate::support::{
    SECOND,
    client::{Client, Pair},
    http::Request,
};

#[tokio::test]
async fn fifty_refreshes_at_once_agree_and_sign_nobody_out() {
    let (server, elsewhere) = two_nodes(&[]).await;
    server.user("ada").await;
    for pair in [Pair::JWT_COOKIE, Pair::JWT_BEARER] {
        let first = Client::signed_in(&server, pair, "ada").await;

        let refreshes = (0..50).map(async |number| {
            let mut client = first.at(if number % 2 == 0 { &server } else { &elsewhere });
            client.refresh().await.ok();
            client
        });
        let renewed = join_all(refreshes).await;

        let successors: BTreeSet<_> = renewed.iter().map(Client::renewal).collect();
        assert_eq!(successors.len(), 1);
        assert_ne!(successors.first(), Some(&first.renewal()));
        for client in &renewed {
            client.at(&server).profile().await.ok();
            client.at(&elsewhere).profile().await.ok();
        }

        let mut next = renewed[0].at(&elsewhere);
        next.refresh().await.ok();
        assert_accepted(&next.at(&server)).await;
    }
}

#[tokio::test]
async fn a_refresh_token_used_again_after_the_grace_ends_the_login_on_every_node() {
    let (server, elsewhere) = two_nodes(&[("REFRESH_GRACE", "30s")]).await;
    server.user("ada").await;
    for pair in [Pair::JWT_COOKIE, Pair::JWT_BEARER] {
        let first = Client::signed_in(&server, pair, "ada").await;
        let mut next = first.clone();
        next.refresh().await.ok();
        for client in [&next, &next.at(&elsewhere)] {
            assert_accepted(client).await;
        }
        server.clock.advance(31 * SECOND);

        let again = Request::post("/jwt/refresh").json(&json!({ "refresh_token": first.renewal() }));
        elsewhere.send(again).await.problem(401, "refresh_token_reused");
        let acknowledged = Instant::now();

        for client in [&next, &first] {
            assert_refused_in_time(&client.at(&server), acknowledged).await;
            assert_refused_in_time(&client.at(&elsewhere), acknowledged).await;
        }
        next.refresh().await.problem(401, "token_revoked");
    }
}
