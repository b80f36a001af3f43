//! Step-up by passkeys and security keys.

use serde_json::json;

use super::{Passkey, ask, ask_to_sign_in, enrol, halves, server, sign_in, user_with};
use crate::factors::first_step;
use crate::support::{
    MINUTE, SECOND,
    client::{Client, Pair},
    http::Request,
    server::TestServer,
    text, with,
};

#[tokio::test]
async fn a_passkey_steps_up_once_in_every_way_and_the_earlier_credential_is_dead() {
    let server = server().await;
    let another = server.another_node().await;
    let (client, mut key) = user_with(&server, "ada", Passkey::new("security_key").without_pin()).await;
    let mut passkey = enrol(&server, &client, "passkey").await;
    for (pair, is_key) in Pair::ALL.into_iter().zip([false, true, false, true]) {
        let body = passkey.halves(&ask_to_sign_in(&server).await);
        let mut client = Client::new(&server, pair);
        client.login(&with(body, "transport", pair.transport.name())).await.expect(200);
        server.clock.advance(11 * MINUTE);
        client.refresh().await.ok();
        let renew = client.request("POST", "/account/recovery-codes");
        let refused = server.send(renew).await.problem(401, "insufficient_user_authentication");
        assert_eq!(refused.json()["methods"], json!(["password", "recovery_code", "passkey"]));

        let challenge = ask(&another, &client, "step_up", "passkey").await.expect(201).not_stored().json();
        assert_eq!(challenge["passkey"]["allowCredentials"].as_array().map(Vec::len), Some(2));
        let body = if is_key { key.halves(&challenge) } else { passkey.halves(&challenge) };
        let before = client.clone();
        let earlier = client.profile().await.ok()["auth"]["auth_time"].clone();
        let path = client.path("step-up");
        let step_up = client.request("POST", &path).json(&body);
        client.send(step_up).await.expect(200);
        let again = client.request("POST", &path).json(&body);
        another.send(again).await.problem(401, "challenge_expired");
        assert_eq!(before.refresh_request().send(server.address()).await.status, 401, "{pair:?}");
        let auth = client.profile().await.ok()["auth"].clone();
        assert_eq!((&auth["amr"], &auth["acr"]), (&json!(["hwk", "user", "mfa"]), &json!("aal2")));
        assert_ne!(auth["auth_time"], earlier);
        server.send(client.request("POST", "/account/recovery-codes")).await.expect(200);
        client.assert_goes_on().await;
        server.clock.advance(MINUTE);
    }
}

#[tokio::test]
async fn a_passkey_raises_a_login_and_a_security_key_one_that_has_its_first_factor() {
    let server = server().await;
    let (client, mut passkey) = user_with(&server, "ada", Passkey::new("passkey")).await;
    let mut other = Client::signed_in(&server, Pair::SESSION_COOKIE, "ada").await;
    assert_eq!(other.profile().await.ok()["auth"]["acr"], "aal1");
    let challenge = ask(&server, &other, "step_up", "passkey").await.expect(201).json();
    let step_up = other.request("POST", "/session/step-up").json(&passkey.halves(&challenge));
    other.send(step_up).await.expect(200);
    let auth = other.profile().await.ok()["auth"].clone();
    assert_eq!((&auth["amr"], &auth["acr"]), (&json!(["pwd", "hwk", "user", "mfa"]), &json!("aal2")));
    client.assert_goes_on().await;
}

#[tokio::test]
async fn the_challenge_is_its_login_s_and_what_answers_it_its_user_s() {
    let server = server().await;
    let (ada, mut of_ada) = user_with(&server, "ada", Passkey::new("passkey")).await;
    let (bea, mut of_bea) = user_with(&server, "bea", Passkey::new("passkey")).await;
    let mut other = Client::new(&server, Pair::JWT_BEARER);
    other.login(&of_ada.halves(&ask_to_sign_in(&server).await)).await.expect(200);
    let challenge = ask(&server, &ada, "step_up", "passkey").await.expect(201).json();
    let step_up = |client: &Client, body| client.request("POST", &client.path("step-up")).json(&body);
    // Tries are paced.
    let later = || server.clock.advance(30 * SECOND);
    for client in [&bea, &other] {
        server.send(step_up(client, of_ada.halves(&challenge))).await.problem(401, "challenge_expired");
    }
    let of_another_user = of_bea.halves(&challenge);
    later();
    server.send(step_up(&ada, of_another_user)).await.problem(401, "invalid_code");
    // Made for something else.
    let to_sign_in = ask_to_sign_in(&server).await;
    let pending = {
        enrol(&server, &bea, "security_key").await;
        first_step(&server, "bea").await
    };
    for other_challenge in [to_sign_in.clone(), pending] {
        later();
        let body = halves(&other_challenge, &of_ada.answer(&other_challenge["passkey"]));
        server.send(step_up(&ada, body)).await.problem(401, "challenge_expired");
    }
    let body = of_ada.halves(&challenge);
    server.send(Request::post("/jwt/login").json(&body)).await.problem(401, "challenge_expired");
    later();
    let body = json!({ "challenge": challenge["challenge"], "code": "123456" });
    server.send(step_up(&ada, body)).await.problem(401, "challenge_expired");
    server.send(step_up(&ada, of_ada.halves(&challenge))).await.expect(200);
    sign_in(&server, &mut of_ada).await.expect(200);
}

#[tokio::test]
async fn tries_are_limited_and_end_nothing() {
    let server = server().await;
    let (client, mut passkey) = user_with(&server, "ada", Passkey::new("passkey")).await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let challenge = ask(&server, &client, "step_up", "passkey").await.expect(201).json();
        let unknown = Passkey::new("passkey").answer(&challenge["passkey"]);
        let step_up = client.request("POST", "/session/step-up").json(&halves(&challenge, &unknown));
        statuses.push(server.send(step_up).await.status);
    }
    assert!(statuses.contains(&429) && statuses[0] == 401, "{statuses:?}");
    let challenge = ask(&server, &client, "step_up", "passkey").await.expect(201).json();
    let step_up = client.request("POST", "/session/step-up").json(&passkey.halves(&challenge));
    server.send(step_up).await.problem(429, "rate_limited");
    client.assert_goes_on().await;
}

#[tokio::test]
async fn a_step_up_takes_one_proof() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    let token = format!("dac_{}", "a".repeat(43));
    for (body, pointers) in [
        (json!({ "passkey": {} }), &["/challenge"][..]),
        (json!({ "challenge": token }), &["/code"]),
        (json!({ "challenge": token, "password": "…" }), &["/challenge"]),
        (json!({ "challenge": token, "passkey": {}, "code": "1" }), &["/code"]),
        (json!({ "challenge": token, "passkey": {}, "password": "…" }), &["/password"]),
        (json!({ "challenge": token, "passkey": {} }), &["/passkey"]),
        (json!({ "challenge": token, "passkey": [] }), &["/passkey"]),
    ] {
        let request = client.request("POST", "/session/step-up").json(&body);
        server.send(request).await.points_at(pointers);
    }
    assert!(text(&client.profile().await.ok()["username"]) == "ada");
}
