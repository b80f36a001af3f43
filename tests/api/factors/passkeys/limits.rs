//! Limits of passkeys and security keys, in the metrics and in the audit trail; and of challenges for anybody's.

use serde_json::json;

use super::{Passkey, SITE, ask, ask_to_sign_in, enrol_this, send_new, sign_in_at, user_with};
use crate::challenges::count;
use crate::factors::{enrol_with, first_step, second_step};
use crate::nodes::sql;
use crate::support::{
    MINUTE, SECOND, eventually,
    http::Request,
    server::{METRICS, TestServer, credentials},
    with,
};

async fn assert_counted(server: &TestServer, counts: &[(&str, &str, &str, f64)]) {
    for (purpose, method, outcome, expected) in counts {
        let name =
            format!(r#"dualauth_challenges_total{{for="{purpose}",method="{method}",outcome="{outcome}"}}"#);
        let count = server.metric(&name).await;
        assert!((count - expected).abs() < 0.1, "{name}: {count}");
    }
}

#[tokio::test]
async fn what_a_limit_refuses_is_counted_and_told_as_at_sign_ins() {
    let server = TestServer::with(&[SITE, METRICS, ("LOGIN_LIMIT", "3/1m")]).await;
    let (client, mut key) = user_with(&server, "ada", Passkey::new("security_key")).await;
    let mut passkey = enrol_this(&server, &client, Passkey::new("passkey")).await;
    let to_sign_in = ask_to_sign_in(&server).await;
    let pending = first_step(&server, "ada").await;
    let step_up = ask(&server, &client, "step_up", "passkey").await.expect(201).json();
    let new = ask(&server, &client, "factor", "passkey").await.expect(201).json();
    let new_totp = crate::factors::ask(&server, &client).await.expect(201).json();
    for _ in 0..3 {
        let wrong = with(credentials("ada"), "password", "no lantern, no weir, no river");
        server.send(Request::post("/jwt/login").json(&wrong)).await.problem(401, "invalid_credentials");
    }
    let own = |body| client.request("POST", "/session/step-up").json(&body);
    let registration = Passkey::new("passkey").register(&new["passkey"]);
    for answer in [
        sign_in_at(&server, &passkey.halves(&to_sign_in)).await,
        sign_in_at(&server, &key.halves(&pending)).await,
        sign_in_at(&server, &second_step(&pending, "123456")).await,
        server.send(own(passkey.halves(&step_up))).await,
        server.send(own(json!({ "code": "123456" }))).await,
        send_new(&server, &client, &new, &registration).await,
        enrol_with(&server, &client, &new_totp, "123456").await,
    ] {
        answer.problem(429, "rate_limited");
    }
    assert_counted(
        &server,
        &[
            ("login", "passkey", "rate_limited", 2.0),
            ("login", "totp", "rate_limited", 1.0),
            ("step_up", "passkey", "rate_limited", 1.0),
            ("step_up", "totp", "rate_limited", 1.0),
            ("factor", "passkey", "rate_limited", 1.0),
            ("factor", "totp", "rate_limited", 1.0),
        ],
    )
    .await;
    for (query, expected) in [
        ("select count(*) from audit_events where event = 'login_limited' and detail ->> 'for' = 'login'", 3),
        (
            "select count(*) from audit_events where event = 'login_limited' and detail ->> 'for' = 'step_up'",
            2,
        ),
        (
            "select count(*) from audit_events where event = 'login_limited' and detail ->> 'for' = 'factor'",
            2,
        ),
        (
            "select count(*) from audit_events where event = 'login_limited' and detail ->> 'limit' = 'login'",
            7,
        ),
    ] {
        eventually(query, async || count(&server, query).await == expected).await;
    }
}

#[tokio::test]
async fn a_challenge_that_is_over_is_counted() {
    let server = TestServer::with(&[SITE, METRICS]).await;
    let (client, mut passkey) = user_with(&server, "ada", Passkey::new("passkey")).await;
    let to_sign_in = ask_to_sign_in(&server).await;
    let step_up = ask(&server, &client, "step_up", "passkey").await.expect(201).json();
    let new = ask(&server, &client, "factor", "security_key").await.expect(201).json();
    server.clock.advance(11 * MINUTE);
    let registration = Passkey::new("security_key").register(&new["passkey"]);
    let own = client.request("POST", "/session/step-up").json(&passkey.halves(&step_up));
    for answer in [
        sign_in_at(&server, &passkey.halves(&to_sign_in)).await,
        server.send(own).await,
        send_new(&server, &client, &new, &registration).await,
    ] {
        answer.problem(401, "challenge_expired");
    }
    let expired =
        ["login", "step_up", "factor"].map(|purpose| (purpose, "passkey", "challenge_expired", 1.0));
    assert_counted(&server, &expired).await;
}

#[tokio::test]
async fn an_account_that_strangers_have_closed_is_told_with_the_limit_that_keeps_its_key_out() {
    let server = TestServer::with(&[SITE, ("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let (_, mut key) = user_with(&server, "ada", Passkey::new("security_key")).await;
    let pending = first_step(&server, "ada").await;
    let wrong = with(credentials("ada"), "password", "no lantern, no weir, no river");
    for network in 1..=5 {
        for _ in 0..20 {
            let login = Request::post("/jwt/login").header("X-Forwarded-For", format!("192.0.2.{network}"));
            server.send(login.json(&wrong)).await;
        }
    }
    for body in [key.halves(&pending), second_step(&pending, "123456")] {
        let login = Request::post("/jwt/login").header("X-Forwarded-For", "198.51.100.7").json(&body);
        server.send(login).await.problem(429, "rate_limited");
    }
    let told = "select count(*) from audit_events where event = 'login_limited' and username = 'ada'
                and detail ->> 'for' = 'login' and detail ->> 'limit' = 'account'";
    eventually("the events", async || count(&server, told).await == 2).await;
}

#[tokio::test]
async fn challenges_for_anybody_s_passkey_have_a_pace_of_their_own() {
    let server = TestServer::with(&[SITE, METRICS, ("REFRESH_LIMIT", "3/1m")]).await;
    let (mut client, _) = user_with(&server, "ada", Passkey::new("passkey")).await;
    let asking = || Request::post("/challenges").json(&json!({ "for": "login", "method": "passkey" }));
    for _ in 0..3 {
        server.send(asking()).await.expect(201);
    }
    let refused = server.send(asking()).await.problem(429, "rate_limited");
    assert_eq!(refused.header("RateLimit-Policy"), Some("\"passkey_challenge\";q=3;w=60"));
    assert_eq!(count(&server, "select count(*) from challenges where purpose = 'login'").await, 3);
    assert_counted(&server, &[("login", "passkey", "rate_limited", 1.0)]).await;
    let told = "select count(*) from audit_events where event = 'login_limited'
                and detail ->> 'for' = 'login' and detail ->> 'limit' = 'passkey_challenge'";
    eventually("the event", async || count(&server, told).await == 1).await;
    // Nobody's refresh, step-up or other network waits for it.
    client.refresh().await.ok();
    ask(&server, &client, "step_up", "passkey").await.expect(201);
    server.clock.advance(20 * SECOND);
    server.send(asking()).await.expect(201);
    sql(&server, "delete from users").await;
}
