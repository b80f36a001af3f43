//! Challenges on two nodes: each step on any of them, also when the one that was asked is killed.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{
    Halves, NEW_PASSWORD, ask, asking, count, credentials_with, email_of, halves, reset, reset_request,
    server, with_its_code,
};
use crate::{
    nodes::assert_refused_in_time,
    support::{
        HOUR, MINUTE, PASSWORD,
        client::{Client, Mode, Pair},
        cluster::Database,
        eventually,
        http::{Request, Response},
        mail_server::{Conduct, MailServer},
        program::{Server, folder},
        server::{CHEAP, ONE_NAME, TestServer, registration},
        text, with,
    },
};

#[tokio::test]
async fn a_code_that_was_queued_by_a_node_that_is_killed_is_sent_by_the_other_and_is_good_there() {
    // Killed before it could hand the mail over, and in the middle of that.
    let conducts = [
        Conduct { greeting: Some("421 later"), ..Conduct::default() },
        Conduct { slow: HOUR, ..Conduct::default() },
    ];
    join_all(conducts.map(async |conduct| {
        let (database, mails) = (Arc::new(Database::migrated().await), MailServer::start().await);
        let (url, smtp) = (database.url().to_string(), mails.url());
        let settings =
            [("DATABASE_URL", url.as_str()), ("SMTP_URL", &smtp), ("REGISTRATION", "open"), ONE_NAME];
        let settings = [CHEAP, &settings].concat();
        let mut asked = Server::start(&folder(), &settings).await;
        let is_slow = !conduct.slow.is_zero();
        mails.conduct(conduct);
        asked.send(Request::post("/jwt/register").json(&registration("ada"))).await.expect(201);
        let ask = Request::post("/challenges").json(&asking("reset_password", &email_of("ada")));
        let challenge = asked.send(ask).await.expect(201).json();
        if is_slow {
            eventually("it is sending", async || mails.said().iter().any(|line| line == "DATA")).await;
        }
        let other = Server::start(&folder(), &settings).await;
        asked.child.kill().await.expect("it ends");
        assert!(mails.received().is_empty());

        mails.conduct(Conduct::default());
        // As though the time had passed for which it is the dead node's.
        database.execute("update mails set send_at = created_at").await;
        let halves = with_its_code(&mails, &challenge).await;
        other.send(reset_request(&halves, NEW_PASSWORD)).await.expect(204);
        other.send(reset_request(&halves, NEW_PASSWORD)).await.problem(401, "challenge_expired");
        let login = Request::post("/session/login").json(&credentials_with("ada", NEW_PASSWORD));
        other.send(login).await.expect(200);
        let of_challenge = |content: &str| content.contains(text(&challenge["id"]));
        assert_eq!(mails.received().iter().filter(|mail| of_challenge(&mail.text())).count(), 1);
    }))
    .await;
}

#[tokio::test]
async fn a_reset_ends_every_login_within_the_bound_also_on_a_node_that_has_just_seen_it() {
    let (server, mails) = server().await;
    let another = server.another_node().await;
    server.user("ada").await;
    for (number, redeeming) in [&server, &another].into_iter().enumerate() {
        let password = if number == 0 { PASSWORD } else { NEW_PASSWORD };
        let mut clients = Vec::new();
        for (pair, node) in Pair::ALL.into_iter().flat_map(|pair| [(pair, &server), (pair, &another)]) {
            let mut client = Client::new(node, pair);
            client.login(&with(pair.credentials("ada"), "password", password)).await.expect(200);
            for node in [&server, &another] {
                client.at(node).profile().await.expect(200);
            }
            clients.push(client);
        }
        let halves = halves(&server, &mails, "reset_password", &email_of("ada")).await;
        let response = reset(redeeming, &halves).await.expect(204);
        let acknowledged = std::time::Instant::now();
        assert!(response.set_cookies().is_empty() && response.text().is_empty(), "nobody is signed in");
        let ends = clients.iter().flat_map(|client| [client.at(&server), client.at(&another)]);
        join_all(ends.map(async |client| assert_refused_in_time(&client, acknowledged).await)).await;
    }
}

