//! From next to active to verifying to retired.

use std::{sync::Arc, time::Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dualauth::{
    audit::{Actor, Trail},
    clock::Clock,
    config::{Config, JwtAlgorithm},
    crypto::AppSecret,
    jwt::{JWKS_MAX_AGE, KeyState, Keys, KeysError},
};
use futures_util::future::join_all;
use serde_json::json;
use sqlx::Connection;

use super::{algorithm, header, kid, later, list, pools, published, published_kids, the};
use crate::support::{
    DAY, HOUR, MINUTE, SECOND,
    client::{Client, Pair},
    cluster::Database,
    eventually,
    http::Request,
    proxy::Proxy,
    server::{ONE_NAME, TestServer, beginning},
    text,
};

const EDDSA: (&str, &str) = ("JWT_ALGORITHM", "EdDSA");

/// Waits until a node signs with this key, and gives somebody who got a token by it.
async fn signed_in_by(server: &TestServer, name: &str, expected: &str) -> Client {
    let mut client = Client::new(server, Pair::JWT_BEARER);
    eventually("a token by the new key", async || {
        client.login(&Pair::JWT_BEARER.credentials(name)).await.ok();
        kid(&client) == expected
    })
    .await;
    client
}

#[tokio::test]
async fn a_rotation_has_the_published_key_sign_and_publishes_another() {
    let server = TestServer::with(&[ONE_NAME, EDDSA]).await;
    let node = server.another_node().await;
    let operator = super::operator(&server);
    let old = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let [active, next] = [the(&operator, KeyState::Active).await, the(&operator, KeyState::Next).await];
    assert_eq!(kid(&old), active.kid);
    assert_eq!(published_kids(&server).await.len(), 2);

    let rotated = operator.rotate(None, &Actor::OPERATOR).await.expect("a rotation");

    assert_eq!((&rotated.active, &rotated.superseded), (&next.kid, &active.kid));
    for signing in [&server, &node] {
        let new = signed_in_by(signing, "ada", &next.kid).await;
        for server in [&server, &node] {
            new.at(server).profile().await.ok();
            old.at(server).profile().await.ok();
        }
        let mut kids = published_kids(signing).await;
        kids.sort();
        let mut expected = vec![active.kid.clone(), next.kid.clone(), rotated.next.clone()];
        expected.sort();
        assert_eq!(kids, expected, "the next, the one that signs, and the one that did");
    }
    let states: Vec<_> = list(&operator).await.into_iter().map(|key| (key.kid, key.state)).collect();
    assert_eq!(states.len(), 3);
    for expected in
        [(active.kid, KeyState::Verifying), (next.kid, KeyState::Active), (rotated.next, KeyState::Next)]
    {
        assert!(states.contains(&expected), "{expected:?} in {states:?}");
    }
}

#[tokio::test]
async fn a_superseded_key_verifies_for_longer_than_its_last_token_lives_and_is_then_retired() {
    let server = TestServer::with(&[EDDSA, ("ACCESS_TOKEN_TTL", "2h"), ("SESSION_IDLE_TTL", "3h")]).await;
    let operator = super::operator(&server);
    let old = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let first = kid(&old);
    let rotated = operator.rotate(None, &Actor::OPERATOR).await.expect("a rotation");
    signed_in_by(&server, "ada", &rotated.active).await;
    let until = the(&operator, KeyState::Verifying).await.verify_until.expect("an end");
    assert!(until > later(&server, 2 * 3_600 + JWKS_MAX_AGE.as_secs() as i64), "{until}");

    server.clock.set((until - chrono::Duration::seconds(1)).max(server.clock.now()));
    assert!(published_kids(&server).await.contains(&first));
    server.clock.set(until);
    assert!(!published_kids(&server).await.contains(&first));
    assert_eq!(the(&operator, KeyState::Retired).await.kid, first);
    // A node that starts destroys what is of no use any more.
    let _node = server.another_node().await;
    let private: Vec<Option<Vec<u8>>> =
        sqlx::query_scalar("select private_key from signing_keys where kid = $1")
            .bind(&first)
            .fetch_all(&mut server.sql().await)
            .await
            .expect("the key");
    assert_eq!(private, [None]);
}

#[tokio::test]
async fn what_a_retired_key_has_signed_is_refused_on_every_node_however_well_it_is_remembered() {
    let server = TestServer::with(&[ONE_NAME]).await;
    let node = server.another_node().await;
    let operator = super::operator(&server);
    let old = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let refused = operator.retire(&kid(&old), &Actor::OPERATOR).await.expect_err("it signs");
    assert!(matches!(refused, KeysError::Active), "{refused}");
    let rotated = operator.rotate(None, &Actor::OPERATOR).await.expect("a rotation");
    for server in [&server, &node] {
        old.at(server).profile().await.ok();
    }

    operator.retire(&kid(&old), &Actor::OPERATOR).await.expect("it does not sign any more");

    for server in [&server, &node] {
        let old = old.at(server);
        eventually("a refusal", async || old.profile().await.status == 401).await;
        old.profile().await.problem(401, "invalid_token");
        // The login goes on: its refresh token buys one that is good.
        let mut renewed = old.clone();
        renewed.refresh().await.ok();
        assert_eq!(kid(&renewed), rotated.active);
        renewed.profile().await.ok();
    }
    let again = operator.retire(&kid(&old), &Actor::OPERATOR).await.expect_err("it is retired");
    assert!(matches!(again, KeysError::Unknown), "{again}");
}

#[tokio::test]
async fn a_next_key_that_is_retired_is_replaced_before_it_ever_signs() {
    let server = TestServer::with(&[EDDSA]).await;
    let operator = super::operator(&server);
    let next = the(&operator, KeyState::Next).await;

    operator.retire(&next.kid, &Actor::OPERATOR).await.expect("it does not sign");

    let other = the(&operator, KeyState::Next).await;
    assert_ne!(other.kid, next.kid);
    assert_eq!(the(&operator, KeyState::Retired).await.kid, next.kid);
    eventually("another published key", async || {
        let kids = published_kids(&server).await;
        kids.contains(&other.kid) && !kids.contains(&next.kid)
    })
    .await;
}

#[tokio::test]
async fn a_node_that_can_not_look_for_a_key_says_so_and_does_not_refuse() {
    let (server, proxy) = TestServer::behind_a_proxy(&[ONE_NAME]).await;
    let node = server.another_node_with(&[("DATABASE_URL", server.database_url().as_str())]).await;
    let operator = super::operator(&node);
    let old = Client::of_new_user(&node, Pair::JWT_BEARER, "ada").await;
    proxy.cut().await;
    // Twice: the key that signs then was not even published when the node could still read.
    operator.rotate(None, &Actor::OPERATOR).await.expect("a rotation");
    let rotated = operator.rotate(None, &Actor::OPERATOR).await.expect("another");
    let new = signed_in_by(&node, "ada", &rotated.active).await;

    new.at(&server).profile().await.problem(503, "unavailable");
    old.at(&server).profile().await.ok();

    proxy.come_back();
    eventually("a node that knows it", async || {
        let response = new.at(&server).profile().await;
        assert_ne!(response.status, 401, "{response}");
        response.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_node_that_can_not_find_out_which_key_signs_signs_nothing() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let is_ready = async || server.send(Request::get("/health/ready")).await.status == 200;
    // The feed can't be read, and all else can.
    let mut lock = server.sql().await;
    let statements = "begin; lock table revocations in access exclusive mode";
    sqlx::raw_sql(statements).execute(&mut lock).await.expect("a lock that is granted");
    eventually("a node that has gone stale", async || !is_ready().await).await;

    let login = Client::new(&server, Pair::JWT_BEARER).login(&Pair::JWT_BEARER.credentials("ada")).await;
    login.problem(503, "unavailable");
    client.profile().await.ok();

    lock.close().await.expect("the end of the lock");
    eventually("a node that is fresh", is_ready).await;
    client.clone().refresh().await.ok();
}

#[tokio::test]
async fn strangers_can_name_keys_that_there_are_not_and_cost_a_few_looks() {
    let (server, proxy) = TestServer::behind_a_proxy(&[("STALENESS_BOUND", "60s")]).await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let good = client.credential();
    let (_, rest) = good.split_once('.').expect("a header");
    let forged = |number: u32| {
        let kid = URL_SAFE_NO_PAD.encode([[0; 28].as_slice(), &number.to_be_bytes()].concat());
        let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": kid});
        format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
    };
    proxy.take_statements();
    let began = Instant::now();
    for number in 0..40 {
        server.send(Request::get("/jwt/profile").bearer(&forged(number))).await.problem(401, "invalid_token");
    }
    let seconds = began.elapsed().as_secs_f64();
    let statements = proxy.take_statements();
    // The keys have not changed, so nobody has read them; only the feed was looked at, ten times a second for this and
    // once as ever.
    assert_eq!(statements.count("from dualauth.signing_keys"), 0);
    let looks = statements.count("pg_current_snapshot");
    assert!((looks as f64) < 5.0 + 12.0 * seconds, "{looks} looks in {seconds} s");
    client.profile().await.ok();
}

#[tokio::test]
async fn another_algorithm_takes_effect_at_restart_and_older_keys_go_on_verifying() {
    let mut server = TestServer::with(&[ONE_NAME]).await;
    let operator = super::operator(&server);
    let mut tokens = vec![Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await];
    assert_eq!(algorithm(&tokens[0]), "HS256");
    for name in ["EdDSA", "ES256", "RS256", "HS256"] {
        let node = server.another_node_with(&[("JWT_ALGORITHM", name)]).await;
        server.stop().await;
        server = node;
        let new = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
        assert_eq!(algorithm(&new), name);
        assert_eq!(the(&operator, KeyState::Active).await.algorithm, name);
        assert_eq!(the(&operator, KeyState::Next).await.algorithm, name);
        tokens.push(new);
        for client in &tokens {
            client.at(&server).profile().await.ok();
        }
    }
    let keys = published(&server).await;
    for key in &keys {
        assert_eq!(text(&key["use"]), "sig");
        assert!(["EdDSA", "ES256", "RS256"].contains(&text(&key["alg"])));
        for private in ["d", "k", "p", "q", "dp", "dq", "qi"] {
            assert!(key.get(private).is_none(), "{private} in {key}");
        }
    }
    assert_eq!(keys.len(), 3, "of each, the one that has signed");
}

#[tokio::test]
async fn a_key_of_another_algorithm_can_be_published_before_any_node_signs_by_it() {
    let server = TestServer::with(&[ONE_NAME]).await;
    let operator = super::operator(&server);
    let published =
        operator.rotate(Some(JwtAlgorithm::EdDsa), &Actor::OPERATOR).await.expect("a rotation").next;
    eventually("the key", async || published_kids(&server).await.contains(&published)).await;
    let early = operator.rotate(None, &Actor::OPERATOR).await.expect_err("no node signs by it yet");
    assert!(matches!(&early, KeysError::OtherAlgorithm("EdDSA", kid) if *kid == published), "{early}");

    let node = server.another_node_with(&[EDDSA]).await;

    let client = Client::of_new_user(&node, Pair::JWT_BEARER, "ada").await;
    assert_eq!((kid(&client), algorithm(&client).as_str()), (published, "EdDSA"));
    client.at(&server).profile().await.ok();
}

#[tokio::test]
async fn a_key_of_another_algorithm_that_is_not_wanted_after_all_is_replaced_by_one_of_the_old() {
    let server = TestServer::with(&[ONE_NAME]).await;
    let operator = super::operator(&server);
    let published =
        operator.rotate(Some(JwtAlgorithm::EdDsa), &Actor::OPERATOR).await.expect("a rotation").next;
    operator.retire(&published, &Actor::OPERATOR).await.expect("it has signed nothing");
    let next = the(&operator, KeyState::Next).await;
    assert_eq!(next.algorithm, "HS256");
    let rotated = operator.rotate(None, &Actor::OPERATOR).await.expect("a rotation");
    assert_eq!(rotated.active, next.kid);
    server.user("ada").await;
    signed_in_by(&server, "ada", &next.kid).await;
}

#[tokio::test]
async fn a_node_never_goes_back_to_a_key_that_was_replaced() {
    let server = TestServer::with(&[ONE_NAME]).await;
    let operator = super::operator(&server);
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let first = kid(&client);
    server.clock.advance(SECOND);
    let second = operator.rotate(None, &Actor::OPERATOR).await.expect("a rotation").active;
    signed_in_by(&server, "ada", &second).await;
    // Others go over to another algorithm, and somebody retires the key that this node signs with still.
    let node = server.another_node_with(&[EDDSA]).await;
    operator.retire(&second, &Actor::OPERATOR).await.expect("it is not the active one");
    can_sign_but_by(&server, "ada", &[&first, &second]).await;
    client.at(&node).profile().await.ok();
}

/// Waits until a node gives out tokens again, none of them by these keys.
async fn can_sign_but_by(server: &TestServer, name: &str, retired: &[&str]) {
    let mut client = Client::new(server, Pair::JWT_BEARER);
    eventually("a token by another key", async || {
        let response = client.login(&Pair::JWT_BEARER.credentials(name)).await;
        assert!([200, 503].contains(&response.status), "{response}");
        response.status == 200 && !retired.contains(&kid(&client).as_str())
    })
    .await;
}

#[tokio::test]
async fn each_node_signs_as_it_is_set_while_nodes_are_set_to_different_algorithms() {
    let server = TestServer::with(&[ONE_NAME]).await;
    let node = server.another_node_with(&[EDDSA]).await;
    server.user("ada").await;
    for _ in 0..2 {
        for (signing, name) in [(&server, "HS256"), (&node, "EdDSA")] {
            let client = Client::signed_in(signing, Pair::JWT_BEARER, "ada").await;
            assert_eq!(algorithm(&client), name);
            for server in [&server, &node] {
                client.at(server).profile().await.ok();
            }
        }
        // For as long as that lasts: the older key is kept.
        server.clock.advance(20 * MINUTE);
        can_sign(&server, "ada").await;
    }
    let keys = super::operator(&server);
    assert_eq!(list(&keys).await.iter().filter(|key| key.activated_at.is_some()).count(), 2);

    // One that slept for too long has no key any more, and makes itself another.
    server.clock.advance(HOUR);
    can_sign(&server, "ada").await;
    // Which key is the active one, whoever looked after them last has decided.
    let client = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    assert_eq!(algorithm(&client), "HS256");
}

/// Waits until a node gives out tokens.
async fn can_sign(server: &TestServer, name: &str) {
    let mut client = Client::new(server, Pair::JWT_BEARER);
    eventually("a token", async || {
        let response = client.login(&Pair::JWT_BEARER.credentials(name)).await;
        assert!([200, 503].contains(&response.status), "{response}");
        response.status == 200
    })
    .await;
}

#[tokio::test]
async fn keys_rotate_by_themselves_once_for_all_nodes_when_it_has_been_long_enough() {
    let server = TestServer::with(&[ONE_NAME, ("KEY_ROTATION", "30d")]).await;
    let _node = server.another_node().await;
    let operator = super::operator(&server);
    let first = the(&operator, KeyState::Active).await;
    server.clock.advance(30 * DAY - MINUTE);
    server.user("ada").await;
    assert_eq!(kid(&Client::signed_in(&server, Pair::JWT_BEARER, "ada").await), first.kid);
    for number in 2..4 {
        let next = the(&operator, KeyState::Next).await;
        server.clock.advance(30 * DAY);
        signed_in_by(&server, "ada", &next.kid).await;
        let activated = list(&operator).await.into_iter().filter(|key| key.activated_at.is_some()).count();
        assert_eq!(activated, number, "one rotation, whichever node did it");
    }
}

#[tokio::test]
async fn nodes_that_all_find_a_rotation_due_do_it_once() {
    let database = Arc::new(Database::migrated().await);
    let proxy = Proxy::in_front_of(&database).await;
    let clock = Clock::manual(beginning());
    let config = Config::from_vars(|name| (name == "KEY_ROTATION").then(|| "30d".to_owned())).expect("good");
    let secret = AppSecret::generate();
    // Nothing tells them of what the other does.
    let nodes = [(); 2].map(|()| {
        let pool = pools(proxy.url()).upkeep;
        let trail = Trail::new(pool.clone(), clock.clone());
        (Keys::new(&config, pool, &secret, clock.clone(), trail.clone()).expect("keys"), trail)
    });
    for (node, _) in &nodes {
        node.prepare().await.expect("keys to sign with");
    }
    proxy.take_statements();
    clock.advance(30 * DAY);
    let upkeep = nodes.each_ref().map(|(node, _)| tokio::spawn(node.clone().run_upkeep()));
    let mut loads = 0;
    // One by whoever rotates, and each looks once more before it knows of it.
    eventually("two nodes that know", async || {
        loads += proxy.take_statements().count("from dualauth.signing_keys k");
        loads >= 3
    })
    .await;
    for task in upkeep {
        task.abort();
    }
    let told: usize = nodes.iter().map(|(_, trail)| trail.waiting()).sum();
    assert_eq!(told, 1, "one event, of whoever did it");
    let activated = list(&nodes[0].0).await.into_iter().filter(|key| key.activated_at.is_some()).count();
    assert_eq!(activated, 2);
}

#[tokio::test]
async fn nodes_that_start_at_once_make_one_ring() {
    let database = Arc::new(Database::migrated().await);
    let nodes = (0..4).map(|_| TestServer::on(database.clone(), &[ONE_NAME, EDDSA]));
    let nodes = join_all(nodes).await;
    let operator = super::operator(&nodes[0]);
    assert_eq!(list(&operator).await.len(), 2);
    let mut kids: Vec<Vec<String>> = join_all(nodes.iter().map(published_kids)).await;
    kids.dedup();
    assert_eq!(kids.len(), 1);
}

#[tokio::test]
async fn a_set_of_keys_may_be_remembered_for_less_time_than_keys_overlap() {
    let server = TestServer::with(&[EDDSA]).await;
    let response = server.send(Request::get("/.well-known/jwks.json")).await.expect(200);
    assert_eq!(response.header("cache-control"), Some("public, max-age=300"));
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    assert_eq!(header(&client.credential())["alg"], "EdDSA");
    assert!(published_kids(&server).await.contains(&kid(&client)));
}

#[tokio::test]
async fn a_symmetric_key_is_never_published() {
    let server = TestServer::start().await;
    let response = server.send(Request::get("/.well-known/jwks.json")).await.expect(200);
    assert_eq!(response.json(), json!({"keys": []}));
}
