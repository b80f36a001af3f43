//! Removing factors, and new recovery codes.

use std::time::Instant;

use serde_json::json;

use super::{enrol, first_step, second_step, two_step_user};
use crate::support::{
    MINUTE, PASSWORD,
    client::{Client, Pair},
    http::Request,
    server::{TestServer, credentials},
    with,
};

#[tokio::test]
async fn removing_the_authenticator_turns_two_step_sign_in_off_and_ends_every_other_login() {
    let server = TestServer::start().await;
    let another = server.another_node().await;
    let (client, authenticator) = two_step_user(&server, "ada").await;
    let (bea, _) = two_step_user(&server, "bea").await;
    let mut other = Client::new(&server, Pair::JWT_BEARER);
    let pending = first_step(&server, "ada").await;
    other.login(&second_step(&pending, &authenticator.next_code(&server))).await.expect(200);

    let path = format!("/account/factors/{}", authenticator.id);
    server.send(Request::new("DELETE", &path)).await.problem(401, "not_authenticated");
    server.send(bea.request("DELETE", &path)).await.problem(404, "not_found");
    server.send(client.request("DELETE", "/account/factors/none")).await.problem(404, "not_found");
    server.clock.advance(11 * MINUTE);
    server.send(client.request("DELETE", &path)).await.problem(401, "insufficient_user_authentication");
    let mut client = client;
    let code = authenticator.code_in(&server, 0);
    let step_up = client.request("POST", "/session/step-up").json(&json!({ "code": code }));
    client.send(step_up).await.expect(200);
    another.send(client.request("DELETE", &path)).await.expect(204);
    crate::nodes::assert_refused_in_time(&other, Instant::now()).await;
    other.assert_refused("token_revoked").await;
    let listed = client.get("/account/factors").await.ok();
    assert_eq!((&listed["two_step"], &listed["totp"]), (&json!(false), &json!(null)));
    assert_eq!(listed["recovery_codes_left"], 0);
    server.send(Request::post("/jwt/login").json(&credentials("ada"))).await.expect(200);
    another.send(client.request("DELETE", &path)).await.problem(404, "not_found");
    // Another one gives other recovery codes.
    let again = enrol(&server, &client).await;
    assert!(again.recovery_codes.iter().all(|code| !authenticator.recovery_codes.contains(code)));
}

#[tokio::test]
async fn new_recovery_codes_take_the_place_of_the_old_ones() {
    let server = TestServer::start().await;
    let (client, authenticator) = two_step_user(&server, "ada").await;
    let pending = first_step(&server, "ada").await;
    let renewed =
        server.send(client.request("POST", "/account/recovery-codes")).await.expect(200).not_stored();
    let codes = renewed.json()["recovery_codes"].clone();
    assert_eq!(codes.as_array().map(Vec::len), Some(10));
    let new = crate::support::text(&codes[0]).to_owned();
    let body = second_step(&pending, &new);
    server.send(Request::post("/jwt/login").json(&body)).await.problem(401, "challenge_expired");
    for (code, status) in [(&authenticator.recovery_codes[0], 401), (&new, 200), (&new, 401)] {
        let body = second_step(&first_step(&server, "ada").await, code);
        server.send(Request::post("/jwt/login").json(&body)).await.expect(status);
    }
    let bea = Client::of_new_user(&server, Pair::JWT_BEARER, "bea").await;
    server.send(bea.request("POST", "/account/recovery-codes")).await.problem(409, "conflict");
}

#[tokio::test]
async fn the_password_changes_on_a_fresh_login_alone_where_there_is_two_step_sign_in() {
    let server = TestServer::start().await;
    let (client, _) = two_step_user(&server, "ada").await;
    let password =
        json!({ "current_password": PASSWORD, "new_password": "another quiet lantern by the river" });
    server.clock.advance(11 * MINUTE);
    let change = client.request("POST", "/account/password").json(&password);
    let refused = server.send(change).await.problem(401, "insufficient_user_authentication");
    assert_eq!(refused.json()["acr_values"], "aal2");
}

#[tokio::test]
async fn the_login_that_removed_a_factor_stays_what_was_proved_and_no_other_does() {
    let server = TestServer::start().await;
    for (number, pair) in Pair::ALL.into_iter().enumerate() {
        let name = format!("user-{number}");
        let (owner, authenticator) = two_step_user(&server, &name).await;
        let body = second_step(&first_step(&server, &name).await, &authenticator.next_code(&server));
        let mut client = Client::new(&server, pair);
        client.login(&with(body, "transport", pair.transport.name())).await.expect(200);
        let before = client.profile().await.ok()["auth"].clone();
        assert_eq!(before["amr"], json!(["pwd", "otp", "mfa"]));
        let path = format!("/account/factors/{}", authenticator.id);
        server.send(client.request("DELETE", &path)).await.expect(204);
        owner.assert_refused(owner.pair.mode.ended()).await;
        // It says how its owner has authenticated, not what the account has.
        for _ in 0..2 {
            let after = client.profile().await.ok()["auth"].clone();
            for member in ["amr", "acr", "auth_time"] {
                assert_eq!(after[member], before[member], "{pair:?}: {member}");
            }
            client.get("/verify?acr_values=aal2").await.expect(200);
            client.refresh().await.ok();
        }
        // And no later than any other: the next one has one factor.
        server.clock.advance(11 * MINUTE);
        client.refresh().await.ok();
        client
            .get("/verify?acr_values=aal2&max_age=600")
            .await
            .problem(401, "insufficient_user_authentication");
        let mut next = Client::new(&server, pair);
        next.login(&pair.credentials(&name)).await.expect(200);
        assert_eq!(next.profile().await.ok()["auth"]["acr"], "aal1");
    }
}
