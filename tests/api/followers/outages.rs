//! A node that does not know enough itself says so, and one that is behind takes nothing back.

use serde_json::Value;

use super::{Follower, asking, waiting};
use crate::nodes::{BOUND, two_nodes};
use crate::support::{
    client::{Client, Pair},
    eventually,
    http::Connection,
    server::{METRICS, ONE_NAME, TestServer},
};

/// A node that can't read the feed answers with what it knows as long as that is fresh, and then not at all.
#[tokio::test]
async fn a_node_that_is_not_fresh_answers_nothing_and_those_that_wait_are_told_so() {
    let (server, proxy) = TestServer::behind_a_proxy(&[METRICS]).await;
    let mut follower = Follower::up_to_date(&server).await;
    let request = asking(follower.request("25"), server.address());
    waiting(&server, 1).await;
    proxy.go_away();
    proxy.cut().await;
    request.await.expect("no panic").problem(503, "unavailable");
    // Another node may answer: a connection that stays would lead to this one.
    let mut connection = Connection::open(server.address()).await;
    let refused = connection.send(&follower.request("0")).await.problem(503, "unavailable");
    assert_eq!(refused.header("connection"), Some("close"));
    proxy.come_back();
    eventually("a node that is back", async || {
        let response = server.send(follower.request("0")).await;
        response.status == 200 && {
            let answer = follower.learns(response);
            assert!(
                answer["age_ms"].as_u64().is_some_and(|age| u128::from(age) <= BOUND.as_millis()),
                "{answer}"
            );
            true
        }
    })
    .await;
}

/// What another node told stays told, and what that one has read meanwhile is told once.
#[tokio::test]
async fn a_node_that_is_behind_says_how_old_its_knowledge_is_and_takes_nothing_back() {
    let generous = ("STALENESS_BOUND", "60s");
    let server = TestServer::with(&[ONE_NAME, generous]).await;
    let (behind, proxy) = server.another_node_behind_a_proxy(&[]).await;
    let mut client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let login = client.login_id().await;
    let mut follower = Follower::up_to_date(&server).await;
    follower.asks(&behind).await;
    proxy.fall_silent();
    client.logout().await.expect(204);
    follower.asks(&server).await;
    assert!(follower.ended.contains_key(&login));

    let of_both: [Value; 2] = [follower.clone().asks(&behind).await, follower.asks(&behind).await];
    for answer in &of_both {
        assert_eq!(
            (answer["anew"].as_bool(), answer["ended"].as_array().map(Vec::len)),
            (Some(false), Some(0))
        );
    }
    assert!(follower.ended.contains_key(&login));
    let answer = follower.asks(&server).await;
    assert_eq!(answer["ended"].as_array().map(Vec::len), Some(0), "it was told: {answer}");
    proxy.come_back();
}

#[tokio::test]
async fn a_follower_of_two_nodes_hears_of_every_end_while_one_is_cut_off() {
    let (server, _) = two_nodes(&[]).await;
    let (node, proxy) = server.another_node_behind_a_proxy(&[]).await;
    let mut follower = Follower::up_to_date(&server).await;
    for number in 0..6 {
        if number % 2 == 0 {
            proxy.go_away()
        } else {
            proxy.come_back()
        }
        proxy.cut().await;
        let mut client = Client::of_new_user(&server, Pair::JWT_BEARER, &format!("person-{number}")).await;
        let login = client.login_id().await;
        client.logout().await.expect(204);
        for asked in [&node, &server] {
            let response = asked.send(follower.request("0")).await;
            if response.status == 200 {
                assert_eq!(follower.learns(response)["anew"], false);
            }
        }
        follower.hears_of(&server, &login).await;
    }
}
