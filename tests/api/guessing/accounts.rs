//! What one account takes, over all addresses and nodes.

use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};

use super::{BEHIND_A_PROXY, assert_limited, tries, wrong};
use crate::support::{
    DAY, SECOND,
    client::{Client, Pair},
    cluster::Database,
    http::{Request, Response},
    program::{folder, program, run},
    server::{ONE_NAME, TestServer, credentials},
};

const HOME: &str = "203.0.113.7";
const ABROAD: &str = "198.51.100.9";

/// Two nodes on one database, with a user called ada who has signed in at home before.
async fn nodes() -> [TestServer; 2] {
    let server = TestServer::with(&[BEHIND_A_PROXY, ONE_NAME]).await;
    let node = server.another_node().await;
    server.user("ada").await;
    tries(&server, HOME, &credentials("ada")).await.ok();
    [server, node]
}

/// So many guesses at an account, each from another address, many at once, by turns on both nodes.
async fn guess(nodes: &[TestServer; 2], name: &str, count: usize) -> Vec<Response> {
    let guesses = (0..count).map(|number| async move {
        let address = format!("10.{}.{}.1", number / 250, number % 250);
        tries(&nodes[number % 2], &address, &wrong(name)).await
    });
    stream::iter(guesses).buffer_unordered(16).collect().await
}

