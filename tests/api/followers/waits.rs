//! Requests that wait for news: until there is some, until their time is over, or until the node stops.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Follower, asking, waiting};
use crate::nodes::{GENEROUS, sql};
use crate::oauth::FEED;
use crate::support::{
    PATIENCE,
    client::{Client, Pair},
    http::Request,
    server::{METRICS, TestServer},
};

async fn stage() -> (TestServer, Follower) {
    let server = TestServer::with(&[GENEROUS, METRICS]).await;
    let follower = Follower::up_to_date(&server).await;
    (server, follower)
}

#[tokio::test]
async fn a_request_waits_for_news_and_all_that_wait_are_told() {
    let (server, follower) = stage().await;
    let mut client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let login = client.login_id().await;
    let requests: Vec<_> = (0..20).map(|_| asking(follower.request("25"), server.address())).collect();
    waiting(&server, 20).await;
    client.logout().await.expect(204);
    for answer in join_all(requests).await {
        let answer = follower.clone().learns(answer.expect("no panic"));
        assert_eq!(
            (answer["ended"][0]["sid"].as_str(), answer["anew"].as_bool()),
            (Some(login.as_str()), Some(false))
        );
    }
    waiting(&server, 0).await;
}

#[tokio::test]
async fn a_request_that_nothing_comes_for_is_answered_when_its_time_is_over() {
    let (server, mut follower) = stage().await;
    let before = follower.cursor.clone();
    for (wait, least) in [("", 0), ("0", 0), ("0.05", 50), ("1", 1_000)] {
        let asked = Instant::now();
        let response = server.send(follower.request(wait)).await;
        assert!(asked.elapsed() >= Duration::from_millis(least), "it was not held");
        let answer = follower.learns(response);
        assert_eq!(answer["ended"].as_array().map(Vec::len), Some(0), "{wait}");
    }
    assert!(!before.is_empty());
}

#[tokio::test]
async fn a_time_to_wait_is_up_to_25_seconds() {
    let (server, follower) = stage().await;
    for wait in ["-1", "25.1", "26", "3e1", "x", "NaN"] {
        let refused = server.send(follower.request(wait)).await.problem(422, "validation_failed");
        assert_eq!(refused.pointers(), ["/wait"], "{wait}");
    }
    let twice = Request::post(FEED)
        .basic(&follower.service.id, &follower.service.secret)
        .form(&[("wait", "1"), ("wait", "1")]);
    server.send(twice).await.oauth_problem(400, "malformed_request");
}

#[tokio::test]
async fn a_node_that_stops_answers_those_that_wait() {
    let (mut server, follower) = stage().await;
    let requests: Vec<_> = (0..5).map(|_| asking(follower.request("25"), server.address())).collect();
    waiting(&server, 5).await;
    server.stop().await;
    for answer in join_all(requests).await {
        follower.clone().learns(answer.expect("no panic"));
    }
}

#[tokio::test]
async fn who_breaks_off_waits_no_longer() {
    let (server, follower) = stage().await;
    let mut stream = TcpStream::connect(server.address()).await.expect("a connection");
    stream.write_all(&follower.request("25").encode(server.address())).await.expect("it is sent");
    waiting(&server, 1).await;
    // Without this it could still read an answer, for all the server knows.
    stream.set_zero_linger().expect("a connection that is reset");
    drop(stream);
    let freed = tokio::time::timeout(PATIENCE / 4, waiting(&server, 0));
    freed.await.expect("its place is free before its time is over");
}

#[tokio::test]
async fn a_node_has_a_place_for_so_many_and_says_when_it_has_none() {
    let (server, follower) = stage().await;
    let requests: Vec<_> = (0..2_000).map(|_| asking(follower.request("25"), server.address())).collect();
    waiting(&server, 2_000).await;
    let refused = server.send(follower.request("25")).await.problem(503, "unavailable");
    assert!(refused.header("retry-after").is_some());
    // Who does not wait needs no place.
    server.send(follower.request("0")).await.ok();
    requests.iter().for_each(tokio::task::JoinHandle::abort);
    waiting(&server, 0).await;
    tokio::time::timeout(Duration::from_secs(60), server.send(follower.request("0.1")))
        .await
        .expect("in time")
        .ok();
}

#[tokio::test]
async fn a_client_that_is_deleted_while_its_request_waits_is_told_nothing() {
    let (server, follower) = stage().await;
    let request = asking(follower.request("25"), server.address());
    waiting(&server, 1).await;
    sql(&server, "delete from clients").await;
    request.await.expect("no panic").oauth_problem(401, "not_authenticated");
}
