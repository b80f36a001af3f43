//! What one address may do, on one node.

use std::time::Duration;

use futures_util::future::join_all;

use super::{BEHIND_A_PROXY, assert_limited, tries, wrong};
use crate::support::{
    SECOND,
    client::{Client, Mode, Pair},
    http::Request,
    server::{TestServer, credentials, registration},
};

const HERE: &str = "203.0.113.7";
const THERE: &str = "198.51.100.9";

async fn server_of_ada(settings: &[(&str, &str)]) -> TestServer {
    let settings: Vec<_> = [BEHIND_A_PROXY].iter().chain(settings).copied().collect();
    let server = TestServer::with(&settings).await;
    server.user("ada").await;
    server
}

#[tokio::test]
async fn failures_count_together_over_both_modes_and_the_change_of_a_password() {
    let server = server_of_ada(&[("LOGIN_LIMIT", "4/1m")]).await;
    let signed_in = Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await;
    let wrong_login = |mode: Mode, name| Request::post(&mode.path("login")).json(&wrong(name));
    let change = |current: &str| {
        let body = serde_json::json!({ "current_password": current, "new_password": "another lantern, another weir" });
        signed_in.request("POST", "/account/password").json(&body)
    };
    server.send(wrong_login(Mode::Session, "ada")).await.problem(401, "invalid_credentials");
    server.send(wrong_login(Mode::Jwt, "nobody")).await.problem(401, "invalid_credentials");
    server.send(change("no lantern, no weir")).await.problem(403, "invalid_credentials");
    server.send(wrong_login(Mode::Jwt, "ada")).await.problem(401, "invalid_credentials");

    for mode in Mode::ALL {
        let right = Request::post(&mode.path("login")).json(&credentials("ada"));
        assert_eq!(assert_limited(&server.send(right).await, "\"login\""), 15);
    }
    assert_limited(&server.send(change(crate::support::PASSWORD)).await, "\"login\"");
    // Who is signed in is not concerned, and nor is anybody elsewhere.
    signed_in.profile().await.ok();
    signed_in.clone().refresh().await.ok();
    tries(&server, THERE, &credentials("ada")).await.ok();

    server.clock.advance(15 * SECOND);
    tries(&server, "127.0.0.1", &credentials("ada")).await.ok();
    tries(&server, "127.0.0.1", &wrong("ada")).await.problem(401, "invalid_credentials");
    assert_limited(&tries(&server, "127.0.0.1", &credentials("ada")).await, "\"login\"");
}

#[tokio::test]
async fn nobody_s_success_resets_what_an_address_has_failed() {
    let server = server_of_ada(&[("LOGIN_LIMIT", "3/1m")]).await;
    server.user("mallory").await;
    for _ in 0..3 {
        tries(&server, HERE, &credentials("mallory")).await.ok();
        tries(&server, THERE, &credentials("ada")).await.ok();
        tries(&server, HERE, &wrong("ada")).await.problem(401, "invalid_credentials");
    }
    assert_limited(&tries(&server, HERE, &wrong("ada")).await, "\"login\"");
    assert_limited(&tries(&server, HERE, &credentials("mallory")).await, "\"login\"");
}

#[tokio::test]
async fn tries_at_once_do_not_slip_through_and_right_ones_are_not_refused() {
    let server = server_of_ada(&[("LOGIN_LIMIT", "5/1m"), ("HASH_CONCURRENCY", "4")]).await;
    let (right, wrong) = (credentials("ada"), wrong("ada"));
    let right = (0..30).map(|_| tries(&server, HERE, &right));
    for response in join_all(right).await {
        response.ok();
    }
    let guesses = (0..30).map(|_| tries(&server, HERE, &wrong));
    let answers = join_all(guesses).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 401).count(), 5);
    for answer in answers.iter().filter(|answer| answer.status != 401) {
        assert_limited(answer, "\"login\"");
    }
}

#[tokio::test]
async fn who_hangs_up_does_not_get_a_try_for_nothing() {
    let slow = [("HASH_CONCURRENCY", "1"), ("ARGON2_MEMORY_KIB", "19456"), ("ARGON2_ITERATIONS", "2")];
    let settings: Vec<_> = [("LOGIN_LIMIT", "3/1m")].into_iter().chain(slow).collect();
    let server = server_of_ada(&settings).await;
    let guess = Request::post("/session/login").header("X-Forwarded-For", HERE).json(&wrong("ada"));
    crate::support::eventually("a refusal", async || {
        guess.send_and_reset(server.address(), Duration::from_millis(5)).await;
        // Asks without trying: where nothing has failed, a right password is no failure.
        tries(&server, HERE, &credentials("ada")).await.status == 429
    })
    .await;
}

