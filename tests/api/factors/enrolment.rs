//! Enrolling an authenticator.

use futures_util::future::join_all;
use serde_json::json;

use super::{Authenticator, ask, enrol, enrol_with, first_step, second_step};
use crate::challenges;
use crate::support::{
    MINUTE,
    client::{Client, Mode, Pair},
    http::Request,
    server::{TestServer, credentials},
    text,
};

#[tokio::test]
async fn an_authenticator_is_enrolled_by_its_first_code_and_turns_two_step_sign_in_on() {
    let server = TestServer::start().await;
    for (number, pair) in Pair::ALL.into_iter().enumerate() {
        let mut client = Client::of_new_user(&server, pair, &format!("user-{number}")).await;
        let before = client.get("/account/factors").await.ok();
        let nothing = json!({
            "password": true, "email_verified": false, "two_step": false, "totp": null, "passkeys": [],
            "providers": [], "recovery_codes_left": 0,
        });
        assert_eq!(before, nothing);
        let others = Client::in_every_way(&server, &format!("user-{number}")).await;

        let challenge = ask(&server, &client).await.expect(201).not_stored().json();
        assert_eq!((&challenge["for"], &challenge["method"]), (&json!("factor"), &json!("totp")));
        let uri = text(&challenge["totp"]["uri"]);
        let secret = text(&challenge["totp"]["secret"]);
        assert!(uri.starts_with("otpauth://totp/") && uri.contains(&format!("secret={secret}&")), "{uri}");
        assert!(challenge["totp"]["qr"]["size"].as_u64().is_some_and(|size| size > 20));
        assert!(text(&challenge["totp"]["qr"]["path"]).starts_with('M'));
        assert_eq!(client.get("/account/factors").await.ok(), nothing, "nothing has changed yet");

        let code = Authenticator::of(&challenge).code_in(&server, 0);
        let enrolled = enrol_with(&server, &client, &challenge, &code).await.expect(201).not_stored().json();
        assert_eq!(enrolled["name"], "Phone");
        let codes = enrolled["recovery_codes"].as_array().expect("recovery codes");
        assert!(codes.len() == 10 && codes.iter().all(|code| text(code).len() == 24), "{codes:?}");
        for other in others {
            other.assert_refused(other.pair.mode.ended()).await;
        }
        let listed = client.get("/account/factors").await.expect(200);
        assert!(!listed.text().contains(secret), "the secret is never shown again");
        let listed = listed.json();
        assert_eq!((&listed["two_step"], &listed["recovery_codes_left"]), (&json!(true), &json!(10)));
        assert_eq!((&listed["totp"]["id"], &listed["totp"]["last_used_at"]), (&enrolled["id"], &json!(null)));
        if pair.mode == Mode::Jwt {
            client.refresh().await.ok();
        }
        let auth = client.profile().await.ok()["auth"].clone();
        assert_eq!((&auth["amr"], &auth["acr"]), (&json!(["pwd", "otp", "mfa"]), &json!("aal2")), "{pair:?}");
        client.assert_goes_on().await;
    }
}

#[tokio::test]
async fn a_code_is_accepted_one_step_off_and_no_further() {
    let server = TestServer::start().await;
    for (number, (steps, status)) in
        [(-2, 401), (-1, 201), (0, 201), (1, 201), (2, 401)].into_iter().enumerate()
    {
        let client = Client::of_new_user(&server, Pair::JWT_BEARER, &format!("user-{number}")).await;
        let challenge = ask(&server, &client).await.expect(201).json();
        let code = Authenticator::of(&challenge).code_in(&server, steps);
        enrol_with(&server, &client, &challenge, &code).await.expect(status);
    }
}

#[tokio::test]
async fn five_wrong_codes_end_a_challenge_and_of_many_right_ones_at_once_one_enrols() {
    let server = TestServer::start().await;
    let another = server.another_node().await;
    let client = Client::of_new_user(&server, Pair::SESSION_COOKIE, "ada").await;
    let challenge = ask(&server, &client).await.expect(201).json();
    for _ in 0..5 {
        enrol_with(&server, &client, &challenge, "12345678").await.problem(401, "invalid_code");
    }
    let code = Authenticator::of(&challenge).code_in(&server, 0);
    enrol_with(&server, &client, &challenge, &code).await.problem(401, "challenge_expired");
    assert_eq!(client.get("/account/factors").await.ok()["two_step"], false);

    // Of two challenges as well: the account has one authenticator.
    let [one, other] = [ask(&server, &client).await.json(), ask(&server, &client).await.json()];
    let enrolments = (0..12).map(|number| {
        let node = if number % 2 == 0 { &server } else { &another };
        let challenge = if number % 3 == 0 { &one } else { &other };
        let code = Authenticator::of(challenge).code_in(&server, 0);
        let client = &client;
        async move { enrol_with(node, client, challenge, &code).await.status }
    });
    let statuses = join_all(enrolments).await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    ask(&server, &client).await.problem(409, "conflict");
}

