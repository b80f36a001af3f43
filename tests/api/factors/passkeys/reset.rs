//! Forgotten passwords: the second factor of a reset by passkeys and security keys.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{Passkey, SITE, enrol_this, halves, sign_in};
use crate::challenges::{self, email_of};
use crate::factors::{enrol_besides, first_step};
use crate::nodes::sql;
use crate::support::{
    PASSWORD,
    client::{Client, Pair},
    eventually,
    http::{Request, Response},
    mail_server::MailServer,
    server::{METRICS, TestServer, credentials},
    with,
};

const NEW_PASSWORD: &str = "another quiet lantern by the river";

async fn server() -> (TestServer, MailServer) {
    challenges::server_with(&[SITE, METRICS, ("LOGIN_LIMIT", "1000/1m")]).await
}

/// Somebody with two-step sign-in by a security key, whose address is proved.
async fn reader(server: &TestServer, name: &str) -> (Client, Passkey) {
    server.user(name).await;
    sql(server, "update users set email_verified_at = now()").await;
    let client = Client::signed_in(server, Pair::SESSION_BEARER, name).await;
    let key = enrol_this(server, &client, Passkey::new("security_key").without_pin()).await;
    (client, key)
}

async fn reset(node: &TestServer, body: Value) -> Response {
    let body = with(body, "new_password", NEW_PASSWORD);
    node.send(Request::post("/account/password/reset").json(&body)).await
}

/// Asks for a code by mail, and sends it.
async fn first_half(server: &TestServer, mails: &MailServer, name: &str) -> Value {
    sql(server, "delete from mail_quotas").await;
    let halves = challenges::halves(server, mails, "reset_password", &email_of(name)).await;
    reset(server, halves.json()).await.problem(401, "second_factor_required").not_stored().json()
}

async fn assert_password(server: &TestServer, name: &str, password: &str) {
    let login = Request::post("/jwt/login").json(&with(credentials(name), "password", password));
    server.send(login).await.problem(401, "second_factor_required");
}

#[tokio::test]
async fn a_security_key_or_a_passkey_is_the_second_factor_of_a_reset_once_on_either_node() {
    let (server, mails) = server().await;
    let another = server.another_node().await;
    for (name, by_passkey) in [("ada", false), ("bea", true)] {
        let (client, key) = reader(&server, name).await;
        let passkey = enrol_this(&server, &client, Passkey::synced()).await;
        let mut used = if by_passkey { passkey } else { key };
        let pending = first_half(&server, &mails, name).await;
        assert_eq!(pending["methods"], json!(["recovery_code", "passkey"]));
        let allowed = pending["passkey"]["allowCredentials"].as_array().expect("a list");
        assert_eq!((allowed.len(), &pending["passkey"]["userVerification"]), (2, &json!("preferred")));

        let body = used.halves(&pending);
        // What is refused uses nothing up.
        let short = with(body.clone(), "new_password", "short");
        let refused = another.send(Request::post("/account/password/reset").json(&short)).await;
        refused.points_at(&["/new_password"]);
        client.profile().await.expect(200);
        let done = reset(&another, body.clone()).await.expect(204).not_stored();
        assert!(done.set_cookies().is_empty() && done.text().is_empty());
        eventually("the end", async || client.profile().await.status == 401).await;
        client.assert_refused("session_expired").await;
        for node in [&server, &another] {
            reset(node, body.clone()).await.problem(401, "challenge_expired");
        }
        assert_password(&server, name, NEW_PASSWORD).await;
        let login = Request::post("/jwt/login").json(&with(credentials(name), "password", PASSWORD));
        server.send(login).await.problem(401, "invalid_credentials");
        let told = async || {
            mails.received().iter().any(|mail| {
                mail.text().contains("password") && {
                    let to = mail.header("To").unwrap_or_default();
                    to.contains(&email_of(name)) && !mail.text().contains("/mail#")
                }
            })
        };
        eventually("the notice", told).await;
    }
    for (method, outcome, node, count) in [
        ("security_key", "redeemed", &another, 1.0),
        ("passkey", "redeemed", &another, 1.0),
        // The same challenge goes on, as a sign-in's does.
        ("second_factor", "created", &server, 2.0),
    ] {
        let name = format!(
            r#"dualauth_challenges_total{{for="reset_password",method="{method}",outcome="{outcome}"}}"#
        );
        let found = node.metric(&name).await;
        assert!((found - count).abs() < 0.1, "{name}: {found}");
    }
}

