//! Who has an account here: nobody is told by asking for a mail, neither in words nor in work.

use serde_json::{Value, json};

use super::{Halves, asking, reset};
use crate::support::{
    HOUR, MINUTE,
    client::Mode,
    http::{Request, Response},
    mail_server::MailServer,
    proxy::Proxy,
    server::{METRICS, ONE_NAME, TestServer, registration},
    text, with,
};

async fn server_and_proxy(settings: &[(&str, &str)]) -> (TestServer, Proxy, MailServer) {
    let mails = MailServer::start().await;
    let url = mails.url();
    let usual = [("SMTP_URL", url.as_str()), ("EMAIL_SIGN_IN", "on"), ONE_NAME, METRICS];
    let (server, proxy) = TestServer::behind_a_proxy(&[&usual, settings].concat()).await;
    (server, proxy, mails)
}

/// The status, the headers but for the date, and the members of the body.
fn shape(response: &Response) -> (u16, Vec<(String, String)>, Vec<String>) {
    let (status, headers, _) = response.but_for_the_date();
    let body = response.json();
    let members = body.as_object().expect("an object").iter();
    // What is random has a length.
    let members = members.map(|(name, value)| match value {
        Value::String(text) if ["challenge", "id"].contains(&name.as_str()) => {
            format!("{name}: {}", text.len())
        }
        value => format!("{name}: {value}"),
    });
    (status, headers, members.collect())
}

/// How many rows there are in each table that a challenge writes to, and how long what is in them is.
async fn rows(server: &TestServer) -> Vec<(i64, i64)> {
    let mut rows = Vec::new();
    for query in [
        "select count(*), coalesce(max(length(content)), 0)::bigint from mails",
        "select count(*), coalesce(max(length(code_mac) + length(token_hash)), 0)::bigint from challenges",
        "select count(*), coalesce(max(length(address_mac)), 0)::bigint from mail_quotas",
        "select count(*), coalesce(max(length(account)), 0)::bigint from guesses",
    ] {
        rows.push(sqlx::query_as(query).fetch_one(&mut server.sql().await).await.expect("counts"));
    }
    rows
}

#[tokio::test]
async fn an_address_with_an_account_and_one_without_are_the_same_in_answer_statements_and_rows() {
    let (server, proxy, mails) = server_and_proxy(&[("REGISTRATION", "open")]).await;
    for name in ["ada", "bob", "cai"] {
        server.user(name).await;
    }
    crate::nodes::sql(&server, "update users set disabled_at = now() where username = 'bob'").await;
    crate::nodes::sql(&server, "update users set password_hash = null where username = 'cai'").await;
    // Nothing is sent meanwhile: the rows stay.
    mails.conduct(crate::support::mail_server::Conduct { greeting: Some("421 later"), ..Default::default() });
    for purpose in ["reset_password", "login"] {
        let mut seen = Vec::new();
        for name in ["nobody", "ada", "bob", "cai"] {
            crate::nodes::sql(&server, "truncate mails, mail_quotas, challenges, guesses").await;
            proxy.take_statements();
            let body = asking(purpose, &super::email_of(name));
            let answer = server.send(Request::post("/challenges").json(&body)).await.expect(201);
            let statements = proxy.take_statements();
            let statements: Vec<_> = statements.of_requests().into_iter().map(str::to_owned).collect();
            let written = rows(&server).await;
            let wrong =
                Halves { challenge: text(&answer.json()["challenge"]).to_owned(), code: "1".to_owned() };
            proxy.take_statements();
            let tries = async || match purpose {
                "login" => server.send(Request::post("/jwt/login").json(&wrong.json())).await,
                _ => reset(&server, &wrong).await,
            };
            let mut tried = Vec::new();
            for _ in 0..6 {
                tried.push(tries().await.but_for_the_date());
            }
            let tries_statements = proxy.take_statements();
            let tries_statements: Vec<_> =
                tries_statements.of_requests().into_iter().map(str::to_owned).collect();
            seen.push((shape(&answer), statements, written, tried, tries_statements, rows(&server).await[3]));
        }
        for other in &seen[1..] {
            assert_eq!(&seen[0], other, "{purpose}");
        }
        assert_eq!(seen[0].1.len(), 2, "{:?}", seen[0].1);
        assert_eq!(seen[0].2.iter().map(|(count, _)| *count).collect::<Vec<_>>(), [1, 1, 1, 0]);
    }
}

#[tokio::test]
async fn a_registration_tells_nobody_whether_the_address_has_an_account() {
    let (server, proxy, mails) = server_and_proxy(&[]).await;
    mails.conduct(crate::support::mail_server::Conduct { greeting: Some("421 later"), ..Default::default() });
    let insert = "insert into users (id, username, email, password_hash, roles, created_at)
                  values (gen_random_uuid(), 'ada', 'ada@example.org', 'x', '{user}', now())";
    crate::nodes::sql(&server, insert).await;
    const COMPUTED: &str = "dualauth_argon2_computed_total";
    for mode in Mode::ALL {
        let mut seen = Vec::new();
        for email in ["nobody@example.org", "ADA@example.org"] {
            crate::nodes::sql(&server, "truncate mails, mail_quotas, challenges, guesses").await;
            let computed = server.metric(COMPUTED).await;
            proxy.take_statements();
            let body = with(registration("somebody"), "email", email);
            let answer = server.send(Request::post(&mode.path("register")).json(&body)).await.expect(202);
            let statements = proxy.take_statements();
            let statements: Vec<_> = statements.of_requests().into_iter().map(str::to_owned).collect();
            let computed = server.metric(COMPUTED).await - computed;
            let wrong = json!({ "challenge": answer.json()["challenge"], "code": "1" });
            let tried = server.send(Request::post(&mode.path("register")).json(&wrong)).await;
            let tried = tried.problem(401, "invalid_code").but_for_the_date();
            seen.push((shape(&answer), statements, computed.to_string(), rows(&server).await, tried));
        }
        assert_eq!(seen[0], seen[1]);
    }
}