#[tokio::test]
async fn a_registration_that_began_on_one_node_goes_on_on_the_other_and_an_address_that_is_taken_is_none() {
    let mails = MailServer::start().await;
    let server = TestServer::with(&[("SMTP_URL", &*mails.url()), ONE_NAME]).await;
    let another = server.another_node().await;
    let register = async |node: &TestServer, mode: Mode, body: &Value| {
        server.clock.advance(MINUTE);
        node.send(Request::post(&mode.path("register")).json(body)).await
    };
    let asked = register(&server, Mode::Session, &registration("ada")).await.expect(202).json();
    let code = mails.receives_one().await.code().1;
    let body = json!({ "challenge": asked["challenge"], "code": code });
    register(&another, Mode::Jwt, &body).await.expect(201);

    // One that is taken and one that is free: the same, on either node, to the end.
    let mut seen = Vec::new();
    for email in ["ADA@example.org", "free@example.org"] {
        let stranger = with(registration("stranger"), "email", email);
        let asked = register(&another, Mode::Jwt, &stranger).await.expect(202).json();
        let guess = json!({ "challenge": asked["challenge"], "code": "1" });
        let mut tries = Vec::new();
        for (number, node) in [&server, &another].into_iter().cycle().take(7).enumerate() {
            let mode = Mode::ALL[number % 2];
            tries.push(register(node, mode, &guess).await.but_for_the_date());
        }
        seen.push(tries);
    }
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0][4].2.contains("invalid_code") && seen[0][5].2.contains("challenge_expired"), "{seen:?}");
    let told = mails.receives(3).await;
    assert_eq!(told[1].to, "ada@example.org");
    assert!(!told[1].text().contains("/mail#"), "{}", told[1].text());
    assert_eq!(count(&server, "select count(*) from users").await, 1);
}

#[tokio::test]
async fn what_ends_a_code_on_one_node_has_ended_it_on_the_other() {
    let (server, mails) = server().await;
    let another = server.another_node().await;
    let prove = async |node: &TestServer, client: &Client, halves: &Halves| -> Response {
        node.send(client.request("POST", "/account/email").json(&halves.json())).await
    };
    let change = async |client: &Client, email: &str| {
        server.clock.advance(MINUTE);
        let ask = client.request("POST", "/challenges").json(&asking("email", email));
        with_its_code(&mails, &another.send(ask).await.expect(201).json()).await
    };
    let mut older = Vec::new();
    for name in ["ada", "bea", "cai"] {
        server.user(name).await;
        older.push(halves(&server, &mails, "reset_password", &email_of(name)).await);
        older.push(halves(&another, &mails, "login", &email_of(name)).await);
    }
    // Ada: one code of several is used, and the change of her address that is under way dies of it.
    let ada = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    let to_a_thief = change(&ada, "thief@example.org").await;
    let used = halves(&server, &mails, "reset_password", &email_of("ada")).await;
    reset(&another, &used).await.expect(204);
    let mut ada = Client::new(&server, Pair::JWT_BEARER);
    ada.login(&credentials_with("ada", NEW_PASSWORD)).await.expect(200);
    for node in [&server, &another] {
        prove(node, &ada, &to_a_thief).await.problem(401, "challenge_expired");
    }
    // Bea: another address. Codes to the one of before are dead.
    let bea = Client::signed_in(&another, Pair::SESSION_BEARER, "bea").await;
    let to_the_new = change(&bea, "bea@example.net").await;
    prove(&server, &bea, &to_the_new).await.expect(200);
    // Cai: another password.
    let mut cai = Client::signed_in(&another, Pair::SESSION_BEARER, "cai").await;
    let body = json!({ "current_password": PASSWORD, "new_password": NEW_PASSWORD });
    let request = cai.request("POST", "/account/password").json(&body);
    cai.send(request).await.expect(204);
    for (number, code) in older.iter().enumerate() {
        for node in [&server, &another] {
            let tried = match number % 2 {
                0 => reset(node, code).await,
                _ => node.send(Request::post("/jwt/login").json(&code.json())).await,
            };
            tried.problem(401, "challenge_expired");
        }
    }
    // A new one is good.
    let asked = ask(&another, "reset_password", "bea@example.net").await;
    reset(&server, &with_its_code(&mails, &asked).await).await.expect(204);
}
