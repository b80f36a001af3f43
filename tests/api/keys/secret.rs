//! What keys are sealed under, and what becomes of them when that changes.

use dualauth::{
    audit::Actor,
    jwt::{KeyState, KeysError},
};
use futures_util::future::join_all;
use serde_json::json;

use super::{kid, list, operator, operator_with, the};
use crate::support::{
    client::{Client, Pair},
    eventually,
    http::Request,
    program::{folder, program, run, text},
    server::{APP_SECRET, CHEAP, ONE_NAME, TestServer},
};

const OTHER: &str = "another secret, of 32 bytes and more too";

/// What the database has of private halves.
async fn sealed(server: &TestServer) -> Vec<Vec<u8>> {
    sqlx::query_scalar("select private_key from signing_keys where private_key is not null order by kid")
        .fetch_all(&mut server.sql().await)
        .await
        .expect("keys")
}

/// What the program complains of that does not start on this database.
async fn refusal(server: &TestServer, settings: &[(&str, &str)]) -> String {
    let folder = folder();
    let own = [CHEAP, &[("DATABASE_URL", server.database_url().as_str())], settings].concat();
    let mut program = program(&folder, &own);
    // As with a server in process, an empty value unsets one.
    for (name, _) in settings.iter().filter(|(_, value)| value.is_empty()) {
        program.env_remove(name);
    }
    let output = run(program, "").await;
    std::fs::remove_dir(&folder).expect("an empty folder");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    text(&output.stderr)
}

#[tokio::test]
async fn private_halves_are_sealed() {
    for algorithm in ["HS256", "EdDSA", "ES256", "RS256"] {
        let server = TestServer::with(&[("JWT_ALGORITHM", algorithm)]).await;
        for sealed in sealed(&server).await {
            let text = String::from_utf8_lossy(&sealed);
            assert!(!text.contains("PRIVATE") && sealed.len() >= 12 + 32 + 16, "{text}");
        }
    }
}

#[tokio::test]
async fn nobody_who_travels_notices_that_the_secret_changes_while_the_old_one_is_given() {
    for algorithm in ["HS256", "EdDSA"] {
        let mut server = TestServer::with(&[ONE_NAME, ("JWT_ALGORITHM", algorithm)]).await;
        server.user("ada").await;
        let clients = Client::in_every_way(&server, "ada").await;
        let leaving = [Pair::SESSION_COOKIE, Pair::JWT_COOKIE];
        let leaving = join_all(leaving.map(|pair| Client::signed_in(&server, pair, "ada"))).await;
        let before = sealed(&server).await;
        let changing = [("APP_SECRET", OTHER), ("APP_SECRET_PREVIOUS", APP_SECRET)];
        let node = server.another_node_with(&changing).await;
        // The old node goes on for now.
        for client in &clients {
            for server in [&server, &node] {
                client.at(server).profile().await.ok();
            }
        }
        server.stop().await;
        for client in &clients {
            client.at(&node).assert_goes_on().await;
        }
        for (before, after) in before.iter().zip(sealed(&node).await) {
            assert_ne!(*before, after, "sealed anew");
        }
        for leaving in leaving {
            let mut leaving = leaving.at(&node);
            leaving.logout().await.expect(204);
            assert!(leaving.jar.is_empty(), "a cookie that is dead is kept");
        }
        // Renewed under the new secret, they need the old one no more.
        let mut renewed = Vec::new();
        for mut client in Client::in_every_way(&node, "ada").await {
            client.refresh().await.ok();
            renewed.push(client);
        }
        let last = node.another_node_with(&[("APP_SECRET", OTHER), ("APP_SECRET_PREVIOUS", "")]).await;
        for client in renewed {
            client.at(&last).assert_goes_on().await;
        }
    }
}

