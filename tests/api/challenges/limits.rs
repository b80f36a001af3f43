//! How often anybody may ask and try.

use super::{Halves, ask, asking, count, email_of, halves, reset, server, server_with, with_its_code};
use crate::support::{
    HOUR, MINUTE,
    http::Request,
    server::{TestServer, credentials},
    text,
};

const A_PROXY: (&str, &str) = ("TRUSTED_PROXIES", "127.0.0.1");

#[tokio::test]
async fn a_network_asks_for_twenty_mails_an_hour_whoever_they_are_for() {
    let mails = crate::support::mail_server::MailServer::start().await;
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
