//! Step-up by a code of a second factor.

use serde_json::json;

use super::two_step_user;
use crate::support::{
    MINUTE, PASSWORD,
    client::{Client, Pair},
    http::Request,
    server::{ONE_NAME, TestServer, credentials},
    with,
};

#[tokio::test]
async fn a_code_steps_up_once_in_every_way_and_the_earlier_credential_is_dead() {
    let server = TestServer::with(&[ONE_NAME]).await;
    let another = server.another_node().await;
    let (_, authenticator) = two_step_user(&server, "ada").await;
    for pair in Pair::ALL {
        let first = Request::post(&pair.mode.path("login")).json(&credentials("ada"));
        let pending = server.send(first).await.problem(401, "second_factor_required").json();
        let body = super::second_step(&pending, &authenticator.next_code(&server));
        let mut client = Client::new(&server, pair);
        client.login(&with(body, "transport", pair.transport.name())).await.expect(200);
        server.clock.advance(11 * MINUTE);
        client.refresh().await.ok();
        let renew = client.request("POST", "/account/recovery-codes");
        let refused = server.send(renew).await.problem(401, "insufficient_user_authentication");
        assert_eq!(refused.json()["methods"], json!(["password", "totp", "recovery_code"]));

        let before = client.clone();
        let code = authenticator.next_code(&server);
        let path = client.path("step-up");
        let step_up = client.request("POST", &path).json(&json!({ "code": code }));
        client.send(step_up).await.expect(200);
        let again = client.at(&another).request("POST", &path).json(&json!({ "code": code }));
        another.send(again).await.problem(401, "invalid_code");
        assert_eq!(before.refresh_request().send(server.address()).await.status, 401, "{pair:?}");
        let auth = client.profile().await.ok()["auth"].clone();
        assert_eq!((&auth["amr"], &auth["acr"]), (&json!(["pwd", "otp", "mfa"]), &json!("aal2")));
        client.clone().assert_goes_on().await;
        client.logout().await.expect(204);
        server.clock.advance(MINUTE);
    }
}

#[tokio::test]
async fn tries_at_a_step_up_are_limited_and_end_nothing() {
    let server = TestServer::start().await;
    let (client, authenticator) = two_step_user(&server, "ada").await;
    let step_up = |code: &str| client.request("POST", "/session/step-up").json(&json!({ "code": code }));
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(server.send(step_up("000000")).await.status);
    }
    assert!(statuses.contains(&429) && statuses[0] == 401, "{statuses:?}");
    server.send(step_up(&authenticator.code_in(&server, 1))).await.problem(429, "rate_limited");
    client.assert_goes_on().await;
}

#[tokio::test]
async fn a_step_up_takes_one_proof() {
    let server = TestServer::start().await;
    let (client, _) = two_step_user(&server, "ada").await;
    for (body, pointer) in
        [(json!({}), "/password"), (json!({ "password": PASSWORD, "code": "123456" }), "/code")]
    {
        server.send(client.request("POST", "/session/step-up").json(&body)).await.points_at(&[pointer]);
    }
}

#[tokio::test]
async fn a_code_of_another_user_steps_nobody_up_and_stays_good() {
    let server = TestServer::with(&[ONE_NAME]).await;
    let (ada, _) = two_step_user(&server, "ada").await;
    let (mut bea, of_bea) = two_step_user(&server, "bea").await;
    let step_up = |client: &Client, code: &str| {
        client.request("POST", "/session/step-up").json(&json!({ "code": code }))
    };
    for code in [of_bea.next_code(&server), of_bea.recovery_codes[0].clone()] {
        server.send(step_up(&ada, &code)).await.problem(401, "invalid_code");
        let own = step_up(&bea, &code);
        bea.send(own).await.expect(200);
        server.clock.advance(MINUTE);
    }
}
