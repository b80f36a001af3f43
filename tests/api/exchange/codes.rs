//! Hand-off codes: once, within a minute, and only as long as the login is what it was.

use futures_util::future::join_all;
use serde_json::json;

use super::{DIRECTIONS, body, code, hand_off, taking_over};
use crate::nodes::{sql, two_nodes};
use crate::support::{
    MINUTE, SECOND,
    client::{Client, Pair},
    eventually,
    http::Request,
    server::TestServer,
    text,
};

fn inspecting(code: &str) -> Request {
    Request::post("/account/handoff/inspect").json(&json!({ "code": code }))
}

#[tokio::test]
async fn of_twenty_at_once_on_two_nodes_one_gets_the_login() {
    let (server, elsewhere) = two_nodes(&[]).await;
    for (number, (from, to)) in DIRECTIONS.into_iter().enumerate() {
        let client = Client::of_new_user(&server, from, &format!("user-{number}")).await;
        let code = code(&server, &client).await;
        let tries = (0..20).map(|number| {
            let node = if number % 2 == 0 { &server } else { &elsewhere };
            node.send(taking_over(&code, to))
        });
        let answers = join_all(tries).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
        assert_eq!(won.len(), 1);
        for answer in lost {
            let json = answer.json();
            let refused = (answer.status, text(&json["code"]));
            assert!([(401, "challenge_expired"), (409, "conflict")].contains(&refused), "{answer}");
        }
        let mut winner = Client::new(&server, to);
        winner.absorb(&won[0]);
        winner.assert_goes_on().await;
        client.assert_goes_on().await;
    }
}

#[tokio::test]
async fn a_code_is_good_once_for_a_minute_on_every_node_and_after_a_restart() {
    let (mut server, elsewhere) = two_nodes(&[]).await;
    for (number, (from, to)) in DIRECTIONS.into_iter().enumerate() {
        let client = Client::of_new_user(&elsewhere, from, &format!("user-{number}")).await;
        let late = code(&elsewhere, &client).await;
        server.clock.advance(59 * SECOND);
        server.send(inspecting(&late)).await.ok();
        server.clock.advance(SECOND);
        server.send(inspecting(&late)).await.problem(401, "challenge_expired");
        server.send(taking_over(&late, to)).await.problem(401, "challenge_expired");
        let good = code(&elsewhere, &client).await;
        let node = server.another_node().await;
        server.stop().await;
        server = node;
        let mut other = Client::new(&server, to);
        other.login(&body(&good, to)).await.ok();
        for node in [&server, &elsewhere] {
            node.send(taking_over(&good, to)).await.problem(401, "challenge_expired");
            node.send(inspecting(&good)).await.problem(401, "challenge_expired");
        }
        other.at(&elsewhere).assert_goes_on().await;
    }
}

#[tokio::test]
async fn a_code_dies_with_its_login() {
    let server = TestServer::with(&[("SESSION_IDLE_TTL", "50s"), ("LAST_SEEN_INTERVAL", "1s")]).await;
    for (number, (from, to)) in DIRECTIONS.into_iter().enumerate() {
        let name = format!("user-{number}");
        let mut client = Client::of_new_user(&server, from, &name).await;
        let made = code(&server, &client).await;
        client.logout().await.expect(204);
        server.send(inspecting(&made)).await.problem(401, "challenge_expired");
        server.send(taking_over(&made, to)).await.problem(401, "challenge_expired");

        let client = Client::signed_in(&server, from, &name).await;
        let idle = code(&server, &client).await;
        server.clock.advance(50 * SECOND);
        server.send(inspecting(&idle)).await.problem(401, "challenge_expired");
        server.send(taking_over(&idle, to)).await.problem(401, "challenge_expired");

        let client = Client::signed_in(&server, from, &name).await;
        let disabled = code(&server, &client).await;
        sql(&server, "update users set disabled_at = now()").await;
        sql(&server, "update users set disabled_at = null").await;
        server.send(taking_over(&disabled, to)).await.problem(401, "challenge_expired");
        server.clock.advance(MINUTE);
    }
}

#[tokio::test]
async fn nothing_but_a_post_uses_a_code_and_a_foreign_page_may_not() {
    let server = TestServer::start().await;
    for (number, (from, to)) in DIRECTIONS.into_iter().enumerate() {
        let client = Client::of_new_user(&server, from, &format!("user-{number}")).await;
        let made = code(&server, &client).await;
        let login = to.mode.path("login");
        for path in [
            format!("{login}?handoff={made}"),
            format!("/handoff?{made}"),
            format!("/handoff/{made}"),
            "/handoff".to_owned(),
        ] {
            for method in ["GET", "HEAD", "OPTIONS"] {
                server.send(Request::new(method, &path)).await;
            }
        }
        server.send(Request::get("/account/handoff/inspect")).await.problem(405, "method_not_allowed");
        for origin in ["https://evil.example.org", "null"] {
            server.send(taking_over(&made, to).header("Origin", origin)).await.problem(403, "cross_origin");
            server.send(inspecting(&made).header("Origin", origin)).await.problem(403, "cross_origin");
            let asked = client.request("POST", "/account/handoff").header("Origin", origin);
            server.send(asked).await.problem(403, "cross_origin");
        }
        server
            .send(taking_over(&made, to).header("Sec-Fetch-Site", "cross-site"))
            .await
            .problem(403, "cross_origin");
        server.send(taking_over(&made, to)).await.ok();
    }
}

