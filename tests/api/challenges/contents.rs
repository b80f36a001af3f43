//! What mails to strangers say: nothing that a stranger has put there.

use futures_util::future::join_all;
use serde_json::json;

use super::{Halves, asking, email_of, halves, mail_of, server_with};
use crate::support::{
    MINUTE,
    client::{Client, Pair},
    http::Request,
    mail_server::{MailServer, ReceivedMail},
    server::{ONE_NAME, TestServer, credentials, registration},
    text, with,
};

/// Nowhere in a mail: neither in a header nor in what is read.
fn assert_lacks(mail: &ReceivedMail, words: &[&str]) {
    let whole = [&mail.content, &mail.text(), &mail.html(), &mail.header("Subject").expect("a subject")];
    for word in words {
        assert!(!whole.iter().any(|part| part.contains(word)), "{word} in {}", mail.content);
    }
}

/// Whatever a proxy or a browser might say of where it came to.
const LEADING_ASTRAY: [(&str, &str); 9] = [
    ("Host", "evil.example"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Prefix", "/evil.example"),
    ("X-Forwarded-Server", "evil.example"),
    ("X-Original-Host", "evil.example"),
    ("X-Host", "evil.example"),
    ("Forwarded", "for=192.0.2.1;host=evil.example;proto=https"),
    ("Referer", "https://evil.example/"),
];

#[tokio::test]
async fn no_header_says_where_the_link_of_a_mail_leads() {
    let settings: [&[_]; 3] = [
        &[ONE_NAME],
        &[("PUBLIC_URL", "")],
        &[("PUBLIC_URL", "https://auth.example.org/id"), ("TRUSTED_PROXIES", "127.0.0.1")],
    ];
    join_all(settings.map(async |settings| {
        let (server, mails) = server_with(settings).await;
        let own = match settings[0].1 {
            "" => format!("http://localhost:{}", server.address().port()),
            url => url.to_owned(),
        };
        server.user("ada").await;
        let client = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
        for request in [
            Request::post("/challenges").json(&asking("reset_password", &email_of("ada"))),
            Request::post("/challenges").json(&asking("login", &email_of("ada"))),
            client.request("POST", "/challenges").json(&asking("email", "new@example.org")),
        ] {
            server.clock.advance(MINUTE);
            let request = LEADING_ASTRAY.iter().fold(request, |it, (name, value)| it.header(name, value));
            let challenge = server.send(request).await.expect(201).json();
            let mail = mail_of(&mails, text(&challenge["id"])).await;
            assert_lacks(&mail, &["evil.example"]);
            for part in [mail.text(), mail.html()] {
                assert!(part.contains(&format!("{own}/mail#")), "{own}: {part}");
            }
        }
    }))
    .await;
}

/// What a stranger may type or send: each would be a link or a message in somebody else's mailbox.
const TYPED: [&str; 3] = ["evil.example", "agent.example", "device.example"];

fn with_an_agent(request: Request) -> Request {
    request.header("User-Agent", "Click https://agent.example now").header("Accept-Language", "agent.example")
}

#[tokio::test]
async fn a_mail_to_an_address_that_is_not_proved_repeats_nothing_that_a_stranger_has_typed() {
    let (server, mails) = server_with(&[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let squatted = with(registration("evil.example"), "email", "victim@example.org");
    server.send(with_an_agent(Request::post("/jwt/register").json(&squatted))).await.expect(201);
    let login = with(credentials("evil.example"), "device_name", "see device.example");
    let mut client = Client::new(&server, Pair::JWT_BEARER);
    client.login(&login).await.expect(200);
    for purpose in ["reset_password", "login"] {
        server.clock.advance(MINUTE);
        let ask = Request::post("/challenges").json(&asking(purpose, "victim@example.org"));
        server.send(with_an_agent(ask)).await.expect(201);
    }
    let change = client.request("POST", "/challenges").json(&asking("email", "another@example.org"));
    server.send(with_an_agent(change)).await.expect(201);
    let password =
        json!({ "current_password": crate::support::PASSWORD, "new_password": super::NEW_PASSWORD });
    let password = client.request("POST", "/account/password").json(&password);
    client.send(with_an_agent(password)).await.expect(204);
    // From another network: not told to whom it may not concern.
    let login = Request::post("/jwt/login").header("X-Forwarded-For", "192.0.2.9");
    let again = with(login_with_a_new_password(), "device_name", "see device.example");
    server.send(with_an_agent(login.json(&again))).await.expect(200);
    // The owner comes by mail: what the squatter typed is still no part of it.
    let code: Halves = halves(&server, &mails, "login", "victim@example.org").await;
    server.send(with_an_agent(Request::post("/jwt/login").json(&code.json()))).await.expect(200);
    let received = mails.receives(6).await;
    for mail in &received {
        assert_lacks(mail, &TYPED);
    }
    let of = |to: &str| received.iter().filter(|mail| mail.to == to).count();
    assert_eq!((of("another@example.org"), of("victim@example.org")), (1, received.len() - 1));
}

fn login_with_a_new_password() -> serde_json::Value {
    super::credentials_with("evil.example", super::NEW_PASSWORD)
}

#[tokio::test]
async fn a_mail_that_begins_a_registration_repeats_nothing_that_a_stranger_has_typed() {
    let mails = MailServer::start().await;
    let server = TestServer::with(&[("SMTP_URL", &*mails.url()), ONE_NAME]).await;
    // Of a new account, of one that another has begun meanwhile, and of one that there is.
    let register = async |name: &str| {
        server.clock.advance(MINUTE);
        let body = with(registration(name), "email", "victim@example.org");
        server.send(with_an_agent(Request::post("/session/register").json(&body))).await.expect(202).json()
    };
    register("evil.example").await;
    let own = register("victim").await;
    let code = mails.receives(2).await[1].code().1;
    let body = json!({ "challenge": own["challenge"], "code": code });
    server.send(Request::post("/session/register").json(&body)).await.expect(201);
    register("evil.example").await;
    for mail in mails.receives(3).await {
        assert_lacks(&mail, &TYPED);
    }
}
