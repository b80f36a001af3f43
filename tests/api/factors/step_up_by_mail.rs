//! Step-up by a code that comes by mail: for whoever has nothing else to authenticate by.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::passkeys::SITE;
use crate::challenges::{self, Halves, email_of, halves, with_its_code};
use crate::nodes::sql;
use crate::support::{
    MINUTE, SECOND,
    client::{Client, Pair},
    eventually,
    http::{Request, Response},
    mail_server::MailServer,
    server::{METRICS, TestServer},
    with,
};

async fn server() -> (TestServer, MailServer) {
    challenges::server_with(&[SITE, METRICS]).await
}

/// Somebody who signs in by mail alone, by a login that is not fresh any more.
async fn reader(server: &TestServer, mails: &MailServer, name: &str, pair: Pair) -> Client {
    server.user(name).await;
    sql(server, "update users set password_hash = null, email_verified_at = now()").await;
    let client = signed_in(server, mails, name, pair).await;
    server.clock.advance(11 * MINUTE);
    refreshed(client).await
}

async fn signed_in(server: &TestServer, mails: &MailServer, name: &str, pair: Pair) -> Client {
    let halves = halves(server, mails, "login", &email_of(name)).await;
    let mut client = Client::new(server, pair);
    client.login(&with(halves.json(), "transport", pair.transport.name())).await.expect(200);
    client
}

async fn refreshed(mut client: Client) -> Client {
    client.refresh().await.ok();
    client
}

async fn ask(server: &TestServer, client: &Client) -> Response {
    // An address gets a mail a minute.
    server.clock.advance(MINUTE);
    let body = json!({ "for": "step_up", "method": "email" });
    server.send(client.request("POST", "/challenges").json(&body)).await
}

async fn asked(server: &TestServer, mails: &MailServer, client: &Client) -> Halves {
    let challenge = ask(server, client).await.expect(201).not_stored().json();
    assert_eq!((&challenge["for"], &challenge["method"]), (&json!("step_up"), &json!("email")));
    with_its_code(mails, &challenge).await
}

fn step_up(client: &Client, body: &Value) -> Request {
    client.request("POST", &client.path("step-up")).json(body)
}

/// What a fresh login is wanted for.
async fn fresh_deed(server: &TestServer, client: &Client) -> Response {
    super::ask(server, client).await
}

#[tokio::test]
async fn who_has_nothing_else_steps_up_by_mail_once_in_every_way_on_either_node() {
    let (server, mails) = server().await;
    let another = server.another_node().await;
    for (number, pair) in Pair::ALL.into_iter().enumerate() {
        let name = format!("user-{number}");
        let mut client = reader(&server, &mails, &name, pair).await;
        let refused = fresh_deed(&server, &client).await.problem(401, "insufficient_user_authentication");
        assert_eq!(refused.json()["methods"], json!(["email"]), "{pair:?}");
        let earlier = client.profile().await.ok()["auth"].clone();

        let halves = asked(&server, &mails, &client).await.json();
        let before = client.clone();
        client.send(step_up(&client, &halves)).await.expect(200).not_stored();
        server.clock.advance(30 * SECOND);
        let again = step_up(&client, &halves);
        another.send(again).await.problem(401, "challenge_expired");
        assert_eq!(before.refresh_request().send(server.address()).await.status, 401, "{pair:?}");
        let auth = client.profile().await.ok()["auth"].clone();
        assert_eq!((&auth["amr"], &auth["acr"]), (&json!(["email"]), &json!("aal1")), "{pair:?}");
        assert_ne!(auth["auth_time"], earlier["auth_time"]);
        fresh_deed(&server, &client).await.expect(201);
        client.assert_goes_on().await;
    }
    let name = r#"dualauth_challenges_total{for="step_up",method="email",outcome="redeemed"}"#;
    let found = server.metric(name).await;
    assert!((found - 4.0).abs() < 0.1, "{found}");
}

#[tokio::test]
async fn who_has_a_password_or_a_factor_or_no_proved_address_gets_no_such_mail() {
    let (server, mails) = server().await;
    let client = reader(&server, &mails, "ada", Pair::SESSION_BEARER).await;
    let passkey = |rp_id: &str, kind: &str| {
        format!(
            "insert into passkeys (id, user_id, credential_id, public_key, algorithm, kind, name, sign_count,
                 backup_eligible, backed_up, transports, aaguid, rp_id, created_at)
             select gen_random_uuid(), id, uuid_send(gen_random_uuid()), '', -7, '{kind}', '', 0, false, false, '{{}}',
                 gen_random_uuid(), '{rp_id}', now() from users"
        )
    };
    let gone = "delete from passkeys";
    for (what, change, undone, methods) in [
        (
            "a password",
            "update users set password_hash = 'x'",
            "update users set password_hash = null",
            json!(["password"]),
        ),
        ("two steps", "update users set two_step = true", "update users set two_step = false", json!([])),
        ("a passkey", passkey("auth.example.org", "passkey").leak(), gone, json!(["passkey"])),
        (
            "no proof",
            "update users set email_verified_at = null",
            "update users set email_verified_at = now()",
            json!([]),
        ),
    ] {
        sql(&server, change).await;
        ask(&server, &client).await.points_at(&["/method"]);
        let refused = server.send(client.request("DELETE", "/account/password")).await;
        let refused = refused.problem(401, "insufficient_user_authentication");
        assert_eq!(refused.json()["methods"], methods, "{what}");
        sql(&server, undone).await;
    }
    // A passkey from before the service moved is of no use to anybody.
    sql(&server, &passkey("auth.example.net", "passkey")).await;
    asked(&server, &mails, &client).await;
}

