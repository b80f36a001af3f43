//! Refreshes on several nodes at once.

use std::collections::BTreeSet;
use std::time::Instant;

use futures_util::future::join_all;
use serde_json::json;

use super::{GENEROUS, PAIRS, assert_accepted, assert_refused_in_time, two_nodes};
use crate::support::{
    SECOND,
    client::{Client, Pair},
    http::Request,
    proxy::Proxy,
    server::{ONE_NAME, TestServer},
};

#[tokio::test]
async fn fifty_refreshes_at_once_agree_and_sign_nobody_out() {
    let (server, elsewhere) = two_nodes(&[]).await;
    server.user("ada").await;
    for pair in PAIRS {
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

/// What a client held before each of so many refreshes, and after the last.
async fn generations(mut client: Client, refreshes: usize) -> Vec<Client> {
    let mut held = vec![client.clone()];
    for _ in 0..refreshes {
        client.refresh().await.ok();
        held.push(client.clone());
    }
    held
}

#[tokio::test]
async fn tabs_that_show_several_generations_at_once_are_not_signed_out() {
    let (server, elsewhere) = two_nodes(&[]).await;
    server.user("ada").await;
    for pair in PAIRS {
        for _ in 0..4 {
            let held = generations(Client::signed_in(&server, pair, "ada").await, 2).await;

            let refreshes = (0..16).map(async |tab| {
                let mut client = held[tab % 3].at(if tab % 2 == 0 { &server } else { &elsewhere });
                client.refresh().await.ok();
                client.profile().await.ok();
                client
            });
            let renewed = join_all(refreshes).await;

            // Some came before one of them moved it on.
            let given: BTreeSet<_> = renewed.iter().map(Client::renewal).collect();
            assert!(given.len() <= 2, "{pair:?}: {given:?}");
            let mut last: BTreeSet<_> = BTreeSet::new();
            for client in held.iter().chain(&renewed) {
                let mut client = client.at(&elsewhere);
                client.refresh().await.ok();
                last.insert(client.renewal());
            }
            assert!(last.len() <= 2, "{pair:?}: {last:?}");
        }
    }
}

/// A node, and another one whose way to Postgres is watched.
async fn watched(settings: &[(&str, &str)]) -> (TestServer, TestServer, Proxy) {
    let settings: Vec<_> = [GENEROUS, ONE_NAME].iter().chain(settings).copied().collect();
    let server = TestServer::with(&settings).await;
    let (elsewhere, proxy) = server.another_node_behind_a_proxy(&[]).await;
    server.user("ada").await;
    (server, elsewhere, proxy)
}

#[tokio::test]
async fn a_session_id_that_was_replaced_elsewhere_is_judged_from_memory() {
    let (server, elsewhere, proxy) = watched(&[]).await;
    for pair in [Pair::SESSION_COOKIE, Pair::SESSION_BEARER] {
        let first = Client::signed_in(&server, pair, "ada").await;
        first.at(&elsewhere).profile().await.ok();
        let held: Vec<_> = generations(first, 2).await.iter().map(|held| held.at(&elsewhere)).collect();
        let status = async |client: &Client| {
            let response = client.profile().await;
            (response.status, proxy.take_statements().of_requests().len())
        };
        // What it acknowledges it has looked at the feed for: by then it knows of both refreshes.
        Client::signed_in(&elsewhere, pair, "ada").await.logout().await.expect(204);
        held[2].profile().await.ok();
        proxy.take_statements();

        for client in held.iter().rev().chain(&held) {
            assert_eq!(status(client).await, (200, 0), "{pair:?}");
        }
        server.clock.advance(31 * SECOND);
        assert_eq!([status(&held[2]).await, status(&held[0]).await], [(200, 0), (401, 0)], "{pair:?}");
        assert_eq!(status(&held[1]).await, (401, 0), "{pair:?}");
        held[1].assert_refused("session_expired").await;
        assert_eq!(status(&held[2]).await, (200, 0), "{pair:?}");
    }
}

#[tokio::test]
async fn a_session_id_that_was_replaced_dies_with_its_login() {
    for settings in [&[][..], &[("SESSION_LOOKUP", "always")]] {
        let (server, elsewhere) = two_nodes(settings).await;
        server.user("ada").await;
        for pair in [Pair::SESSION_COOKIE, Pair::SESSION_BEARER] {
            let held = generations(Client::signed_in(&server, pair, "ada").await, 2).await;
            for client in &held {
                assert_accepted(&client.at(&elsewhere)).await;
            }
            held[0].clone().logout().await.expect(204);
            let acknowledged = Instant::now();

            for client in &held {
                assert_refused_in_time(client, acknowledged).await;
                assert_refused_in_time(&client.at(&elsewhere), acknowledged).await;
            }
        }
    }
}

#[tokio::test]
async fn a_node_that_was_not_shown_the_new_session_id_hears_of_it() {
    let (server, elsewhere) = two_nodes(&[]).await;
    server.user("ada").await;
    for pair in [Pair::SESSION_COOKIE, Pair::SESSION_BEARER] {
        let first = Client::signed_in(&server, pair, "ada").await;
        assert_accepted(&first.at(&elsewhere)).await;
        first.clone().refresh().await.ok();
        let acknowledged = Instant::now();
        server.clock.advance(30 * SECOND);

        assert_refused_in_time(&first, acknowledged).await;
        assert_refused_in_time(&first.at(&elsewhere), acknowledged).await;
    }
}

#[tokio::test]
async fn where_sessions_are_always_looked_up_a_replaced_id_is_judged_alike() {
    let (server, elsewhere) = two_nodes(&[("SESSION_LOOKUP", "always")]).await;
    server.user("ada").await;
    for pair in [Pair::SESSION_COOKIE, Pair::SESSION_BEARER] {
        let first = Client::signed_in(&server, pair, "ada").await;
        let mut current = first.clone();
        current.refresh().await.ok();
        for client in [&first, &current] {
            assert_accepted(&client.at(&elsewhere)).await;
        }
        server.clock.advance(30 * SECOND);
        first.at(&elsewhere).assert_refused("session_expired").await;
        current.at(&elsewhere).assert_goes_on().await;
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