#[tokio::test]
async fn failures_of_the_service_are_not_held_against_anybody() {
    let database = std::sync::Arc::new(crate::support::cluster::Database::migrated().await);
    let proxy = crate::support::proxy::Proxy::in_front_of(&database).await;
    let url = proxy.url().to_string();
    let server =
        TestServer::on(database, &[("DATABASE_URL", &url), BEHIND_A_PROXY, ("LOGIN_LIMIT", "2/1h")]).await;
    server.user("ada").await;
    proxy.go_away();
    for _ in 0..5 {
        tries(&server, HERE, &credentials("ada")).await.problem(503, "unavailable");
    }
    proxy.come_back();
    crate::support::eventually("a login", async || {
        let response = tries(&server, HERE, &credentials("ada")).await;
        assert_ne!(response.status, 429);
        response.status == 200
    })
    .await;
}

#[tokio::test]
async fn accounts_are_opened_so_often_and_no_oftener() {
    let server = server_of_ada(&[("REGISTER_LIMIT", "3/1m")]).await;
    let register = |mode: Mode, name: &str, address: &str| {
        Request::post(&mode.path("register")).header("X-Forwarded-For", address).json(&registration(name))
    };
    server.send(register(Mode::Session, "bob", HERE)).await.expect(201);
    server.send(register(Mode::Jwt, "carol", HERE)).await.expect(201);
    // To ask whether a name is taken is a call like any other.
    server.send(register(Mode::Jwt, "ADA", HERE)).await.problem(409, "conflict");
    for mode in Mode::ALL {
        assert_eq!(assert_limited(&server.send(register(mode, "dave", HERE)).await, "\"register\""), 20);
    }
    server.send(register(Mode::Session, "dave", THERE)).await.expect(201);
    server.clock.advance(20 * SECOND);
    server.send(register(Mode::Session, "erin", HERE)).await.expect(201);
}

#[tokio::test]
async fn renewals_come_so_often_and_no_oftener() {
    let server = server_of_ada(&[("REFRESH_LIMIT", "4/1m")]).await;
    let mut clients = Client::in_every_way(&server, "ada").await;
    for client in &mut clients {
        client.refresh().await.ok();
    }
    for client in &clients {
        assert_eq!(assert_limited(&client.clone().refresh().await, "\"refresh\""), 15);
        client.profile().await.ok();
    }
    let garbage = Request::post("/jwt/refresh").json(&serde_json::json!({ "refresh_token": "dur_x" }));
    assert_limited(&server.send(garbage.clone()).await, "\"refresh\"");
    server.send(garbage.header("X-Forwarded-For", THERE)).await.problem(401, "invalid_token");
    server.clock.advance(60 * SECOND);
    for client in &mut clients {
        client.refresh().await.ok();
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_counts_for_itself_and_elsewhere_nobody_is_believed() {
    for (trusted, believed) in [("127.0.0.1", true), ("192.0.2.0/24", false)] {
        let server = TestServer::with(&[("TRUSTED_PROXIES", trusted), ("LOGIN_LIMIT", "2/1m")]).await;
        let guess = async |address: &str| tries(&server, address, &wrong("ada")).await.status;
        assert_eq!([guess(HERE).await, guess(HERE).await], [401, 401], "{trusted}");
        assert_eq!(guess(HERE).await, 429, "{trusted}");
        // What the client itself wrote stands before what the proxy added.
        assert_eq!(guess(&format!("{THERE}, {HERE}")).await, 429, "{trusted}");
        assert_eq!(guess(THERE).await, if believed { 401 } else { 429 }, "{trusted}");
    }
}

#[tokio::test]
async fn ipv6_counts_by_its_network_of_64_bits_and_ipv4_in_its_clothes_as_ipv4() {
    let server = TestServer::with(&[BEHIND_A_PROXY, ("LOGIN_LIMIT", "2/1m")]).await;
    let guess = async |address: &str| tries(&server, address, &wrong("ada")).await.status;
    assert_eq!([guess("2001:db8:1:2::1").await, guess("2001:db8:1:2:ffff::9").await], [401, 401]);
    assert_eq!(guess("2001:db8:1:2:aaaa:bbbb:cccc:dddd").await, 429);
    assert_eq!(guess("2001:db8:1:3::1").await, 401);

    assert_eq!([guess("::ffff:203.0.113.7").await, guess(HERE).await], [401, 401]);
    assert_eq!(guess(HERE).await, 429);
    assert_eq!(guess("203.0.113.8").await, 401);
}