#[tokio::test]
async fn a_code_is_its_login_s_its_user_s_and_its_purpose_s() {
    let (server, mails) = server().await;
    let ada = reader(&server, &mails, "ada", Pair::SESSION_BEARER).await;
    let other = signed_in(&server, &mails, "ada", Pair::JWT_BEARER).await;
    let bea = reader(&server, &mails, "bea", Pair::SESSION_COOKIE).await;
    let halves = asked(&server, &mails, &ada).await.json();
    let later = || server.clock.advance(30 * SECOND);
    for client in [&other, &bea] {
        server.send(step_up(client, &halves)).await.problem(401, "challenge_expired");
    }
    server.send(Request::post("/jwt/login").json(&halves)).await.problem(401, "challenge_expired");
    let reset = with(halves.clone(), "new_password", "another quiet lantern by the river");
    server
        .send(Request::post("/account/password/reset").json(&reset))
        .await
        .problem(401, "challenge_expired");
    server.send(ada.request("POST", "/account/email").json(&halves)).await.problem(401, "challenge_expired");
    // Nor are others' good for it.
    let of_login = challenges::halves(&server, &mails, "login", &email_of("ada")).await.json();
    server.send(step_up(&ada, &of_login)).await.problem(401, "challenge_expired");
    later();
    let wrong = with(halves.clone(), "code", "no code at all");
    server.send(step_up(&ada, &wrong)).await.problem(401, "invalid_code");
    let failed = "select count(*) from audit_events where event = 'step_up_failed' and username = 'ada'";
    eventually("the event", async || challenges::count(&server, failed).await == 1).await;
    later();
    server.send(step_up(&ada, &halves)).await.expect(200);
}

#[tokio::test]
async fn a_code_that_was_asked_for_before_there_was_a_factor_or_a_password_is_of_no_use_after() {
    let (server, mails) = server().await;
    let changes = [
        "update users set two_step = true where username = 'user-0'",
        "update users set password_version = password_version + 1 where username = 'user-1'",
        "update users set password_hash = 'x' where username = 'user-2'",
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let client = reader(&server, &mails, &format!("user-{number}"), Pair::SESSION_BEARER).await;
        let halves = asked(&server, &mails, &client).await.json();
        sql(&server, change).await;
        server.send(step_up(&client, &halves)).await.problem(401, "challenge_expired");
        client.profile().await.expect(200);
    }
}

#[tokio::test]
async fn tries_are_paced_five_end_the_challenge_and_none_ends_the_login() {
    let (server, mails) = server().await;
    let client = reader(&server, &mails, "ada", Pair::SESSION_BEARER).await;
    let halves = asked(&server, &mails, &client).await.json();
    let wrong = with(halves.clone(), "code", "no code at all");
    let mut statuses = Vec::new();
    while statuses.last() != Some(&429) && statuses.len() < 10 {
        statuses.push(server.send(step_up(&client, &wrong)).await.status);
    }
    assert!(statuses[0] == 401 && statuses.last() == Some(&429), "{statuses:?}");
    // A try that is refused by its pace uses nothing up.
    server.send(step_up(&client, &halves)).await.problem(429, "rate_limited");
    let limited = "select count(*) from audit_events where event = 'login_limited' and username = 'ada'";
    eventually("the events", async || challenges::count(&server, limited).await == 2).await;
    for _ in statuses.len() - 1..5 {
        server.clock.advance(MINUTE);
        server.send(step_up(&client, &wrong)).await.problem(401, "invalid_code");
    }
    server.clock.advance(MINUTE);
    server.send(step_up(&client, &halves)).await.problem(401, "challenge_expired");
    client.assert_goes_on().await;
}

#[tokio::test]
async fn of_twenty_codes_at_once_one_steps_up() {
    let (server, mails) = server().await;
    let another = server.another_node().await;
    let client = reader(&server, &mails, "ada", Pair::JWT_BEARER).await;
    let halves = asked(&server, &mails, &client).await.json();
    let requests = (0..20).map(|number| {
        let node = if number % 2 == 0 { &server } else { &another };
        node.send(step_up(&client, &halves))
    });
    let statuses: Vec<u16> = join_all(requests).await.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
}

#[tokio::test]
async fn the_row_names_no_address_and_mail_that_is_off_is_told() {
    let (server, mails) = server().await;
    let client = reader(&server, &mails, "ada", Pair::SESSION_BEARER).await;
    let body = json!({ "for": "step_up", "method": "email", "email": email_of("ada") });
    server.send(client.request("POST", "/challenges").json(&body)).await.points_at(&["/email"]);
    let nobody = Request::post("/challenges").json(&json!({ "for": "step_up", "method": "email" }));
    server.send(nobody).await.problem(401, "not_authenticated");
    let off = TestServer::with(&[SITE]).await;
    let client = Client::of_new_user(&off, Pair::SESSION_BEARER, "ada").await;
    sql(&off, "update users set password_hash = null, email_verified_at = now()").await;
    let body = json!({ "for": "step_up", "method": "email" });
    off.send(client.request("POST", "/challenges").json(&body)).await.problem(503, "unavailable");
    off.clock.advance(11 * MINUTE);
    let refused = fresh_deed(&off, &client).await.problem(401, "insufficient_user_authentication");
    assert_eq!(refused.json()["methods"], json!([]));
}
