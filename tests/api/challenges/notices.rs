//! What the owner of an account is told without asking.

use dualauth::clock::Clock;
use serde_json::json;

use super::{NEW_PASSWORD, asking, credentials_with, email_of, server_with};
use crate::support::{
    DAY, MINUTE, PASSWORD,
    client::{Client, Pair},
    http::Request,
    program::{folder, program, run, text},
    server::{CHEAP, TestServer, credentials},
};

/// Signs in from this address.
async fn sign_in(server: &TestServer, address: &str) {
    let login = Request::post("/jwt/login").header("X-Forwarded-For", address).json(&credentials("ada"));
    server.send(login).await.expect(200);
}

#[tokio::test]
async fn a_changed_password_is_told_whatever_strangers_have_asked_for() {
    let (server, mails) = server_with(&[]).await;
    server.user("ada").await;
    for _ in 0..3 {
        let ask = Request::post("/challenges").json(&asking("reset_password", &email_of("ada")));
        server.send(ask).await.expect(201);
    }
    let mut client = Client::signed_in(&server, Pair::SESSION_COOKIE, "ada").await;
    let body = json!({ "current_password": PASSWORD, "new_password": NEW_PASSWORD });
    let change = client.request("POST", "/account/password").json(&body);
    client.send(change).await.expect(204);
    assert_eq!(mails.receives(2).await.len(), 2, "one code, and the notice");
    crate::nodes::sql(&server, "update users set language = 'de'").await;
    let body = json!({ "current_password": NEW_PASSWORD, "new_password": PASSWORD });
    let change = client.request("POST", "/account/password").header("Accept-Language", "en").json(&body);
    client.send(change).await.expect(204);
    let german = mails.receives(3).await.pop().expect("a notice");
    assert!(german.text().contains("Passwort"), "{}", german.text());
}

#[tokio::test]
async fn a_sign_in_from_a_network_that_is_not_known_is_told_unless_the_account_is_new_or_its_address_not_proved()
 {
    let (server, mails) = server_with(&[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    server.user("ada").await;
    sign_in(&server, "192.0.2.1").await;
    server.clock.advance(2 * DAY);
    sign_in(&server, "192.0.2.2").await;
    crate::nodes::sql(&server, "update users set email_verified_at = now()").await;
    sign_in(&server, "192.0.2.1").await;
    sign_in(&server, "192.0.2.2").await;
    sign_in(&server, "192.0.2.3").await;
    let told = mails.receives_one().await;
    assert!(told.text().contains("192.0.2.3"), "{}", told.text());
    sign_in(&server, "192.0.2.3").await;
    sign_in(&server, "192.0.2.4").await;
    assert!(mails.receives(2).await[1].text().contains("192.0.2.4"));

    crate::nodes::sql(&server, "update users set created_at = '2031-01-02'").await;
    server.clock.set("2031-01-02T01:00:00Z".parse().expect("a time"));
    sign_in(&server, "192.0.2.5").await;
    let waiting = super::count(&server, "select count(*) from mails").await;
    assert_eq!((waiting, mails.received().len()), (0, 2));
}

#[tokio::test]
async fn what_an_operator_does_to_an_account_is_told_by_the_nodes() {
    let (server, mails) = server_with(&[]).await;
    // The commands' clock.
    server.clock.set(Clock::system().now());
    server.user("ada").await;
    let url = server.database_url().to_string();
    let smtp = mails.url();
    let settings = [
        CHEAP,
        &[
            ("DATABASE_URL", url.as_str()),
            ("SMTP_URL", smtp.as_str()),
            ("PUBLIC_URL", "http://auth.example.org"),
        ],
    ]
    .concat();
    let operator = async |words: &[&str], input: &str| {
        let mut command = program(&folder(), &settings);
        command.args(words);
        let output = run(command, input).await;
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    assert!(operator(&["user", "show", "ada"], "").await.contains("email_verified: no"));
    operator(&["user", "verify-email", "ada"], "").await;
    assert!(operator(&["user", "show", "ada"], "").await.contains("email_verified: yes"));
    assert_eq!(mails.received().len(), 0);
    operator(&["user", "set-password", "ada"], &format!("{NEW_PASSWORD}\n")).await;
    server.clock.advance(MINUTE);
    mails.receives(1).await;
    operator(&["user", "disable", "ada"], "").await;
    operator(&["user", "disable", "ada"], "").await;
    operator(&["user", "enable", "ada"], "").await;
    server.clock.advance(MINUTE);
    assert_eq!(mails.receives(2).await.len(), 2);
    let login = Request::post("/jwt/login").json(&credentials_with("ada", NEW_PASSWORD));
    server.send(login).await.expect(200);
}
