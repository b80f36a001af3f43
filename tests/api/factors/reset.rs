//! Forgotten passwords of accounts with two-step sign-in: a reset takes both factors.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{Authenticator, first_step, second_step};
use crate::challenges::{self, Halves, email_of, halves};
use crate::support::{
    MINUTE,
    client::{Client, Pair},
    http::{Request, Response},
    mail_server::MailServer,
    server::{TestServer, credentials},
    with,
};

const NEW_PASSWORD: &str = "another quiet lantern by the river";

/// Somebody who has two-step sign-in, and whose address is proved.
async fn two_step_reader(server: &TestServer, name: &str) -> (Client, Authenticator) {
    server.user(name).await;
    crate::nodes::sql(server, "update users set email_verified_at = now()").await;
    let client = Client::signed_in(server, Pair::SESSION_BEARER, name).await;
    let authenticator = super::enrol(server, &client).await;
    (client, authenticator)
}

async fn reset(node: &TestServer, body: &Value) -> Response {
    let body = with(body.clone(), "new_password", NEW_PASSWORD);
    node.send(Request::post("/account/password/reset").json(&body)).await
}

/// Asks for a code by mail, and sends it.
async fn first_step_of_reset(server: &TestServer, mails: &MailServer, name: &str) -> (Halves, Value) {
    let halves = halves(server, mails, "reset_password", &email_of(name)).await;
    let pending = reset(server, &halves.json()).await.problem(401, "second_factor_required").json();
    (halves, pending)
}

async fn password_works(server: &TestServer, name: &str, password: &str) -> bool {
    let login = with(credentials(name), "password", password);
    let answer = server.send(Request::post("/jwt/login").json(&login)).await;
    match answer.status {
        401 => answer.json()["code"] == "second_factor_required",
        _ => panic!("{answer}"),
    }
}

#[tokio::test]
async fn a_reset_takes_the_mail_and_a_second_factor_on_either_node_and_signs_nobody_in() {
    let (server, mails) = challenges::server().await;
    let another = server.another_node().await;
    for (name, by_recovery_code) in [("ada", false), ("bea", true)] {
        let (client, authenticator) = two_step_reader(&server, name).await;
        let halves = halves(&server, &mails, "reset_password", &email_of(name)).await;
        let answer = reset(&server, &halves.json()).await;
        assert!(answer.set_cookies().is_empty());
        let pending = answer.problem(401, "second_factor_required").not_stored().json();
        assert_eq!(pending["challenge"], halves.json()["challenge"], "the same challenge");
        assert_eq!(pending["methods"], json!(["totp", "recovery_code"]));
        assert!(pending["expires_at"].is_string());
        client.profile().await.expect(200);
        assert!(password_works(&server, name, crate::support::PASSWORD).await, "nothing has changed");
        // The mail's code has been used: it is no second factor.
        reset(&another, &halves.json()).await.problem(401, "invalid_code");

        let code = match by_recovery_code {
            true => authenticator.recovery_codes[0].clone(),
            false => authenticator.next_code(&server),
        };
        let body = second_step(&pending, &code);
        let short = with(body.clone(), "new_password", "short");
        let refused = another.send(Request::post("/account/password/reset").json(&short)).await;
        refused.points_at(&["/new_password"]);
        let done = reset(&another, &body).await.expect(204).not_stored();
        assert!(done.set_cookies().is_empty() && done.text().is_empty());
        crate::support::eventually("the end", async || client.profile().await.status == 401).await;
        client.assert_refused("session_expired").await;
        reset(&server, &body).await.problem(401, "challenge_expired");
        assert!(password_works(&server, name, NEW_PASSWORD).await, "and it skips no second step");
        let login = with(credentials(name), "password", crate::support::PASSWORD);
        let login = Request::post("/jwt/login").json(&login);
        server.send(login).await.problem(401, "invalid_credentials");
    }
}

