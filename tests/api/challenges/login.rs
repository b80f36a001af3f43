//! Signing in with a code by mail.

use futures_util::future::join_all;
use serde_json::json;

use super::{Halves, ask, asking, count, email_of, halves, reset, server, server_with};
use crate::support::{
    DAY,
    client::{Client, Pair},
    http::Request,
    server::credentials,
    text, with,
};

#[tokio::test]
async fn a_code_signs_in_in_both_modes_and_transports_once_each() {
    let (server, mails) = server().await;
    server.user("ada").await;
    crate::nodes::sql(&server, "update users set email_verified_at = now()").await;
    for pair in Pair::ALL {
        let halves = halves(&server, &mails, "login", &email_of("ada")).await;
        let body = with(halves.json(), "transport", pair.transport.name());
        let mut client = Client::new(&server, pair);
        let device = with(body.clone(), "device_name", "Ada's telephone");
        client.login(&with(device, "remember_me", true)).await.expect(200);
        let auth = client.profile().await.ok()["auth"].clone();
        assert_eq!((&auth["amr"], &auth["acr"]), (&json!(["email"]), &json!("aal1")), "{pair:?}");
        let listed = client.get("/account/logins").await.ok()["logins"][0].clone();
        assert_eq!(
            (&listed["device_name"], &listed["remember_me"]),
            (&json!("Ada's telephone"), &json!(true))
        );
        let again = server.send(Request::post(&pair.mode.path("login")).json(&body)).await;
        assert!(again.problem(401, "challenge_expired").set_cookies().is_empty());
        client.assert_goes_on().await;
    }
    server.send(Request::post("/jwt/login").json(&credentials("ada"))).await.expect(200);
}

#[tokio::test]
async fn of_fifty_right_codes_at_once_one_signs_in() {
    let (server, mails) = server().await;
    server.user("ada").await;
    let another = server.another_node().await;
    let halves = halves(&server, &mails, "login", &email_of("ada")).await;
    let requests = (0..50).map(|number| {
        let node = if number % 2 == 0 { &server } else { &another };
        let path = if number % 3 == 0 { "/jwt/login" } else { "/session/login" };
        node.send(Request::post(path).json(&halves.json()))
    });
    let answers = join_all(requests).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(count(&server, "select count(*) from logins").await, 1);
}

#[tokio::test]
async fn a_code_for_one_purpose_is_none_for_another() {
    let (server, mails) = server().await;
    server.user("ada").await;
    let client = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    let login = halves(&server, &mails, "login", &email_of("ada")).await;
    let for_reset = halves(&server, &mails, "reset_password", &email_of("ada")).await;
    let own = super::ask_signed_in(&server, &client, &email_of("ada")).await.expect(201).json();
    let own = super::with_its_code(&mails, &own).await;

    for wrong in [&login, &own] {
        reset(&server, wrong).await.problem(401, "challenge_expired");
    }
    for wrong in [&for_reset, &own] {
        server.send(Request::post("/jwt/login").json(&wrong.json())).await.problem(401, "challenge_expired");
        let register = Request::post("/session/register").json(&wrong.json());
        server.send(register).await.problem(401, "challenge_expired");
    }
    for wrong in [&login, &for_reset] {
        let prove = client.request("POST", "/account/email").json(&wrong.json());
        server.send(prove).await.problem(401, "challenge_expired");
    }
    // None of that was a try.
    let prove = client.request("POST", "/account/email").json(&own.json());
    server.send(prove).await.expect(200);
    server.send(Request::post("/jwt/login").json(&login.json())).await.expect(200);
    reset(&server, &for_reset).await.expect(204);
}