#[tokio::test]
async fn a_passkey_without_its_pin_resets_where_a_security_key_may_and_nowhere_else() {
    let (server, mails) = server().await;
    let (client, key) = reader(&server, "ada").await;
    let mut passkey = enrol_this(&server, &client, Passkey::new("passkey")).await.without_pin();
    enrol_besides(&server, &client).await;
    server.send(client.request("DELETE", &format!("/account/factors/{}", key.id))).await.expect(204);
    let pending = first_half(&server, &mails, "ada").await;
    assert_eq!(pending["passkey"]["userVerification"], "required");
    reset(&server, passkey.halves(&pending)).await.problem(401, "invalid_code");
    assert_password(&server, "ada", PASSWORD).await;

    let (client, _) = reader(&server, "bea").await;
    let mut passkey = enrol_this(&server, &client, Passkey::new("passkey")).await.without_pin();
    let pending = first_half(&server, &mails, "bea").await;
    reset(&server, passkey.halves(&pending)).await.expect(204);
    assert_password(&server, "bea", NEW_PASSWORD).await;
}

#[tokio::test]
async fn a_wrong_or_another_user_s_key_resets_nothing_and_five_end_the_challenge() {
    let (server, mails) = server().await;
    let (_, mut key) = reader(&server, "ada").await;
    let (_, of_bea) = reader(&server, "bea").await;
    let pending = first_half(&server, &mails, "ada").await;
    let options = &pending["passkey"];
    let mut of_another_challenge = options.clone();
    of_another_challenge["challenge"] = first_step(&server, "ada").await["passkey"]["challenge"].clone();
    for (what, answer) in [
        ("nobody's", Passkey::new("security_key").answer(options)),
        ("another user's", of_bea.answer_with(options, |_| ())),
        ("a key that nobody has touched", key.answer_with(options, |draft| draft.flags &= !1)),
        ("an answer to a sign-in", key.answer(&of_another_challenge)),
    ] {
        let refused = reset(&server, halves(&pending, &answer)).await;
        let problem = refused.problem(401, "invalid_code").json();
        assert_eq!(problem["detail"], "The passkey or security key was not accepted.", "{what}");
    }
    // A sign-in's and a reset's challenges are not each other's.
    let of_sign_in = first_step(&server, "ada").await;
    reset(&server, key.halves(&of_sign_in)).await.problem(401, "challenge_expired");
    let login = Request::post("/jwt/login").json(&key.halves(&pending));
    server.send(login).await.problem(401, "challenge_expired");
    let spoilt = key.answer_with(options, |draft| draft.spoil = |signature| signature[9] ^= 1);
    reset(&server, halves(&pending, &spoilt)).await.problem(401, "invalid_code");
    reset(&server, key.halves(&pending)).await.problem(401, "challenge_expired");
    assert_password(&server, "ada", PASSWORD).await;
    let failed = "select count(*) from audit_events where event = 'second_factor_failed' and username = 'ada'
                  and detail ->> 'for' = 'reset_password'";
    eventually("the events", async || challenges::count(&server, failed).await == 5).await;
}

