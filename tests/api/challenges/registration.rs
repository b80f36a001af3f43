//! `REGISTRATION=open|verified|closed`.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{count, mail_of};
use crate::support::{
    MINUTE,
    client::{Client, Mode, Pair},
    http::Request,
    mail_server::{MailServer, ReceivedMail},
    server::{ONE_NAME, TestServer, credentials, registration},
    text, with, without,
};

/// A server with a mail server registers whoever proves the address.
async fn server() -> (TestServer, MailServer) {
    let mails = MailServer::start().await;
    (TestServer::with(&[("SMTP_URL", &*mails.url()), ONE_NAME]).await, mails)
}

async fn register(server: &TestServer, body: &Value) -> Value {
    server.clock.advance(MINUTE);
    server.send(Request::post("/session/register").json(body)).await.expect(202).not_stored().json()
}

/// The mail to this address that came last; waits for as many.
async fn newest(mails: &MailServer, to: &str, number: usize) -> ReceivedMail {
    let of = || mails.received().into_iter().filter(|mail| mail.to == to).collect::<Vec<_>>();
    crate::support::eventually("a mail", async || of().len() == number).await;
    of().pop().expect("a mail")
}

#[tokio::test]
async fn an_account_begins_when_its_address_is_proved_in_either_mode() {
    let (server, mails) = server().await;
    for (mode, name) in [(Mode::Session, "ada"), (Mode::Jwt, "bea")] {
        let asked = register(&server, &registration(name)).await;
        crate::support::assert_members(&asked, &["challenge", "id", "expires_at"]);
        server
            .send(Request::post("/jwt/login").json(&credentials(name)))
            .await
            .problem(401, "invalid_credentials");
        let mail = newest(&mails, &format!("{name}@example.org"), 1).await;
        let body = json!({ "challenge": asked["challenge"], "code": mail.code().1 });
        let wrong = with(body.clone(), "code", "1");
        server.send(Request::post(&mode.path("register")).json(&wrong)).await.problem(401, "invalid_code");
        let response = server.send(Request::post(&mode.path("register")).json(&body)).await.expect(201);
        assert!(response.set_cookies().is_empty(), "nobody is signed in");
        let user = response.json();
        assert_eq!((text(&user["username"]), &user["email_verified"]), (name, &json!(true)));
        server
            .send(Request::post(&mode.path("register")).json(&body))
            .await
            .problem(401, "challenge_expired");
        Client::signed_in(&server, Pair::JWT_COOKIE, name).await.profile().await.expect(200);
    }
}

#[tokio::test]
async fn a_taken_address_is_answered_alike_and_its_owner_is_told_without_a_code() {
    let (server, mails) = server().await;
    let asked = register(&server, &registration("ada")).await;
    let code = newest(&mails, "ada@example.org", 1).await.code().1;
    let body = json!({ "challenge": asked["challenge"], "code": code });
    server.send(Request::post("/jwt/register").json(&body)).await.expect(201);
    let evil = with(
        with(registration("evil.example"), "email", "ADA@example.org"),
        "password",
        "a password, quite another one",
    );
    let again = register(&server, &evil).await;
    crate::support::assert_members(&again, &["challenge", "id", "expires_at"]);
    let told = newest(&mails, "ada@example.org", 2).await;
    for part in [told.text(), told.html()] {
        assert!(!part.contains("/mail#") && !part.contains("evil.example"), "{part}");
    }
    let guess = json!({ "challenge": again["challenge"], "code": "12345678" });
    server.send(Request::post("/jwt/register").json(&guess)).await.problem(401, "invalid_code");
    assert_eq!(count(&server, "select count(*) from users").await, 1);
}

#[tokio::test]
async fn nobody_squats_an_address_and_of_two_who_prove_it_one_has_it() {
    let (server, mails) = server().await;
    let squatter = register(&server, &with(registration("squatter"), "email", "ada@example.org")).await;
    let to_squatter = newest(&mails, "ada@example.org", 1).await.code().1;
    let owner = register(&server, &registration("ada")).await;
    let code = newest(&mails, "ada@example.org", 2).await.code().1;
    // The owner's code with the squatter's half is no proof.
    let stolen = json!({ "challenge": squatter["challenge"], "code": code });
    server.send(Request::post("/jwt/register").json(&stolen)).await.problem(401, "invalid_code");
    let body = json!({ "challenge": owner["challenge"], "code": code });
    server.send(Request::post("/jwt/register").json(&body)).await.expect(201);
    let late = json!({ "challenge": squatter["challenge"], "code": to_squatter });
    server.send(Request::post("/jwt/register").json(&late)).await.problem(409, "conflict");
}

