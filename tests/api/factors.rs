//! Second factors: enrolled once, asked for at every sign-in, and used up by each use.

mod administration;
mod clocks_and_networks;
mod enrolment;
pub mod last_factor;
mod management;
pub mod passkeys;
mod races;
mod required;
mod reset;
mod secrets;
mod step_up;
mod step_up_by_mail;
mod two_step;
mod unused_proofs;
mod walk;

use aws_lc_rs::hmac;
use data_encoding::BASE32_NOPAD;
use serde_json::{Value, json};

use crate::support::{
    SECOND,
    client::{Client, Pair},
    http::{Request, Response},
    server::{TestServer, credentials},
    text,
};

/// An authenticator, made after RFC 6238 for these tests.
#[derive(Clone)]
pub struct Authenticator {
    secret: Vec<u8>,
    pub id: String,
    pub recovery_codes: Vec<String>,
}

impl Authenticator {
    /// Of an answer to `POST /challenges`, before it is enrolled.
    pub fn of(challenge: &Value) -> Self {
        let secret = BASE32_NOPAD.decode(text(&challenge["totp"]["secret"]).as_bytes()).expect("Base32");
        Self { secret, id: String::new(), recovery_codes: Vec::new() }
    }

    /// What it shows at a number of steps from now, by the server's clock.
    pub fn code_in(&self, server: &TestServer, steps: i64) -> String {
        let step = server.clock.now().timestamp() / 30 + steps;
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.secret);
        let mac = hmac::sign(&key, &step.to_be_bytes());
        let at = usize::from(mac.as_ref()[19] & 15);
        let number = u32::from_be_bytes(mac.as_ref()[at..at + 4].try_into().expect("four bytes"));
        format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
    }

    /// A code that was not used yet: it waits for it.
    pub fn next_code(&self, server: &TestServer) -> String {
        server.clock.advance(30 * SECOND);
        self.code_in(server, 0)
    }
}

/// Asks to enrol an authenticator.
pub async fn ask(server: &TestServer, client: &Client) -> Response {
    let body = json!({ "for": "factor", "method": "totp" });
    server.send(client.request("POST", "/challenges").json(&body)).await
}

/// Sends the first code of an authenticator.
pub async fn enrol_with(server: &TestServer, client: &Client, challenge: &Value, code: &str) -> Response {
    let body = json!({ "challenge": challenge["challenge"], "code": code, "name": "Phone" });
    server.send(client.request("POST", "/account/factors").json(&body)).await
}

/// Turns two-step sign-in on.
pub async fn enrol(server: &TestServer, client: &Client) -> Authenticator {
    let challenge = ask(server, client).await.expect(201).json();
    let mut authenticator = Authenticator::of(&challenge);
    let code = authenticator.code_in(server, 0);
    let enrolled = enrol_with(server, client, &challenge, &code).await.expect(201).json();
    let codes = enrolled["recovery_codes"].as_array().expect("codes").iter();
    authenticator.recovery_codes = codes.map(|code| text(code).to_owned()).collect();
    text(&enrolled["id"]).clone_into(&mut authenticator.id);
    authenticator
}

/// A new user with two-step sign-in, and the client that turned it on.
pub async fn two_step_user(server: &TestServer, name: &str) -> (Client, Authenticator) {
    let client = Client::of_new_user(server, Pair::SESSION_BEARER, name).await;
    let authenticator = enrol(server, &client).await;
    (client, authenticator)
}

/// The first step of a sign-in, by the password.
pub async fn first_step(server: &TestServer, name: &str) -> Value {
    let login = Request::post("/session/login").json(&credentials(name));
    server.send(login).await.problem(401, "second_factor_required").json()
}

/// What the second step sends.
pub fn second_step(pending: &Value, code: &str) -> Value {
    json!({ "challenge": pending["challenge"], "code": code })
}

/// Waits until so many statements wait for a lock in the server's database.
pub async fn await_waiting(server: &TestServer, count: i64) {
    let mut database = server.sql().await;
    let query = "select count(*) from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'";
    let waiting = async || {
        let waiting: i64 = sqlx::query_scalar(query).fetch_one(&mut database).await.expect("a number");
        waiting >= count
    };
    crate::support::eventually("statements that wait", waiting).await;
}

/// Enrols an authenticator beside other second factors.
pub async fn enrol_besides(server: &TestServer, client: &Client) -> Value {
    let challenge = ask(server, client).await.expect(201).json();
    let code = Authenticator::of(&challenge).code_in(server, 0);
    enrol_with(server, client, &challenge, &code).await.expect(201).json()
}
