//! What a request costs in SQL, counted on its way to Postgres.

use super::{GENEROUS, PAIRS, assert_accepted};
use crate::support::{
    client::{Client, Mode, Pair},
    eventually,
    proxy::Proxy,
    server::{ONE_NAME, TestServer},
    statements::{FEED, LAST_SEEN},
};

/// A node that stays fresh, and its way to Postgres.
async fn watched(settings: &[(&str, &str)]) -> (TestServer, Proxy) {
    let settings: Vec<_> = [GENEROUS, ONE_NAME].iter().chain(settings).copied().collect();
    let (server, proxy) = TestServer::behind_a_proxy(&settings).await;
    server.user("ada").await;
    (server, proxy)
}

/// What these requests had Postgres execute, apart from the node's own upkeep.
async fn statements_of(proxy: &Proxy, requests: impl Future<Output = ()>) -> Vec<String> {
    proxy.take_statements();
    requests.await;
    proxy.take_statements().of_requests().into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn requests_are_answered_without_sql() {
    let (server, proxy) = watched(&[("LAST_SEEN_INTERVAL", "1s")]).await;
    let mut clients = Vec::new();
    for pair in PAIRS {
        let client = Client::signed_in(&server, pair, "ada").await;
        assert_accepted(&client).await;

        let requests = async {
            for _ in 0..100 {
                assert_accepted(&client).await;
            }
        };
        assert_eq!(statements_of(&proxy, requests).await, Vec::<String>::new(), "{pair:?}");
        clients.push(client);
    }
    // It is not that nothing is seen here: the node's own statements come the same way.
    let mut upkeep = [0, 0];
    eventually("a look at the feed, and a note of last use", async || {
        assert_accepted(&clients[0]).await;
        let statements = proxy.take_statements();
        upkeep = [upkeep[0] + statements.count(FEED), upkeep[1] + statements.count(LAST_SEEN)];
        upkeep[0] > 0 && upkeep[1] > 0
    })
    .await;
}

#[tokio::test]
async fn a_session_is_looked_up_once_by_each_node_that_it_comes_to() {
    let (server, proxy) = watched(&[]).await;
    let (elsewhere, other_proxy) = server.another_node_behind_a_proxy(&[]).await;
    for pair in [Pair::SESSION_COOKIE, Pair::SESSION_BEARER] {
        let client = Client::signed_in(&server, pair, "ada").await;
        for (client, proxy) in [(client.clone(), &proxy), (client.at(&elsewhere), &other_proxy)] {
            for expected in [1, 0, 0] {
                let statements = statements_of(proxy, assert_accepted(&client)).await;
                assert_eq!(statements.len(), expected, "{pair:?}: {statements:#?}");
            }
        }
    }
}

#[tokio::test]
async fn a_session_is_looked_up_each_time_where_that_is_wanted() {
    let (server, proxy) = watched(&[("SESSION_LOOKUP", "always")]).await;
    for pair in PAIRS {
        let client = Client::signed_in(&server, pair, "ada").await;
        // Three requests each.
        let expected = if pair.mode == Mode::Session { 3 } else { 0 };
        for _ in 0..2 {
            let statements = statements_of(&proxy, assert_accepted(&client)).await;
            assert_eq!(statements.len(), expected, "{pair:?}: {statements:#?}");
        }
    }
}

#[tokio::test]
async fn a_login_is_three_statements_and_a_refresh_or_a_logout_is_one() {
    let (server, proxy) = watched(&[]).await;
    for pair in PAIRS {
        let mut client = Client::new(&server, pair);
        let assert_count = |statements: Vec<String>, expected| {
            assert_eq!(statements.len(), expected, "{pair:?}: {statements:#?}");
        };

        let login = async {
            client.login(&pair.credentials("ada")).await.ok();
        };
        // Whether the account is closed is asked before a place in the queue for hashing is taken; then the try, and the login.
        assert_count(statements_of(&proxy, login).await, 3);
        for _ in 0..2 {
            client.profile().await.ok();
            let refresh = async {
                client.refresh().await.ok();
            };
            assert_count(statements_of(&proxy, refresh).await, 1);
        }
        client.profile().await.ok();
        let logout = async {
            client.logout().await.expect(204);
        };
        assert_count(statements_of(&proxy, logout).await, 1);
    }
}

#[tokio::test]
async fn the_session_used_least_recently_makes_room() {
    let (server, proxy) = watched(&[("SESSION_CACHE_SIZE", "3")]).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await);
    }
    let cost = async |client: &Client| {
        let request = async {
            client.profile().await.ok();
        };
        statements_of(&proxy, request).await.len()
    };

    for client in &clients {
        assert_eq!(cost(client).await, 1, "it was not known yet");
    }
    for client in &clients[1..] {
        assert_eq!(cost(client).await, 0, "it was used lately");
    }
    assert_eq!(cost(&clients[1]).await, 0);
    assert_eq!(cost(&clients[0]).await, 1, "it had made room");
    // Then it was the turn of the third, since the second had been used again.
    assert_eq!([cost(&clients[1]).await, cost(&clients[3]).await, cost(&clients[0]).await], [0, 0, 0]);
    assert_eq!(cost(&clients[2]).await, 1, "it had made room");
}
