//! How often anybody may ask and try.

use serde_json::json;

use super::{Halves, ask, asking, count, email_of, halves, reset, server, server_with, with_its_code};
use crate::support::{
    HOUR, MINUTE,
    client::{Client, Pair},
    eventually,
    http::Request,
    mail_server::MailServer,
    server::{TestServer, credentials, registration},
    text, with,
};

const A_PROXY: (&str, &str) = ("TRUSTED_PROXIES", "127.0.0.1");

#[tokio::test]
async fn a_network_asks_for_twenty_mails_an_hour_whoever_they_are_for() {
    let mails = MailServer::start().await;
    let settings = [("SMTP_URL", &*mails.url()), ("MAIL_LIMIT", ""), ("EMAIL_SIGN_IN", "on"), A_PROXY];
    let server = TestServer::with(&settings).await;
    let ask = async |network: u8, number: u8| {
        let purpose = if number.is_multiple_of(2) { "login" } else { "reset_password" };
        let ask = Request::post("/challenges").header("X-Forwarded-For", format!("192.0.2.{network}"));
        server.send(ask.json(&asking(purpose, &format!("number-{number}@example.org")))).await
    };
    for number in 0..20 {
        ask(1, number).await.expect(201);
    }
    let limited = ask(1, 20).await.problem(429, "rate_limited");
    assert_eq!(limited.header("ratelimit-policy"), Some("\"mail\";q=20;w=3600"));
    ask(2, 20).await.expect(201);
    server.clock.advance(HOUR / 20);
    ask(1, 21).await.expect(201);
}

#[tokio::test]
async fn a_challenge_beyond_the_limit_of_the_address_is_no_more_guesses() {
    let (server, mails) = server().await;
    server.user("ada").await;
    let first = halves(&server, &mails, "reset_password", &email_of("ada")).await;
    let body = asking("reset_password", &email_of("ada"));
    for _ in 0..10 {
        server.send(Request::post("/challenges").json(&body)).await.expect(201);
    }
    assert_eq!(
        count(&server, "select count(code_mac) from challenges").await,
        1,
        "of the others no code is right"
    );
    reset(&server, &first).await.expect(204);
}

#[tokio::test]
async fn wrong_codes_count_at_the_account_over_all_challenges_and_both_modes() {
    let (server, mails) = server_with(&[A_PROXY]).await;
    server.user("ada").await;
    let from = |path: &str| Request::post(path).header("X-Forwarded-For", "192.0.2.7");
    let mut tries = 0;
    for purpose in ["login", "reset_password", "login", "reset_password"] {
        let halves = halves(&server, &mails, purpose, &email_of("ada")).await.with_a_wrong_code();
        for number in 0..5 {
            let request = match (purpose, number % 2) {
                ("login", 0) => from("/jwt/login").json(&halves.json()),
                ("login", _) => from("/session/login").json(&halves.json()),
                _ => {
                    super::reset_request(&halves, super::NEW_PASSWORD).header("X-Forwarded-For", "192.0.2.7")
                }
            };
            server.send(request).await.problem(401, "invalid_code");
            tries += 1;
        }
    }
    assert_eq!(tries, 20);
    let password = from("/jwt/login").json(&credentials("ada"));
    let limited = server.send(password).await.problem(429, "rate_limited");
    assert!(limited.header("ratelimit-policy").is_some_and(|policy| policy.starts_with("\"account\"")));
    // Neither does a new challenge begin anew: here it waits, elsewhere it does not.
    server.clock.advance(HOUR - 5 * MINUTE);
    crate::nodes::sql(
        &server,
        "update guesses set networks = array(select row (network, failures, counted, failed_at,
        waits_until + interval '2 hours')::network_failures from unnest(networks))",
    )
    .await;
    let challenge = ask(&server, "reset_password", &email_of("ada")).await;
    let halves = with_its_code(&mails, &challenge).await;
    let here = super::reset_request(&halves, super::NEW_PASSWORD).header("X-Forwarded-For", "192.0.2.7");
    server.send(here).await.problem(429, "rate_limited");
    reset(&server, &halves).await.expect(204);
}

#[tokio::test]
async fn guesses_at_codes_count_for_the_network() {
    let (server, _mails) = server_with(&[("LOGIN_LIMIT", "3/1m")]).await;
    let challenge = ask(&server, "reset_password", "nobody@example.org").await;
    let guess = Halves { challenge: text(&challenge["challenge"]).to_owned(), code: "1".to_owned() };
    for _ in 0..3 {
        reset(&server, &guess).await.problem(401, "invalid_code");
    }
    reset(&server, &guess).await.problem(429, "rate_limited");
    let unknown = Halves { challenge: "dac_x".to_owned(), ..guess };
    reset(&server, &unknown).await.problem(429, "rate_limited");
}

