//! Proving an address, and changing it, while signed in.

use serde_json::json;

use super::{Halves, ask_signed_in, asking, email_of, halves, reset, server, with_its_code};
use crate::support::{
    MINUTE,
    client::{Client, Pair},
    eventually,
    http::{Request, Response},
    server::{TestServer, credentials, registration},
    text, with,
};

async fn prove(server: &TestServer, client: &Client, halves: &Halves) -> Response {
    server.send(client.request("POST", "/account/email").json(&halves.json())).await
}

#[tokio::test]
async fn an_address_is_proved_and_nothing_ends() {
    let (server, mails) = server().await;
    server.user("ada").await;
    for client in Client::in_every_way(&server, "ada").await {
        assert_eq!(client.get("/account").await.ok()["email_verified"], json!(false), "until it is proved");
        // As the account spells it, whatever is typed.
        let asked = ask_signed_in(&server, &client, "ADA@example.org").await.expect(201).json();
        let halves = with_its_code(&mails, &asked).await;
        let user = prove(&server, &client, &halves).await.ok();
        assert_eq!((text(&user["email"]), &user["email_verified"]), ("ada@example.org", &json!(true)));
        assert_eq!(client.get("/account").await.ok(), user);
        prove(&server, &client, &halves).await.problem(401, "challenge_expired");
        client.assert_goes_on().await;
        crate::nodes::sql(&server, "update users set email_verified_at = null").await;
    }
}

#[tokio::test]
async fn another_address_is_in_force_once_it_is_proved_and_the_old_one_is_told() {
    let (server, mails) = server().await;
    server.user("ada").await;
    let others = Client::in_every_way(&server, "ada").await;
    let client = Client::signed_in(&server, Pair::SESSION_COOKIE, "ada").await;
    let to_the_old = halves(&server, &mails, "reset_password", &email_of("ada")).await;
    let asked = ask_signed_in(&server, &client, "lovelace@example.org").await.expect(201).json();
    let halves = with_its_code(&mails, &asked).await;
    assert_eq!(
        text(&client.get("/account").await.ok()["email"]),
        "ada@example.org",
        "nothing has changed yet"
    );

    prove(&server, &client, &halves.with_a_wrong_code()).await.problem(401, "invalid_code");
    let user = prove(&server, &client, &halves).await.ok();
    assert_eq!((text(&user["email"]), &user["email_verified"]), ("lovelace@example.org", &json!(true)));
    for other in others {
        other.assert_refused(other.pair.mode.ended()).await;
    }
    reset(&server, &to_the_old).await.problem(401, "challenge_expired");
    let told = || mails.received().into_iter().filter(|mail| mail.to == "ada@example.org").count();
    eventually("a notice to the old address", async || told() == 2).await;
    for (name, status) in [("ada@example.org", 401), ("lovelace@example.org", 200)] {
        let login = with(credentials("ada"), "username", name);
        server.send(Request::post("/jwt/login").json(&login)).await.expect(status);
    }
    client.assert_goes_on().await;
}

#[tokio::test]
async fn only_the_login_that_asked_may_prove_it_with_both_halves() {
    let (server, mails) = server().await;
    for name in ["ada", "bea"] {
        server.user(name).await;
    }
    let ada = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    let ada_elsewhere = Client::signed_in(&server, Pair::SESSION_COOKIE, "ada").await;
    let bea = Client::signed_in(&server, Pair::JWT_BEARER, "bea").await;
    let asked = ask_signed_in(&server, &ada, "new@example.org").await.expect(201).json();
    let of_ada = with_its_code(&mails, &asked).await;
    let asked = ask_signed_in(&server, &bea, "bea@example.org").await.expect(201).json();
    let of_bea = with_its_code(&mails, &asked).await;
    for other in [&bea, &ada_elsewhere] {
        prove(&server, other, &of_ada).await.problem(401, "challenge_expired");
    }
    let mixed = Halves { challenge: of_bea.challenge, code: of_ada.code.clone() };
    prove(&server, &bea, &mixed).await.problem(401, "invalid_code");
    let anonymous = Request::post("/account/email").json(&of_ada.json());
    server.send(anonymous).await.problem(401, "not_authenticated");
    prove(&server, &ada, &of_ada).await.expect(200);
}