#[tokio::test]
async fn to_look_at_a_code_tells_the_name_alone_and_uses_nothing_up() {
    let server = TestServer::start().await;
    for (number, (from, to)) in DIRECTIONS.into_iter().enumerate() {
        let name = format!("user-{number}");
        let client = Client::of_new_user(&server, from, &name).await;
        let made = code(&server, &client).await;
        for _ in 0..3 {
            let answer = server.send(inspecting(&made)).await.not_stored();
            assert_eq!(answer.ok(), json!({ "username": name }));
        }
        // Whatever credential comes with it, and without any CSRF token.
        let with_cookies =
            client.without_csrf("POST", "/account/handoff/inspect").json(&json!({ "code": made }));
        server.send(with_cookies).await.ok();
        server.send(taking_over(&made, to)).await.ok();
        server.send(inspecting(&made)).await.problem(401, "challenge_expired");
    }
    for wrong in ["", "dah_", "dah_x", &format!("dah_{}", "A".repeat(43)), &format!("dac_{}", "A".repeat(43))]
    {
        server.send(inspecting(wrong)).await.problem(401, "challenge_expired");
        server.send(taking_over(wrong, Pair::JWT_BEARER)).await.problem(401, "challenge_expired");
    }
    let bad = Request::post("/account/handoff/inspect").json(&json!({ "code": "x", "more": 1 }));
    server.send(bad).await.problem(422, "validation_failed");
}

#[tokio::test]
async fn wrong_codes_are_limited_and_right_ones_are_not() {
    let server = TestServer::with(&[("LOGIN_LIMIT", "5/1m")]).await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    let made = code(&server, &client).await;
    for _ in 0..20 {
        server.send(inspecting(&made)).await.ok();
        server.send(taking_over(&made, Pair::SESSION_BEARER)).await.problem(409, "conflict");
    }
    let wrong = format!("dah_{}", "A".repeat(43));
    for number in 0..5 {
        let request =
            if number % 2 == 0 { inspecting(&wrong) } else { taking_over(&wrong, Pair::JWT_BEARER) };
        server.send(request).await.problem(401, "challenge_expired");
    }
    let limited = server.send(inspecting(&made)).await.problem(429, "rate_limited");
    assert!(limited.header("retry-after").is_some());
    server.send(taking_over(&made, Pair::JWT_BEARER)).await.problem(429, "rate_limited");
}

#[tokio::test]
async fn where_a_second_factor_is_asked_for_a_code_from_before_hands_nothing_off() {
    let server = TestServer::with(&[crate::support::server::ONE_NAME]).await;
    let strict = server.another_node_with(&[("SECOND_FACTOR", "required")]).await;
    for (number, (from, to)) in DIRECTIONS.into_iter().enumerate() {
        let client = Client::of_new_user(&server, from, &format!("user-{number}")).await;
        let made = code(&server, &client).await;
        let refused =
            strict.send(taking_over(&made, to)).await.problem(401, "insufficient_user_authentication");
        assert_eq!(refused.json()["acr_values"], "aal2");
        assert_eq!(refused.set_cookies(), []);
        strict
            .send(client.request("POST", "/account/handoff"))
            .await
            .problem(401, "insufficient_user_authentication");
        // It was not used up, either.
        server.send(taking_over(&made, to)).await.ok();
    }
    let session = Client::signed_in(&server, Pair::SESSION_BEARER, "user-0").await;
    strict
        .send(session.request("POST", "/session/token"))
        .await
        .problem(401, "insufficient_user_authentication");
    let app = Client::signed_in(&server, Pair::JWT_BEARER, "user-0").await;
    strict.send(super::opening(&app.credential())).await.problem(401, "insufficient_user_authentication");
}

#[tokio::test]
async fn codes_are_stored_as_hashes_and_swept_when_they_are_over() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    let made = code(&server, &client).await;
    let mut connection = server.sql().await;
    let query = "select encode(code_hash, 'hex') || to_jsonb(h)::text from handoffs h";
    let stored: Vec<String> = sqlx::query_scalar(query).fetch_all(&mut connection).await.expect("rows");
    assert!(stored.len() == 1 && !stored[0].contains(&made) && !stored[0].contains(&made[4..]), "{stored:?}");
    // A used one is gone at once.
    hand_off(&server, &client, Pair::JWT_BEARER).await;
    let count: i64 = sqlx::query_scalar("select count(*) from handoffs")
        .fetch_one(&mut connection)
        .await
        .expect("a number");
    assert_eq!(count, 1);
    server.clock.advance(61 * MINUTE + SECOND);
    // A node sweeps when it begins.
    let _node = server.another_node().await;
    eventually("a sweep", async || {
        let count: i64 = sqlx::query_scalar("select count(*) from handoffs")
            .fetch_one(&mut connection)
            .await
            .expect("a number");
        count == 0
    })
    .await;
}

#[tokio::test]
async fn a_code_of_a_login_that_is_deleted_goes_with_it() {
    let server = TestServer::start().await;
    for (from, to) in DIRECTIONS {
        let client = Client::of_new_user(&server, from, "ada").await;
        let made = code(&server, &client).await;
        sql(&server, "delete from users").await;
        server.send(taking_over(&made, to)).await.problem(401, "challenge_expired");
    }
}