fn count(answers: &[Response], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

#[tokio::test]
async fn after_100_failures_in_a_row_only_addresses_of_its_owner_may_try() {
    let nodes = nodes().await;
    let live = Client::in_every_way(&nodes[0], "ada").await;

    let answers = guess(&nodes, "ada", 130).await;
    assert_eq!((count(&answers, 401), count(&answers, 429)), (100, 30), "of all nodes together");

    for node in &nodes {
        let wait = assert_limited(&tries(node, ABROAD, &credentials("ada")).await, "\"account\"");
        assert_eq!(wait, 30 * 86_400);
        tries(node, HOME, &credentials("ada")).await.ok();
    }
    // It is closed to strangers still: its owner's success is not theirs.
    assert_limited(&tries(&nodes[0], ABROAD, &credentials("ada")).await, "\"account\"");
    for mut client in live {
        client.at(&nodes[1]).profile().await.ok();
        client.refresh().await.ok();
    }
}

#[tokio::test]
async fn a_name_that_nobody_has_counts_like_any_other() {
    let nodes = nodes().await;
    let known = guess(&nodes, "ada", 110).await;
    let unknown = guess(&nodes, "nobody", 110).await;
    for status in [401, 429] {
        assert_eq!(count(&known, status), count(&unknown, status));
        let one = |answers: &[Response]| {
            answers.iter().find(|answer| answer.status == status).expect("one of them").but_for_the_date()
        };
        assert_eq!(one(&known), one(&unknown));
    }
    // Whatever the letter case; and a user's two names are one account.
    assert_limited(&tries(&nodes[0], ABROAD, &wrong("NoBody")).await, "\"account\"");
    assert_limited(&tries(&nodes[0], ABROAD, &wrong("Ada@example.org")).await, "\"account\"");
    // The name is not kept.
    let (kept,): (String,) = sqlx::query_as("select string_agg(guesses::text, ' ') from guesses")
        .fetch_one(&mut nodes[0].sql().await)
        .await
        .expect("the counts");
    assert!(!kept.contains("nobody") && !kept.contains(&hex(b"nobody")), "{kept}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn while_an_account_is_closed_its_owner_may_try_a_few_times_a_minute() {
    let nodes = nodes().await;
    nodes[0].clock.advance(60 * SECOND);
    guess(&nodes, "ada", 100).await;
    for (number, node) in [0, 1, 0].into_iter().enumerate() {
        let response = tries(&nodes[node], HOME, &wrong("ada")).await;
        assert_eq!(response.status, 401, "{number}: {response}");
    }
    for node in &nodes {
        assert_eq!(assert_limited(&tries(node, HOME, &credentials("ada")).await, "\"account\""), 20);
    }
    nodes[0].clock.advance(20 * SECOND);
    tries(&nodes[1], HOME, &credentials("ada")).await.ok();
}

#[tokio::test]
async fn an_owner_is_known_by_the_network_of_an_ipv6_address() {
    let nodes = nodes().await;
    let [before, now, elsewhere] = ["2001:db8:1::1", "2001:db8:1::2:3", "2001:db8:2::1"];
    tries(&nodes[0], before, &credentials("ada")).await.ok();
    guess(&nodes, "ada", 100).await;
    assert_limited(&tries(&nodes[1], elsewhere, &credentials("ada")).await, "\"account\"");
    tries(&nodes[1], now, &credentials("ada")).await.ok();
}

#[tokio::test]
async fn who_signs_in_is_forgiven_what_failed_from_the_same_address() {
    let nodes = nodes().await;
    for _ in 0..3 {
        for _ in 0..40 {
            tries(&nodes[0], HOME, &wrong("ada")).await.problem(401, "invalid_credentials");
        }
        tries(&nodes[1], HOME, &credentials("ada")).await.ok();
    }
    tries(&nodes[0], ABROAD, &credentials("ada")).await.ok();
}

#[tokio::test]
async fn many_right_passwords_at_once_are_no_failures() {
    let server = TestServer::with(&[BEHIND_A_PROXY, ("HASH_CONCURRENCY", "4")]).await;
    server.user("ada").await;
    let right = credentials("ada");
    let logins = (0..250).map(|number| {
        let (server, right) = (&server, &right);
        async move { tries(server, &format!("10.0.{number}.1"), right).await }
    });
    for response in join_all(logins).await {
        assert!([200, 503].contains(&response.status), "{response}");
    }
}

#[tokio::test]
async fn another_password_opens_the_account_again() {
    let nodes = nodes().await;
    let live = Client::signed_in(&nodes[0], Pair::JWT_BEARER, "ada").await;
    guess(&nodes, "ada", 101).await;
    // From wherever its owner is: who is signed in is no stranger.
    let new = "another lantern, another weir";
    let body = serde_json::json!({ "current_password": crate::support::PASSWORD, "new_password": new });
    let change = live.request("POST", "/account/password").header("X-Forwarded-For", ABROAD).json(&body);
    nodes[1].send(change).await.expect(204);
    let credentials = crate::support::with(credentials("ada"), "password", new);
    tries(&nodes[0], "192.0.2.1", &credentials).await.ok();
}

#[tokio::test]
async fn after_a_month_everybody_may_try_again() {
    let nodes = nodes().await;
    guess(&nodes, "ada", 100).await;
    nodes[0].clock.advance(10 * DAY);
    // What its owner gets wrong meanwhile does not put that off.
    tries(&nodes[1], HOME, &wrong("ada")).await.problem(401, "invalid_credentials");
    nodes[0].clock.advance(20 * DAY - SECOND);
    assert_eq!(assert_limited(&tries(&nodes[0], ABROAD, &credentials("ada")).await, "\"account\""), 1);
    nodes[0].clock.advance(SECOND);
    tries(&nodes[0], ABROAD, &credentials("ada")).await.ok();
    let answers = guess(&nodes, "ada", 110).await;
    assert_eq!(count(&answers, 401), 100);
}

#[tokio::test]
async fn an_operator_can_open_an_account() {
    let database = Arc::new(Database::migrated().await);
    let server = TestServer::on(database.clone(), &[BEHIND_A_PROXY, ONE_NAME]).await;
    let nodes = [server.another_node().await, server];
    nodes[0].user("ada").await;
    guess(&nodes, "ada", 100).await;
    assert_limited(&tries(&nodes[0], ABROAD, &credentials("ada")).await, "\"account\"");

    let folder = folder();
    let mut command = program(&folder, &[("DATABASE_URL", database.url().as_str())]);
    command.args(["user", "unlock", "Ada"]);
    assert!(run(command, "").await.status.success());
    tries(&nodes[0], ABROAD, &credentials("ada")).await.ok();
    let _ = std::fs::remove_dir(&folder);
}

#[tokio::test]
async fn counts_that_nobody_goes_by_are_swept_and_known_addresses_are_kept() {
    let nodes = nodes().await;
    guess(&nodes, "ada", 10).await;
    guess(&nodes, "nobody", 10).await;
    nodes[0].clock.advance(31 * DAY);
    let left = async |days: u32| {
        nodes[0].clock.advance(days * DAY);
        // A node sweeps when it starts.
        let _node = nodes[0].another_node().await;
        let mut counts = (-1_i64, -1_i64);
        crate::support::eventually("a sweep", async || {
            let before = counts;
            counts = sqlx::query_as("select (select count(*) from guesses), (select count(*) from guessers)")
                .fetch_one(&mut nodes[0].sql().await)
                .await
                .expect("the counts");
            before == counts && counts.0 == 0
        })
        .await;
        counts.1
    };
    assert_eq!(left(0).await, 1, "where its owner signed in");
    crate::support::eventually("that this is forgotten, too", async || left(365).await == 0).await;
}

#[tokio::test]
async fn a_deleted_user_leaves_no_counts() {
    let nodes = nodes().await;
    guess(&nodes, "ada", 10).await;
    let mut sql = nodes[0].sql().await;
    sqlx::query("delete from users").execute(&mut sql).await.expect("a deletion");
    let (left,): (i64,) =
        sqlx::query_as("select (select count(*) from guesses) + (select count(*) from guessers)")
            .fetch_one(&mut sql)
            .await
            .expect("the counts");
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_login_s_request_asks_for_no_more_than_it_did() {
    let (server, proxy) = TestServer::behind_a_proxy(&[]).await;
    server.user("ada").await;
    for (credentials, statements) in [(credentials("ada"), 2), (wrong("ada"), 1), (wrong("nobody"), 1)] {
        proxy.take_statements();
        server.send(Request::post("/jwt/login").json(&credentials)).await;
        assert_eq!(proxy.take_statements().of_requests().len(), statements, "{credentials}");
    }
}
