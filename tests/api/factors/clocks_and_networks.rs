//! Second factors of people: their clocks are off, they change networks, they come back later.

use serde_json::json;

use super::{first_step, second_step, two_step_user};
use crate::support::{
    MINUTE, PASSWORD, SECOND,
    client::{Client, Pair},
    http::Request,
    server::{ONE_NAME, TestServer, credentials},
    with,
};

#[tokio::test]
async fn an_authenticator_may_be_25_s_off_and_not_two_steps() {
    let server = TestServer::start().await;
    for (number, (offset, status)) in
        [(-60, 401), (-25, 200), (0, 200), (25, 200), (60, 401)].into_iter().enumerate()
    {
        let name = format!("user-{number}");
        let (_, authenticator) = two_step_user(&server, &name).await;
        server.clock.advance(10 * MINUTE);
        // At the beginning, in the middle and at the end of a step, one after the other.
        for _ in 0..3 {
            server.clock.advance(100 * SECOND);
            let step = (server.clock.now().timestamp() + offset).div_euclid(30);
            let steps = step - server.clock.now().timestamp().div_euclid(30);
            let body = second_step(&first_step(&server, &name).await, &authenticator.code_in(&server, steps));
            server.send(Request::post("/jwt/login").json(&body)).await.expect(status);
        }
    }
}

#[tokio::test]
async fn a_code_is_good_once_for_signing_in_and_stepping_up_together() {
    let server = TestServer::with(&[ONE_NAME]).await;
    let another = server.another_node().await;
    let (client, authenticator) = two_step_user(&server, "ada").await;
    let step_up = |client: &Client, code: &str| {
        client.request("POST", "/session/step-up").json(&json!({ "code": code }))
    };
    for code in [authenticator.code_in(&server, 1), authenticator.recovery_codes[0].clone()] {
        let body = second_step(&first_step(&server, "ada").await, &code);
        server.send(Request::post("/jwt/login").json(&body)).await.expect(200);
        another.send(step_up(&client.at(&another), &code)).await.problem(401, "invalid_code");
        server.clock.advance(MINUTE);
    }
    let mut client = client;
    for code in [authenticator.code_in(&server, 1), authenticator.recovery_codes[1].clone()] {
        client.send(step_up(&client, &code)).await.expect(200);
        let body = second_step(&first_step(&another, "ada").await, &code);
        another.send(Request::post("/jwt/login").json(&body)).await.problem(401, "invalid_code");
        server.clock.advance(MINUTE);
    }
}

#[tokio::test]
async fn the_second_step_comes_from_any_network() {
    let server = TestServer::with(&[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let (_, authenticator) = two_step_user(&server, "ada").await;
    let from = |network: &str| Request::post("/jwt/login").header("X-Forwarded-For", network);
    let first = from("192.0.2.1").json(&credentials("ada"));
    let pending = server.send(first).await.problem(401, "second_factor_required").json();
    let second = from("2001:db8::7").json(&second_step(&pending, &authenticator.next_code(&server)));
    server.send(second).await.expect(200);
}

#[tokio::test]
async fn nothing_tells_of_a_sign_in_before_its_second_step_and_then_it_has_the_roles_of_that_time() {
    let server = TestServer::start().await;
    let (client, authenticator) = two_step_user(&server, "ada").await;
    let before = client.get("/account/logins").await.ok();
    let pending = first_step(&server, "ada").await;
    assert_eq!(client.get("/account/logins").await.ok(), before, "neither a login nor a use of one");
    crate::nodes::sql(&server, "update users set roles = '{editor}'").await;
    let body = second_step(&pending, &authenticator.next_code(&server));
    let user = server.send(Request::post("/jwt/login").json(&body)).await.ok();
    assert_eq!(user["user"]["roles"], json!(["editor"]));
}

#[tokio::test]
async fn a_proxy_asks_for_two_factors_of_late_on_either_node() {
    let server = TestServer::with(&[ONE_NAME]).await;
    let another = server.another_node().await;
    let (_, authenticator) = two_step_user(&server, "ada").await;
    for pair in Pair::ALL {
        let mut client = Client::new(&server, pair);
        let body = second_step(&first_step(&server, "ada").await, &authenticator.next_code(&server));
        client.login(&with(body, "transport", pair.transport.name())).await.expect(200);
        let proved = client.profile().await.ok()["auth"]["auth_time"].clone();
        let path = "/verify?acr_values=aal2&max_age=60";
        for (seconds, is_fresh) in [(60, true), (1, false)] {
            server.clock.advance(seconds * SECOND);
            // Neither a refresh nor the strength makes it any younger.
            client.refresh().await.ok();
            assert_eq!(client.profile().await.ok()["auth"]["auth_time"], proved, "{pair:?}");
            for node in [&server, &another] {
                let answer = client.at(node).get(path).await;
                if is_fresh {
                    let answer = answer.expect(200);
                    assert_eq!(answer.header("x-auth-acr"), Some("aal2"));
                    assert_eq!(answer.header("x-auth-amr"), Some("pwd,otp,mfa"));
                    assert_eq!(answer.header("x-auth-time"), proved.as_str());
                    continue;
                }
                let refused = answer.problem(401, "insufficient_user_authentication");
                let challenge =
                    r#"Bearer error="insufficient_user_authentication", acr_values="aal2", max_age="60""#;
                assert_eq!(refused.header("www-authenticate"), Some(challenge));
                let methods = json!(["password", "totp", "recovery_code"]);
                assert_eq!(refused.json()["methods"], methods, "{pair:?}");
            }
        }
        // What proves it anew is kept over a refresh, in every way that it is presented.
        client.step_up(PASSWORD).await.ok();
        client.refresh().await.ok();
        let auth = client.profile().await.ok()["auth"].clone();
        assert!(auth["auth_time"] != proved && auth["acr"] == "aal2", "{pair:?}: {auth}");
        crate::support::eventually("a fresh login on the other node", async || {
            client.at(&another).get(path).await.status == 200
        })
        .await;
    }
}

#[tokio::test]
async fn who_has_nothing_to_prove_it_with_is_never_fresh_again() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::SESSION_COOKIE, "ada").await;
    crate::nodes::sql(&server, "update users set password_hash = null").await;
    server.clock.advance(11 * MINUTE);
    let refused = super::ask(&server, &client).await.problem(401, "insufficient_user_authentication");
    assert_eq!(refused.json()["methods"], json!([]));
    let set = client.request("POST", "/account/password").json(&json!({ "new_password": PASSWORD }));
    server.send(set).await.problem(401, "insufficient_user_authentication");
}