#[tokio::test]
async fn each_half_of_a_reset_has_five_tries_and_the_whole_ten_minutes() {
    let (server, mails) = challenges::server().await;
    let (_, authenticator) = two_step_reader(&server, "ada").await;
    let asked = halves(&server, &mails, "reset_password", &email_of("ada")).await;
    for _ in 0..4 {
        let wrong = with(asked.json(), "code", "no code at all");
        reset(&server, &wrong).await.problem(401, "invalid_code");
    }
    let pending = reset(&server, &asked.json()).await.problem(401, "second_factor_required").json();
    for wrong in ["000000", "", "a recovery code, perhaps", "12345678", "000000"] {
        reset(&server, &second_step(&pending, wrong)).await.problem(401, "invalid_code");
    }
    let code = authenticator.next_code(&server);
    reset(&server, &second_step(&pending, &code)).await.problem(401, "challenge_expired");

    let (_, pending) = first_step_of_reset(&server, &mails, "ada").await;
    server.clock.advance(10 * MINUTE);
    let code = authenticator.code_in(&server, 0);
    reset(&server, &second_step(&pending, &code)).await.problem(401, "challenge_expired");
    assert!(password_works(&server, "ada", crate::support::PASSWORD).await);
}

#[tokio::test]
async fn of_twenty_second_factors_at_once_on_two_nodes_one_resets() {
    let (server, mails) = challenges::server().await;
    let another = server.another_node().await;
    let (_, authenticator) = two_step_reader(&server, "ada").await;
    let (_, one) = first_step_of_reset(&server, &mails, "ada").await;
    let (_, other) = first_step_of_reset(&server, &mails, "ada").await;
    // Two codes, so that two challenges could be used.
    let codes = [authenticator.next_code(&server), authenticator.recovery_codes[0].clone()];
    let requests = (0..20).map(|number| {
        let node = if number % 2 == 0 { &server } else { &another };
        let (pending, code) = if number % 4 < 2 { (&one, &codes[0]) } else { (&other, &codes[1]) };
        async move { reset(node, &second_step(pending, code)).await.status }
    });
    let statuses = join_all(requests).await;
    assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [204, 401].contains(status)), "{statuses:?}");
    // Of right mail codes at once, one goes on; the others count as no tries at the second factor.
    let halves = halves(&server, &mails, "reset_password", &email_of("ada")).await;
    let requests = (0..20).map(|number| {
        let node = if number % 2 == 0 { &server } else { &another };
        let halves = &halves;
        async move { reset(node, &halves.json()).await.json()["code"].clone() }
    });
    let codes = join_all(requests).await;
    assert_eq!(codes.iter().filter(|code| **code == "second_factor_required").count(), 1, "{codes:?}");
}

#[tokio::test]
async fn a_reset_that_waits_for_its_second_factor_dies_with_what_it_was_proved_by() {
    let (server, mails) = challenges::server().await;
    let changes = [
        "update users set password_version = password_version + 1 where username = 'user-0'",
        "update users set disabled_at = now() where username = 'user-1'",
        "delete from users where username = 'user-2'",
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let name = format!("user-{number}");
        let (_, authenticator) = two_step_reader(&server, &name).await;
        let (_, pending) = first_step_of_reset(&server, &mails, &name).await;
        crate::nodes::sql(&server, change).await;
        let body = second_step(&pending, &authenticator.next_code(&server));
        reset(&server, &body).await.problem(401, "challenge_expired");
    }
    let (client, authenticator) = two_step_reader(&server, "ada").await;
    let (_, pending) = first_step_of_reset(&server, &mails, "ada").await;
    let path = format!("/account/factors/{}", authenticator.id);
    server.send(client.request("DELETE", &path)).await.expect(204);
    let body = second_step(&pending, &authenticator.next_code(&server));
    reset(&server, &body).await.problem(401, "challenge_expired");
}