#[tokio::test]
async fn the_mail_comes_before_the_key_and_of_a_code_and_a_key_one_is_sent() {
    let (server, mails) = server().await;
    let (_, mut key) = reader(&server, "ada").await;
    let asked = challenges::halves(&server, &mails, "reset_password", &email_of("ada")).await;
    let options = first_step(&server, "ada").await["passkey"].clone();
    let answer = key.answer(&options);
    reset(&server, halves(&asked.json(), &answer)).await.problem(401, "challenge_expired");
    let both = with(asked.json(), "passkey", answer.clone());
    reset(&server, both).await.points_at(&["/code"]);
    let neither = json!({ "challenge": asked.json()["challenge"] });
    reset(&server, neither).await.points_at(&["/code"]);
    for malformed in [json!({}), json!("…"), json!([])] {
        reset(&server, halves(&asked.json(), &malformed)).await.points_at(&["/passkey"]);
    }
    reset(&server, asked.json()).await.problem(401, "second_factor_required");
    let nowhere = server.another_node_with(&[("PUBLIC_URL", "http://192.0.2.1")]).await;
    reset(&nowhere, halves(&asked.json(), &answer)).await.points_at(&["/method"]);
}

#[tokio::test]
async fn of_twenty_keys_at_once_on_two_nodes_one_resets() {
    let (server, mails) = server().await;
    let another = server.another_node().await;
    let (_, mut key) = reader(&server, "ada").await;
    let (one, other) = (first_half(&server, &mails, "ada").await, first_half(&server, &mails, "ada").await);
    // Two challenges, so that the account's version has to tell.
    let bodies = [key.halves(&one), key.halves(&other)];
    let requests = (0..20).map(|number| {
        let node = if number % 2 == 0 { &server } else { &another };
        reset(node, bodies[usize::from(number % 4 < 2)].clone())
    });
    let statuses: Vec<u16> = join_all(requests).await.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [204, 401].contains(status)), "{statuses:?}");
    assert_password(&server, "ada", NEW_PASSWORD).await;
}

#[tokio::test]
async fn a_reset_dies_with_what_it_was_proved_by_before_its_key_comes() {
    let (server, mails) = server().await;
    let changes = [
        "update users set password_version = password_version + 1 where username = 'user-0'",
        "update users set disabled_at = now() where username = 'user-1'",
        "delete from users where username = 'user-2'",
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let name = format!("user-{number}");
        let (_, mut key) = reader(&server, &name).await;
        let pending = first_half(&server, &mails, &name).await;
        sql(&server, change).await;
        reset(&server, key.halves(&pending)).await.problem(401, "challenge_expired");
    }
}

#[tokio::test]
async fn an_account_that_strangers_have_closed_is_opened_by_its_mail_and_its_key() {
    let settings = [SITE, ("TRUSTED_PROXIES", "127.0.0.1")];
    let (server, mails) = challenges::server_with(&settings).await;
    let (client, mut key) = reader(&server, "ada").await;
    let mut passkey = enrol_this(&server, &client, Passkey::new("passkey")).await;
    let elsewhere = |path: &str| Request::post(path).header("X-Forwarded-For", "198.51.100.7");
    let halves = challenges::halves(&server, &mails, "reset_password", &email_of("ada")).await;
    let body = with(halves.json(), "new_password", NEW_PASSWORD);
    let first = elsewhere("/account/password/reset").json(&body);
    let pending = server.send(first).await.problem(401, "second_factor_required").json();
    let sign_in_pending = first_step(&server, "ada").await;
    let wrong = with(credentials("ada"), "password", "no lantern, no weir, no river");
    for network in 1..=5 {
        for _ in 0..20 {
            let login = Request::post("/jwt/login").header("X-Forwarded-For", format!("192.0.2.{network}"));
            server.send(login.json(&wrong)).await;
        }
    }
    // From where nobody of that account has been before: no sign-in goes on, the reset does.
    let login = elsewhere("/jwt/login").json(&key.halves(&sign_in_pending));
    server.send(login).await.problem(429, "rate_limited");
    let body = with(key.halves(&pending), "new_password", NEW_PASSWORD);
    server.send(elsewhere("/account/password/reset").json(&body)).await.expect(204);
    assert_password(&server, "ada", NEW_PASSWORD).await;
    sign_in(&server, &mut passkey).await.expect(200);
}