#[tokio::test]
async fn a_username_that_was_taken_meanwhile_is_chosen_anew_and_one_that_was_derived_never_is() {
    let (server, mails) = server().await;
    let chosen = register(&server, &registration("ada")).await;
    let derived = with(without(registration("x"), "username"), "email", "bea@example.org");
    let derived = register(&server, &derived).await;
    for name in ["ada", "bea"] {
        let insert = format!(
            "insert into users (id, username, email, password_hash, roles, created_at)
             values (gen_random_uuid(), '{name}', '{name}@example.net', 'x', '{{user}}', now())"
        );
        crate::nodes::sql(&server, &insert).await;
    }
    server.send(Request::post("/jwt/register").json(&registration("ada"))).await.problem(409, "conflict");
    let code = newest(&mails, "ada@example.org", 1).await.code().1;
    let body = json!({ "challenge": chosen["challenge"], "code": code });
    for _ in 0..10 {
        server.send(Request::post("/jwt/register").json(&body)).await.problem(409, "conflict");
    }
    let invalid = with(body.clone(), "username", "a b");
    server.send(Request::post("/jwt/register").json(&invalid)).await.points_at(&["/username"]);
    let anew = with(body, "username", "lovelace");
    let user = server.send(Request::post("/jwt/register").json(&anew)).await.expect(201).json();
    assert_eq!((text(&user["username"]), text(&user["email"])), ("lovelace", "ada@example.org"));

    let code = newest(&mails, "bea@example.org", 1).await.code().1;
    let body = json!({ "challenge": derived["challenge"], "code": code });
    let user = server.send(Request::post("/session/register").json(&body)).await.expect(201).json();
    assert_ne!(text(&user["username"]), "bea");
}

#[tokio::test]
async fn of_fifty_right_codes_at_once_one_opens_the_account() {
    let (server, mails) = server().await;
    let another = server.another_node().await;
    let asked = register(&server, &registration("ada")).await;
    let mail = newest(&mails, "ada@example.org", 1).await;
    let body = json!({ "challenge": asked["challenge"], "code": mail.code().1 });
    let requests = (0..50).map(|number| {
        let node = if number % 2 == 0 { &server } else { &another };
        node.send(Request::post("/jwt/register").json(&body))
    });
    let answers = join_all(requests).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(count(&server, "select count(*) from users").await, 1);
}

#[tokio::test]
async fn an_account_has_the_language_that_was_asked_for_among_those_that_there_are() {
    let (server, mails) = server().await;
    for (number, (accepted, german)) in
        [("de-AT,de;q=0.9,en;q=0.8", true), ("fr", false), ("en, de;q=0.5", false)].into_iter().enumerate()
    {
        let name = format!("user-{number}");
        let request =
            Request::post("/jwt/register").header("Accept-Language", accepted).json(&registration(&name));
        let asked = server.send(request).await.expect(202).json();
        let mail = newest(&mails, &format!("{name}@example.org"), 1).await;
        assert_eq!(mail.text().contains("Registrierung"), german, "{accepted}: {}", mail.text());
        let body = json!({ "challenge": asked["challenge"], "code": mail.code().1 });
        server.send(Request::post("/jwt/register").json(&body)).await.expect(201);
        // In the account's language, whoever asks.
        server.clock.advance(MINUTE);
        let ask = super::asking("reset_password", &format!("{name}@example.org"));
        let ask = Request::post("/challenges").header("Accept-Language", "en").json(&ask);
        let asked = server.send(ask).await.expect(201).json();
        let mail = mail_of(&mails, text(&asked["id"])).await;
        assert_eq!(mail.text().contains("Passwort"), german, "{accepted}: {}", mail.text());
    }
}

#[tokio::test]
async fn registration_is_closed_where_it_is_set_so_and_wants_a_mail_server_where_it_needs_one() {
    let closed = TestServer::with(&[("REGISTRATION", "closed")]).await;
    let unreachable = TestServer::with(&[("REGISTRATION", "verified")]).await;
    for mode in Mode::ALL {
        let request = || Request::post(&mode.path("register")).json(&registration("ada"));
        closed.send(request()).await.problem(403, "registration_closed");
        unreachable.send(request()).await.problem(503, "unavailable");
    }
}

#[tokio::test]
async fn a_registration_is_of_one_kind() {
    let (server, _mails) = server().await;
    for (body, pointers) in [
        (json!({}), &["/email", "/password"][..]),
        (json!({ "challenge": "dac_x" }), &["/code"]),
        (with(registration("ada"), "code", "1"), &["/challenge", "/email", "/password"]),
    ] {
        server.send(Request::post("/jwt/register").json(&body)).await.points_at(pointers);
    }
    let unknown = json!({ "challenge": "dac_x", "code": "1" });
    server.send(Request::post("/jwt/register").json(&unknown)).await.problem(401, "challenge_expired");
}