#[tokio::test]
async fn a_registration_that_is_refused_at_once_is_no_mail() {
    let mails = MailServer::start().await;
    let settings = [("SMTP_URL", &*mails.url()), ("MAIL_LIMIT", "2/1h")];
    let server = TestServer::with(&settings).await;
    let register = async |body| server.send(Request::post("/jwt/register").json(&body)).await;
    register(registration("ada")).await.expect(202);
    let code = mails.receives_one().await.code().1;
    crate::nodes::sql(
        &server,
        "insert into users (id, username, email, password_hash, roles, created_at)
         values (gen_random_uuid(), 'bea', 'bea@example.org', null, '{user}', now())",
    )
    .await;
    for _ in 0..3 {
        register(with(registration("cai"), "password", "short")).await.expect(422);
        register(with(registration("cai"), "email", "nowhere")).await.expect(422);
        register(with(registration("cai"), "username", "BEA")).await.expect(409);
        register(json!({ "challenge": "dac_x", "code": code })).await.expect(401);
    }
    register(registration("cai")).await.expect(202);
    register(registration("dan")).await.problem(429, "rate_limited");
    assert_eq!(count(&server, "select count(*) from challenges").await, 2);
}

/// Registers, and gives both halves of it.
async fn pending(server: &TestServer, mails: &MailServer, name: &str) -> Halves {
    let asked =
        server.send(Request::post("/jwt/register").json(&registration(name))).await.expect(202).json();
    let find = || mails.received().into_iter().find(|mail| mail.to == email_of(name));
    eventually("the mail", async || find().is_some()).await;
    Halves { challenge: text(&asked["challenge"]).to_owned(), code: find().expect("it came").code().1 }
}

/// A request with a code for each purpose, the one that ends the others last.
async fn one_for_each_purpose(server: &TestServer, mails: &MailServer) -> [(&'static str, Request, u16); 4] {
    let register = |halves: &Halves| Request::post("/jwt/register").json(&halves.json());
    server.send(register(&pending(server, mails, "ada").await)).await.expect(201);
    let client = Client::signed_in(server, Pair::JWT_BEARER, "ada").await;
    let new = pending(server, mails, "bea").await;
    let login = halves(server, mails, "login", &email_of("ada")).await;
    let asked = super::ask_signed_in(server, &client, "lovelace@example.org").await.expect(201).json();
    let another = with_its_code(mails, &asked).await;
    let forgotten = halves(server, mails, "reset_password", &email_of("ada")).await;
    [
        ("register", register(&new), 201),
        ("login", Request::post("/session/login").json(&login.json()), 200),
        ("email", client.request("POST", "/account/email").json(&another.json()), 200),
        ("reset_password", super::reset_request(&forgotten, super::NEW_PASSWORD), 401),
    ]
}

#[tokio::test]
async fn a_code_that_the_service_could_not_look_up_is_no_guess() {
    let (server, mails) = server_with(&[("LOGIN_LIMIT", "2/1m"), ("REGISTRATION", "verified")]).await;
    let requests = one_for_each_purpose(&server, &mails).await;
    for (purpose, request, _) in &requests {
        crate::nodes::sql(&server, "alter table challenges rename to challenges_elsewhere").await;
        for _ in 0..3 {
            let status = server.send(request.clone()).await.status;
            assert!(status >= 500, "{purpose}: {status}");
        }
        crate::nodes::sql(&server, "alter table challenges_elsewhere rename to challenges").await;
    }
    for (_, request, status) in requests {
        server.send(request).await.expect(status);
    }
}

#[tokio::test]
async fn what_a_limit_keeps_from_a_code_is_in_the_audit_trail() {
    let (server, mails) =
        server_with(&[("LOGIN_LIMIT", "1/1h"), ("REGISTRATION", "verified"), A_PROXY]).await;
    let requests = one_for_each_purpose(&server, &mails).await;
    let wrong = json!({ "challenge": "dac_x", "code": "1" });
    server.send(Request::post("/jwt/login").json(&wrong)).await.problem(401, "challenge_expired");
    for (_, request, _) in requests {
        server.send(request).await.problem(429, "rate_limited");
    }
    let told = async |purpose: &str| {
        let events = sqlx::query_scalar::<_, i64>(
            "select count(*) from audit_events where event = 'login_limited' and detail->>'limit' = 'login'
             and detail->>'for' = $1",
        );
        events.bind(purpose.to_owned()).fetch_one(&mut server.sql().await).await.expect("a number")
    };
    for purpose in ["register", "login", "email", "reset_password"] {
        eventually(purpose, async || told(purpose).await == 1).await;
    }

    // At the account, whose name is told.
    server.clock.advance(HOUR);
    let halves = halves(&server, &mails, "login", &email_of("ada")).await;
    crate::nodes::sql(
        &server,
        "insert into guesses (account, failures, failed_at, closed_until)
         select uuid_send(id), 100, now(), '2100-01-01' from users where username = 'ada'
         on conflict (account) do update set closed_until = excluded.closed_until",
    )
    .await;
    server
        .send(Request::post("/jwt/login").header("X-Forwarded-For", "192.0.2.7").json(&halves.json()))
        .await
        .problem(429, "rate_limited");
    let named = "select count(*) from audit_events where event = 'login_limited' and username = 'ada'
                 and detail->>'limit' = 'account'";
    eventually("the account's name", async || count(&server, named).await == 1).await;
}
