//! Challenges: whoever has the answer's half and the mail's half has proved to read that mail, once.

mod address;
mod canaries;
mod contents;
mod enumeration;
mod limits;
mod login;
mod mail_failures;
mod nodes;
mod notices;
mod registration;
mod reset;
mod sweep;

use serde_json::{Value, json};

use crate::support::{
    MINUTE,
    client::Client,
    eventually,
    http::{Request, Response},
    mail_server::{MailServer, ReceivedMail},
    server::{ONE_NAME, TestServer},
    text,
};

const NEW_PASSWORD: &str = "another quiet lantern by the river";

/// A server where anybody registers, and signs in by mail, and the server that takes its mails.
pub async fn server() -> (TestServer, MailServer) {
    server_with(&[]).await
}

pub async fn server_with(settings: &[(&str, &str)]) -> (TestServer, MailServer) {
    let mails = MailServer::start().await;
    let url = mails.url();
    let usual = [("SMTP_URL", url.as_str()), ("REGISTRATION", "open"), ("EMAIL_SIGN_IN", "on"), ONE_NAME];
    (TestServer::with(&[&usual, settings].concat()).await, mails)
}

/// Both halves of a challenge.
#[derive(Clone, Debug)]
pub struct Halves {
    challenge: String,
    code: String,
}

impl Halves {
    pub fn json(&self) -> Value {
        json!({ "challenge": self.challenge, "code": self.code })
    }

    fn with_a_wrong_code(&self) -> Self {
        let wrong = if self.code == "00000000" { "00000001" } else { "00000000" };
        Self { challenge: self.challenge.clone(), code: wrong.to_owned() }
    }
}

pub fn email_of(name: &str) -> String {
    format!("{name}@example.org")
}

pub fn asking(purpose: &str, email: &str) -> Value {
    json!({ "for": purpose, "method": "email", "email": email })
}

/// Asks as a stranger, a minute after anybody else.
async fn ask(server: &TestServer, purpose: &str, email: &str) -> Value {
    server.clock.advance(MINUTE);
    server.send(Request::post("/challenges").json(&asking(purpose, email))).await.expect(201).json()
}

/// Asks, and reads the mail.
pub async fn halves(server: &TestServer, mails: &MailServer, purpose: &str, email: &str) -> Halves {
    let challenge = ask(server, purpose, email).await;
    with_its_code(mails, &challenge).await
}

pub async fn with_its_code(mails: &MailServer, challenge: &Value) -> Halves {
    let mail = mail_of(mails, text(&challenge["id"])).await;
    Halves { challenge: text(&challenge["challenge"]).to_owned(), code: mail.code().1 }
}

/// The mail of this challenge; waits for it.
async fn mail_of(mails: &MailServer, id: &str) -> ReceivedMail {
    let find = || mails.received().into_iter().find(|mail| mail.text().contains(id));
    eventually("the mail of the challenge", async || find().is_some()).await;
    find().expect("it came")
}

async fn reset(server: &TestServer, halves: &Halves) -> Response {
    server.send(reset_request(halves, NEW_PASSWORD)).await
}

pub fn reset_request(halves: &Halves, password: &str) -> Request {
    let Halves { challenge, code } = halves;
    let body = json!({ "challenge": challenge, "code": code, "new_password": password });
    Request::post("/account/password/reset").json(&body)
}

/// Asks as somebody who is signed in.
pub async fn ask_signed_in(server: &TestServer, client: &Client, email: &str) -> Response {
    server.clock.advance(MINUTE);
    server.send(client.request("POST", "/challenges").json(&asking("email", email))).await
}

fn credentials_with(name: &str, password: &str) -> Value {
    json!({ "username": name, "password": password })
}

pub async fn count(server: &TestServer, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(&mut server.sql().await).await.expect("a number")
}
