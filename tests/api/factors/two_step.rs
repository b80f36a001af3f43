//! Signing in in two steps.

use futures_util::future::join_all;
use serde_json::json;

use super::{Authenticator, first_step, second_step, two_step_user};
use crate::challenges;
use crate::support::{
    MINUTE, PASSWORD,
    client::{Client, Mode, Pair},
    http::Request,
    server::{TestServer, credentials},
    with,
};

#[tokio::test]
async fn every_way_in_takes_both_factors_and_goes_on_in_either_mode_on_either_node() {
    let (server, mails) = challenges::server().await;
    server.user("ada").await;
    crate::nodes::sql(&server, "update users set email_verified_at = now()").await;
    let client = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    let authenticator = super::enrol(&server, &client).await;
    let another = server.another_node().await;
    for first in Pair::ALL {
        for second in Pair::ALL {
            // An address gets five mails an hour.
            for by_mail in [false, true].into_iter().filter(|by_mail| !by_mail || first == second) {
                let body = if by_mail {
                    challenges::halves(&server, &mails, "login", &challenges::email_of("ada")).await.json()
                } else {
                    credentials("ada")
                };
                let body = with(body, "transport", first.transport.name());
                let path = first.mode.path("login");
                let answer = server.send(Request::post(&path).json(&body)).await;
                assert!(answer.set_cookies().is_empty(), "{first:?}");
                let pending = answer.problem(401, "second_factor_required").not_stored().json();
                assert_eq!(pending["methods"], json!(["totp", "recovery_code"]));
                let code = authenticator.next_code(&server);
                let body = with(second_step(&pending, &code), "transport", second.transport.name());
                let mut client = Client::new(&another, second);
                client.login(&body).await.expect(200);
                let auth = client.profile().await.ok()["auth"].clone();
                let amr = if by_mail { ["email", "otp", "mfa"] } else { ["pwd", "otp", "mfa"] };
                assert_eq!(
                    (&auth["amr"], &auth["acr"]),
                    (&json!(amr), &json!("aal2")),
                    "{first:?} {second:?}"
                );
                another.send(Request::post(&path).json(&body)).await.problem(401, "challenge_expired");
                client.logout().await.expect(204);
            }
        }
    }
}

#[tokio::test]
async fn what_was_asked_for_in_the_first_step_holds_in_the_second_unless_it_is_asked_for_again() {
    let server = TestServer::start().await;
    let (_, authenticator) = two_step_user(&server, "ada").await;
    let asked = with(with(credentials("ada"), "remember_me", true), "device_name", "Ada's telephone");
    for (again, transport, remember_me, name) in [
        (json!({}), "bearer", true, "Ada's telephone"),
        (
            json!({ "transport": "cookie", "remember_me": false, "device_name": "Tablet" }),
            "cookie",
            false,
            "Tablet",
        ),
    ] {
        let first = Request::post("/session/login").json(&with(asked.clone(), "transport", "bearer"));
        let pending = server.send(first).await.problem(401, "second_factor_required").json();
        let mut body = second_step(&pending, &authenticator.next_code(&server));
        for (member, value) in again.as_object().expect("members") {
            body = with(body, member, value.clone());
        }
        let answer = server.send(Request::post("/session/login").json(&body)).await.expect(200);
        assert_eq!(answer.set_cookies().is_empty(), transport == "bearer");
        let login = answer.json()["login"].clone();
        assert_eq!((&login["transport"], &login["remember_me"]), (&json!(transport), &json!(remember_me)));
        let query = "select count(*) from logins where ended_at is null and device_name = ";
        let count = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(format!(
            "{query}'{}'",
            name.replace('\'', "''")
        )));
        assert_eq!(count.fetch_one(&mut server.sql().await).await.expect("a number"), 1);
    }
}

#[tokio::test]
async fn of_twenty_uses_of_a_code_at_once_one_signs_in_however_many_challenges() {
    let server = TestServer::start().await;
    let another = server.another_node().await;
    for name in ["ada", "bea"] {
        let (_, authenticator) = two_step_user(&server, name).await;
        let totp = authenticator.next_code(&server);
        let code = if name == "ada" { &totp } else { &authenticator.recovery_codes[3] };
        let [one, other] = [first_step(&server, name).await, first_step(&server, name).await];
        let requests = (0..20).map(|number| {
            let node = if number % 2 == 0 { &server } else { &another };
            let pending = if number % 5 < 2 { &one } else { &other };
            let path = if number % 3 == 0 { "/jwt/login" } else { "/session/login" };
            node.send(Request::post(path).json(&second_step(pending, code)))
        });
        let statuses: Vec<u16> = join_all(requests).await.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    }
}

#[tokio::test]
async fn an_older_step_is_not_accepted_after_a_newer_one() {
    let server = TestServer::start().await;
    let (_, authenticator) = two_step_user(&server, "ada").await;
    server.clock.advance(MINUTE);
    for (steps, status) in [(1, 200), (0, 401), (-1, 401), (1, 401)] {
        let pending = first_step(&server, "ada").await;
        let body = second_step(&pending, &authenticator.code_in(&server, steps));
        server.send(Request::post("/jwt/login").json(&body)).await.expect(status);
    }
}