#[tokio::test]
async fn a_node_with_another_secret_does_not_start_and_says_what_to_do() {
    let server = TestServer::start().await;
    let before = list(&operator(&server)).await.len();

    let told = refusal(&server, &[("APP_SECRET", OTHER)]).await;

    for part in ["APP_SECRET_PREVIOUS", "keys reset"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(!told.contains(OTHER) && !told.contains(APP_SECRET), "{told}");
    assert_eq!(list(&operator(&server)).await.len(), before, "it has changed nothing");
    let rotation = operator_with(&server, OTHER)
        .rotate(None, &Actor::OPERATOR)
        .await
        .expect_err("it can't seal for the others");
    assert!(matches!(rotation, KeysError::OtherSecret), "{rotation}");
}

#[tokio::test]
async fn nodes_that_have_met_the_new_secret_first_accept_what_each_other_gives_out() {
    let before = [("APP_SECRET", APP_SECRET), ("APP_SECRET_PREVIOUS", OTHER)];
    let server = TestServer::with(&[&[ONE_NAME], &before[..]].concat()).await;
    let after = [("APP_SECRET", OTHER), ("APP_SECRET_PREVIOUS", APP_SECRET)];
    let node = server.another_node_with(&after).await;
    server.user("ada").await;
    for (giving, taking) in [(&server, &node), (&node, &server)] {
        for client in Client::in_every_way(giving, "ada").await {
            client.at(taking).assert_goes_on().await;
        }
    }
    // One of the first kind can be started again.
    let again = server.another_node().await;
    Client::signed_in(&again, Pair::JWT_BEARER, "ada").await.at(&node).profile().await.ok();
}

#[tokio::test]
async fn a_start_without_the_secret_leaves_no_other_behind() {
    let server = TestServer::start().await;
    let told = refusal(&server, &[("APP_SECRET", "")]).await;
    assert!(told.contains("APP_SECRET is not set"), "{told}");
    assert_eq!(made_here(&server).await, 0);
}

#[tokio::test]
async fn a_node_whose_keys_were_replaced_under_another_secret_says_that_it_is_not_ready() {
    for algorithm in ["HS256", "EdDSA"] {
        let server = TestServer::with(&[("JWT_ALGORITHM", algorithm)]).await;
        let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
        operator_with(&server, OTHER).reset(&Actor::OPERATOR).await.expect("new keys");
        let ready = Request::get("/health/ready");
        eventually("a node that is not ready", async || server.send(ready.clone()).await.status == 503).await;
        let checks = server.send(ready).await.problem(503, "unavailable").json()["checks"].clone();
        assert_eq!(checks, json!({ "database": "ok", "feed": "ok", "keys": "down", "upkeep": "ok" }));
        client.profile().await.expect(401);
        let login = Client::new(&server, client.pair).login(&client.pair.credentials("ada")).await;
        login.problem(503, "unavailable");
        // What needs no key goes on.
        Client::signed_in(&server, Pair::SESSION_COOKIE, "ada").await.assert_goes_on().await;
    }
}

async fn made_here(server: &TestServer) -> i64 {
    sqlx::query_scalar("select count(*) from secrets")
        .fetch_one(&mut server.sql().await)
        .await
        .expect("a number")
}

#[tokio::test]
async fn a_lost_secret_can_be_replaced_and_old_tokens_are_refused_then() {
    let mut server = TestServer::with(&[ONE_NAME, ("JWT_ALGORITHM", "EdDSA")]).await;
    server.user("ada").await;
    let clients = Client::in_every_way(&server, "ada").await;
    server.stop().await;

    operator_with(&server, OTHER).reset(&Actor::OPERATOR).await.expect("new keys");

    let node = server.another_node_with(&[("APP_SECRET", OTHER)]).await;
    for client in &clients {
        // A session by Bearer is random and signed by nobody.
        let expected = if client.pair == Pair::SESSION_BEARER { 200 } else { 401 };
        client.at(&node).profile().await.expect(expected);
    }
    let operator = operator_with(&node, OTHER);
    for state in [KeyState::Active, KeyState::Next] {
        assert_eq!(the(&operator, state).await.algorithm, "EdDSA");
    }
    let new = Client::in_every_way(&node, "ada").await;
    for client in new {
        client.assert_goes_on().await;
    }
}

#[tokio::test]
async fn a_secret_that_is_set_takes_the_place_of_the_one_that_was_made() {
    let mut server = TestServer::with(&[ONE_NAME, ("APP_SECRET", "")]).await;
    server.user("ada").await;
    let client = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    server.stop().await;

    let node = server.another_node_with(&[("APP_SECRET", OTHER)]).await;

    client.at(&node).profile().await.ok();
    assert_eq!(made_here(&node).await, 0, "it is not kept where others may read it");
    let rotated =
        operator_with(&node, OTHER).rotate(None, &Actor::OPERATOR).await.expect("keys that are sealed anew");
    eventually("a token by the next key", async || {
        let client = Client::signed_in(&node, client.pair, "ada").await;
        kid(&client) == rotated.active
    })
    .await;
}
