//! Removing passkeys and security keys.

use std::time::Instant;

use futures_util::future::join_all;
use serde_json::json;

use super::{Passkey, SITE, ask, ask_to_sign_in, enrol, enrol_this, server, sign_in, sign_in_at, user_with};
use crate::challenges;
use crate::factors::{enrol_besides, first_step};
use crate::nodes::{assert_refused_in_time, sql};
use crate::support::{
    MINUTE,
    client::{Client, Pair},
    http::{Request, Response},
    server::{TestServer, credentials},
    text,
};

async fn remove(server: &TestServer, client: &Client, id: &str) -> Response {
    server.send(client.request("DELETE", &format!("/account/factors/{id}"))).await
}

#[tokio::test]
async fn removing_the_last_second_factor_turns_two_step_sign_in_off_and_a_passkey_stays() {
    let server = server().await;
    let another = server.another_node().await;
    let (client, key) = user_with(&server, "ada", Passkey::new("security_key")).await;
    let mut passkey = enrol(&server, &client, "passkey").await;
    let totp = text(&enrol_besides(&server, &client).await["id"]).to_owned();
    let (bea, _) = user_with(&server, "bea", Passkey::new("passkey")).await;
    remove(&server, &bea, &key.id).await.problem(404, "not_found");
    for (id, left) in [(&key.id, 10), (&totp, 0)] {
        let mut other = Client::new(&server, Pair::JWT_BEARER);
        other.login(&passkey.halves(&ask_to_sign_in(&server).await)).await.expect(200);
        remove(&another, &client, id).await.expect(204);
        assert_refused_in_time(&other, Instant::now()).await;
        other.assert_refused("token_revoked").await;
        let listed = client.get("/account/factors").await.ok();
        assert_eq!((&listed["two_step"], &listed["recovery_codes_left"]), (&json!(left > 0), &json!(left)));
        remove(&server, &client, id).await.problem(404, "not_found");
    }
    server.send(Request::post("/jwt/login").json(&credentials("ada"))).await.expect(200);
    sign_in(&server, &mut passkey).await.expect(200);
    // Another one gives other recovery codes.
    let again = enrol(&server, &client, "security_key").await;
    assert_eq!(again.recovery_codes.len(), 10);
    assert!(again.recovery_codes.iter().all(|code| !key.recovery_codes.contains(code)));
}

#[tokio::test]
async fn a_removed_passkey_ends_every_other_login_and_challenge_and_the_owner_is_told() {
    let (server, mails) = challenges::server_with(&[SITE]).await;
    server.user("ada").await;
    sql(&server, "update users set email_verified_at = now()").await;
    let client = Client::signed_in(&server, Pair::SESSION_COOKIE, "ada").await;
    let mut passkey = enrol(&server, &client, "passkey").await;
    let mut kept = enrol_this(&server, &client, Passkey::synced()).await;
    let others = Client::in_every_way(&server, "ada").await;
    let enrolment = ask(&server, &client, "factor", "passkey").await.expect(201).json();
    let step_up = ask(&server, &client, "step_up", "passkey").await.expect(201).json();
    let offered = ask_to_sign_in(&server).await;
    remove(&server, &client, &passkey.id).await.expect(204);
    for other in others {
        other.assert_refused(other.pair.mode.ended()).await;
    }
    let answer = Passkey::new("passkey").register(&enrolment["passkey"]);
    super::send_new(&server, &client, &enrolment, &answer).await.problem(401, "challenge_expired");
    let body = client.request("POST", "/session/step-up").json(&kept.halves(&step_up));
    server.send(body).await.problem(401, "challenge_expired");
    sign_in_at(&server, &passkey.halves(&offered)).await.problem(401, "invalid_code");
    sign_in_at(&server, &kept.halves(&offered)).await.expect(200);
    let received = mails.receives(3).await;
    let told = received.iter().filter(|mail| mail.text().contains("A factor was removed")).count();
    assert_eq!(told, 1);
    server.clock.advance(11 * MINUTE);
    remove(&server, &client, &kept.id).await.problem(401, "insufficient_user_authentication");
}

#[tokio::test]
async fn a_pending_sign_in_dies_with_the_removal_of_any_factor() {
    let server = server().await;
    let (client, mut key) = user_with(&server, "ada", Passkey::new("security_key")).await;
    let passkey = enrol(&server, &client, "passkey").await;
    let pending = first_step(&server, "ada").await;
    remove(&server, &client, &passkey.id).await.expect(204);
    sign_in_at(&server, &key.halves(&pending)).await.problem(401, "challenge_expired");
    let pending = first_step(&server, "ada").await;
    sign_in_at(&server, &key.halves(&pending)).await.expect(200);
}

#[tokio::test]
async fn of_the_last_two_second_factors_removed_at_once_neither_leaves_two_steps_that_nobody_can_take() {
    let server = server().await;
    let another = server.another_node().await;
    for round in 0..5 {
        let name = format!("user-{round}");
        let (client, key) = user_with(&server, &name, Passkey::new("security_key")).await;
        let totp = text(&enrol_besides(&server, &client).await["id"]).to_owned();
        let answers = join_all([remove(&server, &client, &key.id), remove(&another, &client, &totp)]).await;
        for answer in answers {
            answer.expect(204);
        }
        let listed = client.get("/account/factors").await.ok();
        assert_eq!((&listed["two_step"], &listed["recovery_codes_left"]), (&json!(false), &json!(0)));
    }
}

#[tokio::test]
async fn what_is_done_with_passkeys_is_told_with_what_it_was() {
    let mut server = server().await;
    let (client, mut key) = user_with(&server, "ada", Passkey::new("security_key").counting(3)).await;
    let passkey = enrol(&server, &client, "passkey").await;
    let pending = first_step(&server, "ada").await;
    let answer = key.answer_with(&pending["passkey"], |draft| draft.sign_count = 3);
    sign_in_at(&server, &super::halves(&pending, &answer)).await.problem(401, "invalid_code");
    let answer =
        passkey.answer_with(&pending["passkey"], |draft| draft.client_data["crossOrigin"] = json!(true));
    sign_in_at(&server, &super::halves(&pending, &answer)).await.problem(401, "invalid_code");
    sign_in_at(&server, &key.halves(&pending)).await.expect(200);
    remove(&server, &client, &key.id).await.expect(204);
    let step_up = ask(&server, &client, "step_up", "passkey").await.expect(201).json();
    let answer = passkey.without_pin().answer(&step_up["passkey"]);
    let request = client.request("POST", "/session/step-up").json(&super::halves(&step_up, &answer));
    server.send(request).await.problem(401, "invalid_code");
    server.stop().await;
    let query = "select event, coalesce(detail, '{}') from audit_events where username = 'ada' and event <> 'registered' order by id";
    let events: Vec<(String, serde_json::Value)> =
        sqlx::query_as(query).fetch_all(&mut server.sql().await).await.expect("the trail");
    let told: Vec<_> = events
        .iter()
        .map(|(event, detail)| {
            let word = detail["factor"].as_str().or(detail["reason"].as_str()).unwrap_or_default();
            format!("{event} {word}").trim_end().to_owned()
        })
        .collect();
    let expected = [
        "login_started",
        "factor_added security_key",
        "factor_added passkey",
        "passkey_counter_behind the counter is behind",
        "second_factor_failed made in a frame of another origin",
        "login_started",
        "factor_removed security_key",
        "step_up_failed the user was not verified",
    ];
    assert_eq!(told, expected);
}