#[tokio::test]
async fn a_pending_sign_in_is_none() {
    let server = TestServer::start().await;
    let (client, _) = two_step_user(&server, "ada").await;
    let pending = first_step(&server, "ada").await;
    let listed = client.get("/account/logins").await.ok()["logins"].as_array().expect("logins").len();
    assert_eq!(listed, 1);
    let token = crate::support::text(&pending["challenge"]);
    for path in ["/session/profile", "/jwt/profile", "/profile", "/verify"] {
        assert_eq!(server.send(Request::get(path).bearer(token)).await.status, 401, "{path}");
    }
    let cookie = format!("sessionid={token}");
    let by_cookie = Request::get("/session/profile").header("Cookie", &cookie);
    assert_eq!(server.send(by_cookie).await.status, 401);
}

#[tokio::test]
async fn a_pending_sign_in_dies_with_what_it_was_proved_by() {
    let server = TestServer::start().await;
    let changes = [
        "update users set password_version = password_version + 1 where username = 'user-0'",
        "update users set disabled_at = now() where username = 'user-1'",
        "delete from users where username = 'user-2'",
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let name = format!("user-{number}");
        let (_, authenticator) = two_step_user(&server, &name).await;
        let pending = first_step(&server, &name).await;
        crate::nodes::sql(&server, change).await;
        let body = second_step(&pending, &authenticator.next_code(&server));
        server.send(Request::post("/jwt/login").json(&body)).await.problem(401, "challenge_expired");
    }
    let (client, authenticator) = two_step_user(&server, "ada").await;
    let password =
        json!({ "current_password": PASSWORD, "new_password": "another quiet lantern by the river" });
    let pending = first_step(&server, "ada").await;
    server.send(client.request("POST", "/account/password").json(&password)).await.expect(204);
    let body = second_step(&pending, &authenticator.next_code(&server));
    server.send(Request::post("/jwt/login").json(&body)).await.problem(401, "challenge_expired");

    let (client, authenticator) = two_step_user(&server, "bea").await;
    let pending = first_step(&server, "bea").await;
    let path = format!("/account/factors/{}", authenticator.id);
    server.send(client.request("DELETE", &path)).await.expect(204);
    let body = second_step(&pending, &authenticator.next_code(&server));
    server.send(Request::post("/jwt/login").json(&body)).await.problem(401, "challenge_expired");
}

#[tokio::test]
async fn a_pending_sign_in_has_five_tries_and_takes_no_one_else_s_code() {
    let server = TestServer::start().await;
    let (_, ada) = two_step_user(&server, "ada").await;
    let (_, bea) = two_step_user(&server, "bea").await;
    let pending = first_step(&server, "ada").await;
    server.clock.advance(MINUTE);
    let wrong = [bea.code_in(&server, 0), bea.recovery_codes[0].clone(), ada.code_in(&server, 2)];
    for code in wrong.iter().map(String::as_str).chain(["", "12345678"]) {
        let body = second_step(&pending, code);
        server.send(Request::post("/jwt/login").json(&body)).await.problem(401, "invalid_code");
    }
    let body = second_step(&pending, &ada.code_in(&server, 0));
    server.send(Request::post("/jwt/login").json(&body)).await.problem(401, "challenge_expired");
    let pending = first_step(&server, "ada").await;
    server.clock.advance(11 * MINUTE);
    let body = second_step(&pending, &ada.code_in(&server, 0));
    server.send(Request::post("/jwt/login").json(&body)).await.problem(401, "challenge_expired");
}

#[tokio::test]
async fn a_recovery_code_signs_in_once_however_it_is_typed_and_the_owner_is_told() {
    let (server, mails) = challenges::server().await;
    server.user("ada").await;
    crate::nodes::sql(&server, "update users set email_verified_at = now()").await;
    let client = Client::signed_in(&server, Pair::SESSION_COOKIE, "ada").await;
    let Authenticator { recovery_codes, .. } = super::enrol(&server, &client).await;
    let code = recovery_codes[0].to_ascii_uppercase();
    let typed = format!("{} {}-{}", &code[..6], &code[6..12], &code[12..]);
    for (mode, status) in [(Mode::Jwt, 200), (Mode::Session, 401)] {
        let body = second_step(&first_step(&server, "ada").await, &typed);
        let answer = server.send(Request::post(&mode.path("login")).json(&body)).await;
        answer.expect(status);
    }
    assert_eq!(client.get("/account/factors").await.ok()["recovery_codes_left"], 9);
    let received = mails.receives(2).await;
    let told = received.iter().filter(|mail| mail.text().contains("Codes left: 9")).count();
    assert_eq!(told, 1, "{:?}", received.iter().map(|mail| mail.text()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_pending_sign_in_goes_on_at_a_node_that_was_started_after_it() {
    let server = TestServer::start().await;
    let (_, authenticator) = two_step_user(&server, "ada").await;
    let pending = first_step(&server, "ada").await;
    let started_later = server.another_node().await;
    let body = second_step(&pending, &authenticator.next_code(&server));
    started_later.send(Request::post("/jwt/login").json(&body)).await.expect(200);
}