#[tokio::test]
async fn a_challenge_is_good_for_the_login_and_the_account_that_asked_as_they_were_then() {
    let server = TestServer::start().await;
    let ada = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let elsewhere = Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await;
    let bea = Client::of_new_user(&server, Pair::JWT_BEARER, "bea").await;
    let challenge = ask(&server, &ada).await.expect(201).json();
    let code = Authenticator::of(&challenge).code_in(&server, 0);
    for other in [&elsewhere, &bea] {
        enrol_with(&server, other, &challenge, &code).await.problem(401, "challenge_expired");
    }
    let login = json!({ "challenge": challenge["challenge"], "code": code });
    server.send(Request::post("/jwt/login").json(&login)).await.problem(401, "challenge_expired");
    let password = json!({ "current_password": crate::support::PASSWORD, "new_password": "another quiet lantern by the river" });
    server.send(ada.request("POST", "/account/password").json(&password)).await.expect(204);
    enrol_with(&server, &ada, &challenge, &code).await.problem(401, "challenge_expired");

    // The code that has enrolled it signs nobody in.
    let authenticator = enrol(&server, &bea).await;
    let pending = super::first_step(&server, "bea").await;
    let body = super::second_step(&pending, &authenticator.code_in(&server, 0));
    server.send(Request::post("/jwt/login").json(&body)).await.problem(401, "invalid_code");
}

#[tokio::test]
async fn enrolling_wants_a_fresh_login_and_a_proved_address_while_mail_is_on() {
    let (server, _mails) = challenges::server().await;
    let client = Client::of_new_user(&server, Pair::SESSION_COOKIE, "ada").await;
    let body = json!({ "for": "factor", "method": "totp" });
    server.send(Request::post("/challenges").json(&body)).await.problem(401, "not_authenticated");
    server.send(client.without_csrf("POST", "/challenges").json(&body)).await.problem(403, "csrf_failed");
    ask(&server, &client).await.problem(403, "email_not_verified");
    crate::nodes::sql(&server, "update users set email_verified_at = now()").await;
    ask(&server, &client).await.expect(201);
    server.clock.advance(11 * MINUTE);
    let refused = ask(&server, &client).await.problem(401, "insufficient_user_authentication");
    assert_eq!(refused.json()["methods"], json!(["password"]));
    for (body, pointer) in [
        (json!({ "for": "factor", "method": "email", "email": "a@b.example" }), "/method"),
        (json!({ "for": "login", "method": "totp" }), "/method"),
        (json!({ "for": "factor", "method": "totp", "email": "a@b.example" }), "/email"),
    ] {
        server.send(client.request("POST", "/challenges").json(&body)).await.points_at(&[pointer]);
    }
    server.send(Request::post("/jwt/login").json(&credentials("ada"))).await.expect(200);
}

/// Until its own first code comes, a new secret takes the place of nothing.
#[tokio::test]
async fn the_codes_of_an_authenticator_go_on_working_whatever_enrolment_is_under_way_or_refused() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    let pending = ask(&server, &client).await.expect(201).json();
    let authenticator = enrol(&server, &client).await;
    let other = Authenticator::of(&pending);
    let assert_unchanged = async |what: &str| {
        server.clock.advance(MINUTE);
        let wrong = second_step(&first_step(&server, "ada").await, &other.code_in(&server, 0));
        server.send(Request::post("/jwt/login").json(&wrong)).await.problem(401, "invalid_code");
        let right = second_step(&first_step(&server, "ada").await, &authenticator.next_code(&server));
        let answer = server.send(Request::post("/session/login").json(&right)).await;
        assert_eq!(answer.status, 200, "{what}: {answer}");
        assert_eq!(client.get("/account/factors").await.ok()["totp"]["id"], authenticator.id, "{what}");
    };
    assert_unchanged("another enrolment is pending").await;
    ask(&server, &client).await.problem(409, "conflict");
    assert_unchanged("one was refused").await;
    enrol_with(&server, &client, &pending, &other.code_in(&server, 0)).await.problem(409, "conflict");
    assert_unchanged("one was not completed").await;
    enrol_with(&server, &client, &pending, &other.code_in(&server, 0))
        .await
        .problem(401, "challenge_expired");
    assert_unchanged("it was tried again").await;
}