#[tokio::test]
async fn a_sign_in_by_mail_where_the_address_was_not_proved_shuts_out_whoever_opened_the_account() {
    let (server, mails) = server().await;
    server.user("ada").await;
    let squatter = Client::in_every_way(&server, "ada").await;
    let older = halves(&server, &mails, "reset_password", &email_of("ada")).await;
    let halves = halves(&server, &mails, "login", &email_of("ada")).await;
    let mut owner = Client::new(&server, Pair::SESSION_COOKIE);
    let body = owner.login(&halves.json()).await.expect(200).json();
    assert_eq!(body["user"]["email_verified"], json!(true));
    for client in squatter {
        client.assert_refused(client.pair.mode.ended()).await;
    }
    server
        .send(Request::post("/jwt/login").json(&credentials("ada")))
        .await
        .problem(401, "invalid_credentials");
    reset(&server, &older).await.problem(401, "challenge_expired");
    let notice = mails.receives(3).await.pop().expect("a notice");
    assert!(!notice.text().contains("/mail#"), "{}", notice.text());
    // A password is set on a fresh login, and the account goes on.
    let password =
        owner.request("POST", "/account/password").json(&json!({ "new_password": super::NEW_PASSWORD }));
    owner.send(password).await.expect(204);
    owner.assert_goes_on().await;
}

#[tokio::test]
async fn without_the_setting_no_code_signs_in() {
    let (server, _mails) = server_with(&[("EMAIL_SIGN_IN", "")]).await;
    server.user("ada").await;
    let ask = Request::post("/challenges").json(&asking("login", &email_of("ada")));
    server.send(ask).await.points_at(&["/method"]);
}

#[tokio::test]
async fn a_body_is_of_one_kind_and_names_what_does_not_go() {
    let (server, _mails) = server().await;
    let halves = json!({ "challenge": "dac_x", "code": "12345678" });
    for path in ["/jwt/login", "/session/login"] {
        for (body, pointers) in [
            (json!({}), &["/password", "/username"][..]),
            (json!({ "username": "ada" }), &["/password"]),
            (json!({ "challenge": "dac_x" }), &["/code"]),
            (with(halves.clone(), "username", "ada"), &["/username"]),
            (with(credentials("ada"), "code", "12345678"), &["/challenge", "/password", "/username"]),
            (with(halves.clone(), "handoff", "x"), &["/challenge", "/code"]),
            (with(halves.clone(), "hand_off", "x"), &["/hand_off"]),
        ] {
            server.send(Request::post(path).json(&body)).await.points_at(pointers);
        }
        server.send(Request::post(path).json(&halves)).await.problem(401, "challenge_expired");
    }
    for (body, pointer) in [
        (json!({ "method": "email", "email": "a@b.example" }), "/for"),
        (json!({ "for": "login", "email": "a@b.example" }), "/method"),
        (json!({ "for": "login", "method": "email" }), "/email"),
        (json!({ "for": "login", "method": "email", "email": "nobody" }), "/email"),
        (json!({ "for": "login", "method": "email", "email": "a@b.example\r\nBcc: c@d.example" }), "/email"),
        (json!({ "for": "login", "method": "pigeon", "email": "a@b.example" }), "/method"),
        (json!({ "for": "pigeon", "method": "email", "email": "a@b.example" }), "/for"),
        (json!({ "for": "factor", "method": "email", "email": "a@b.example" }), "/method"),
        (with(asking("login", "a@b.example"), "return_to", "/"), "/return_to"),
    ] {
        server.send(Request::post("/challenges").json(&body)).await.points_at(&[pointer]);
    }
}

#[tokio::test]
async fn what_is_over_is_swept_away() {
    let (server, mails) = server().await;
    server.user("ada").await;
    halves(&server, &mails, "login", &email_of("ada")).await;
    ask(&server, "login", "nobody@example.org").await;
    server.clock.advance(DAY);
    let another = server.another_node().await;
    crate::support::eventually("an empty table", async || {
        count(&another, "select count(*) from challenges").await == 0
    })
    .await;
}

#[tokio::test]
async fn a_code_of_nobody_s_address_signs_nobody_in() {
    let (server, mails) = server().await;
    server.user("ada").await;
    let challenge = ask(&server, "login", "nobody@example.org").await;
    let own = halves(&server, &mails, "login", &email_of("ada")).await;
    let guess = Halves { challenge: text(&challenge["challenge"]).to_owned(), code: own.code };
    server.send(Request::post("/jwt/login").json(&guess.json())).await.problem(401, "invalid_code");
    assert_eq!(mails.received().len(), 1, "no mail goes to nobody");
}