#[tokio::test]
async fn a_pending_reset_is_no_sign_in_and_a_pending_sign_in_no_reset() {
    let (server, mails) = challenges::server().await;
    let (_, authenticator) = two_step_reader(&server, "ada").await;
    let (_, bea) = two_step_reader(&server, "bea").await;
    let (_, of_reset) = first_step_of_reset(&server, &mails, "ada").await;
    let of_sign_in = first_step(&server, "ada").await;
    let code = authenticator.next_code(&server);
    for path in ["/jwt/login", "/session/login"] {
        let login = Request::post(path).json(&second_step(&of_reset, &code));
        server.send(login).await.problem(401, "challenge_expired");
    }
    reset(&server, &second_step(&of_sign_in, &code)).await.problem(401, "challenge_expired");
    reset(&server, &second_step(&of_reset, &bea.code_in(&server, 0))).await.problem(401, "invalid_code");
    reset(&server, &second_step(&of_reset, &bea.recovery_codes[0])).await.problem(401, "invalid_code");
    reset(&server, &second_step(&of_reset, &code)).await.expect(204);
}

#[tokio::test]
async fn an_account_that_strangers_have_closed_is_opened_by_both_factors() {
    let mails = MailServer::start().await;
    let url = mails.url();
    let settings = [("SMTP_URL", url.as_str()), ("REGISTRATION", "open"), ("TRUSTED_PROXIES", "127.0.0.1")];
    let server = TestServer::with(&settings).await;
    let (_, authenticator) = two_step_reader(&server, "ada").await;
    let wrong = with(credentials("ada"), "password", "no lantern, no weir, no river");
    for network in 1..=5 {
        for _ in 0..20 {
            let login = Request::post("/jwt/login").header("X-Forwarded-For", format!("192.0.2.{network}"));
            server.send(login.json(&wrong)).await;
        }
    }
    // From where nobody of that account has been before.
    let elsewhere = |path: &str| Request::post(path).header("X-Forwarded-For", "198.51.100.7");
    let login = elsewhere("/jwt/login").json(&credentials("ada"));
    server.send(login).await.problem(429, "rate_limited");
    let halves = halves(&server, &mails, "reset_password", &email_of("ada")).await;
    let body = with(halves.json(), "new_password", NEW_PASSWORD);
    let first = elsewhere("/account/password/reset").json(&body);
    let pending = server.send(first).await.problem(401, "second_factor_required").json();
    let body = second_step(&pending, &authenticator.next_code(&server));
    let second = elsewhere("/account/password/reset").json(&with(body, "new_password", NEW_PASSWORD));
    server.send(second).await.expect(204);
    assert!(password_works(&server, "ada", NEW_PASSWORD).await);
}

#[tokio::test]
async fn what_strangers_fail_between_the_two_steps_keeps_no_code_from_a_reset_but_from_a_sign_in() {
    let settings = [("TRUSTED_PROXIES", "127.0.0.1")];
    let (server, mails) = challenges::server_with(&settings).await;
    let (_, authenticator) = two_step_reader(&server, "ada").await;
    let (_, pending) = first_step_of_reset(&server, &mails, "ada").await;
    let of_sign_in = first_step(&server, "ada").await;
    let code = authenticator.next_code(&server);
    let wrong = with(credentials("ada"), "password", "no lantern, no weir, no river");
    for network in 1..=5 {
        for _ in 0..20 {
            let login = Request::post("/jwt/login").header("X-Forwarded-For", format!("192.0.2.{network}"));
            server.send(login.json(&wrong)).await;
        }
    }
    let elsewhere = |path: &str| Request::post(path).header("X-Forwarded-For", "198.51.100.7");
    let login = elsewhere("/jwt/login").json(&second_step(&of_sign_in, &code));
    server.send(login).await.problem(429, "rate_limited");
    let body = with(second_step(&pending, &code), "new_password", NEW_PASSWORD);
    server.send(elsewhere("/account/password/reset").json(&body)).await.expect(204);
}