#[tokio::test]
async fn a_change_that_is_under_way_dies_with_a_reset_and_with_the_login() {
    let (server, mails) = server().await;
    server.user("ada").await;
    let mut client = Client::signed_in(&server, Pair::SESSION_COOKIE, "ada").await;
    let asked = ask_signed_in(&server, &client, "thief@example.org").await.expect(201).json();
    let change = with_its_code(&mails, &asked).await;
    let forgotten = halves(&server, &mails, "reset_password", &email_of("ada")).await;
    reset(&server, &forgotten).await.expect(204);
    assert_eq!(prove(&server, &client, &change).await.status, 401);
    let login = super::credentials_with("ada", super::NEW_PASSWORD);
    client.login(&login).await.expect(200);
    prove(&server, &client, &change).await.problem(401, "challenge_expired");
    assert_eq!(text(&client.get("/account").await.ok()["email"]), "ada@example.org");
}

#[tokio::test]
async fn asking_wants_a_fresh_login_and_its_csrf_token() {
    let (server, _mails) = server().await;
    server.user("ada").await;
    let body = asking("email", "ada@example.org");
    server.send(Request::post("/challenges").json(&body)).await.problem(401, "not_authenticated");
    let client = Client::signed_in(&server, Pair::SESSION_COOKIE, "ada").await;
    let without = client.without_csrf("POST", "/challenges").json(&body);
    server.send(without).await.problem(403, "csrf_failed");
    server.clock.advance(11 * MINUTE);
    ask_signed_in(&server, &client, "ada@example.org").await.problem(401, "insufficient_user_authentication");
}

#[tokio::test]
async fn an_address_that_is_taken_is_answered_alike_and_nobody_gets_it() {
    let (server, mails) = server().await;
    for name in ["ada", "bea"] {
        server.user(name).await;
    }
    let client = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    let taken = ask_signed_in(&server, &client, "bea@example.org").await.expect(201);
    let free = ask_signed_in(&server, &client, "free@example.org").await.expect(201);
    let kept =
        |answer: &Response| answer.json().as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(kept(&taken), kept(&free));
    let halves = with_its_code(&mails, &free.json()).await;
    assert_eq!(mails.received().len(), 1, "the mail to a taken address is to nobody");
    let guess = Halves { challenge: text(&taken.json()["challenge"]).to_owned(), code: halves.code.clone() };
    prove(&server, &client, &guess).await.problem(401, "invalid_code");

    // Somebody takes it meanwhile.
    let new = with(registration("cai"), "email", "free@example.org");
    server.send(Request::post("/jwt/register").json(&new)).await.expect(201);
    for _ in 0..10 {
        prove(&server, &client, &halves).await.problem(409, "conflict");
    }
    crate::nodes::sql(&server, "delete from users where username = 'cai'").await;
    prove(&server, &client, &halves).await.expect(200);
}

#[tokio::test]
async fn the_address_of_a_disabled_account_is_taken_as_well() {
    let (server, mails) = server().await;
    for name in ["ada", "bob"] {
        server.user(name).await;
    }
    crate::nodes::sql(&server, "update users set disabled_at = now() where username = 'bob'").await;
    let client = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    for address in ["bob@example.org", "BOB@Example.Org"] {
        ask_signed_in(&server, &client, address).await.expect(201);
    }
    let free = ask_signed_in(&server, &client, "free@example.org").await.expect(201).json();
    with_its_code(&mails, &free).await;
    let to: Vec<_> = mails.received().into_iter().map(|mail| mail.to).collect();
    assert_eq!(to, ["free@example.org"], "a mail to a taken address is to nobody");
}