#[tokio::test]
async fn the_limit_of_mails_to_an_address_tells_nobody_and_neither_does_the_one_of_wrong_codes() {
    let (server, _proxy, mails) =
        server_and_proxy(&[("REGISTRATION", "open"), ("TRUSTED_PROXIES", "127.0.0.1")]).await;
    server.user("ada").await;
    for purpose in ["login", "reset_password"] {
        // Each with a new quota.
        crate::nodes::sql(&server, "truncate mail_quotas, guesses").await;
        let sent = mails.received().len();
        let seen = [tries(&server, purpose, "ada").await, tries(&server, purpose, "nobody").await];
        assert_eq!(seen[0], seen[1]);
        let of_tries = |status| seen[0].iter().filter(|(of, _)| *of == status).count();
        assert!(of_tries(429) > 0 && of_tries(201) == 10, "{:?}", seen[0]);
        mails.receives(sent + 1).await;
        assert!(mails.received().len() <= sent + 5);
    }
}

/// Asks ten times, and tries six wrong codes each time: what is answered, but for what is random.
async fn tries(server: &TestServer, purpose: &str, name: &str) -> Vec<(u16, Vec<String>)> {
    let mut answers = Vec::new();
    for number in 0..10 {
        let ask = Request::post("/challenges").json(&asking(purpose, &super::email_of(name)));
        let answer = server.send(ask).await.expect(201);
        answers.push((shape(&answer).0, Vec::new()));
        let wrong = Halves { challenge: text(&answer.json()["challenge"]).to_owned(), code: "1".to_owned() };
        for _ in 0..6 {
            let request = match purpose {
                "login" => Request::post("/jwt/login").json(&wrong.json()),
                _ => super::reset_request(&wrong, super::NEW_PASSWORD),
            };
            let network = format!("192.0.2.{}", name.len());
            let tried = server.send(request.header("X-Forwarded-For", network)).await;
            let waits = tried.header("retry-after").unwrap_or_default().to_owned();
            answers.push((tried.status, vec![tried.text(), waits]));
        }
        server.clock.advance(if number % 2 == 0 { MINUTE } else { MINUTE / 2 });
    }
    answers
}

#[tokio::test]
async fn wrong_passwords_and_wrong_codes_close_an_address_to_each_other_whether_anybody_has_it() {
    let (server, _proxy, _mails) =
        server_and_proxy(&[("REGISTRATION", "open"), ("TRUSTED_PROXIES", "127.0.0.1")]).await;
    for name in ["ada", "bob"] {
        server.user(name).await;
    }
    crate::nodes::sql(&server, "update users set disabled_at = now() where username = 'bob'").await;
    for (number, code) in [Guess::Login, Guess::Reset].into_iter().enumerate() {
        for (first, second) in [(Guess::Password, code), (code, Guess::Password)] {
            let mut seen = Vec::new();
            for name in ["ada", "nobody", "bob", "ADA"] {
                server.clock.advance(HOUR * 24 * 9);
                let network = format!("192.0.{number}.{}", name.len());
                let mut statuses = Vec::new();
                for _ in 0..20 {
                    statuses.push(guess(&server, first, name, &network).await.0);
                }
                seen.push((statuses, guess(&server, second, name, &network).await));
            }
            assert_eq!(seen[0].1.0, 429, "{first:?}, {second:?}");
            for other in &seen[1..] {
                assert_eq!(*other, seen[0], "{first:?}, {second:?}");
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Guess {
    Password,
    Login,
    Reset,
}

/// Guesses wrong, from this address; the code of a new challenge. The status, and what it says to the guesser.
async fn guess(server: &TestServer, guess: Guess, name: &str, network: &str) -> (u16, String) {
    let email = super::email_of(name);
    let ask = async |purpose| {
        let asked = server.send(Request::post("/challenges").json(&asking(purpose, &email))).await;
        Halves { challenge: text(&asked.expect(201).json()["challenge"]).to_owned(), code: "1".to_owned() }
    };
    let request = match guess {
        Guess::Password => {
            Request::post("/jwt/login").json(&json!({ "username": email, "password": "a wrong one" }))
        }
        Guess::Login => Request::post("/jwt/login").json(&ask("login").await.json()),
        Guess::Reset => super::reset_request(&ask("reset_password").await, super::NEW_PASSWORD),
    };
    let answer = server.send(request.header("X-Forwarded-For", network)).await;
    (answer.status, answer.text())
}
