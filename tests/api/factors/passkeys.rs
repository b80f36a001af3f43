//! Passkeys and security keys, by an authenticator in software.

mod enrolment;
mod limits;
mod management;
mod refusals;
mod reset;
mod sign_in;
#[allow(dead_code, reason = "the unit tests use the rest of it")]
#[path = "../../../src/factors/passkey/software_authenticator.rs"]
mod software_authenticator;
mod step_up;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::Uuid;

use self::software_authenticator::{
    AssertionDraft, BACKED_UP, BACKUP_ELIGIBLE, RegistrationDraft, SoftwareAuthenticator, USER_VERIFIED,
};
use crate::support::{
    client::{Client, Pair},
    http::{Request, Response},
    server::TestServer,
    text,
};

/// Where browsers have passkeys: by https.
pub const SITE: (&str, &str) = ("PUBLIC_URL", "https://auth.example.org");

/// The origin of its pages.
const ORIGIN: &str = SITE.1;

/// An authenticator with one credential, in the hands of one user.
pub struct Passkey {
    authenticator: SoftwareAuthenticator,
    kind: &'static str,
    /// What it remembers of the user, and sends along as a passkey.
    user: Vec<u8>,
    flags: u8,
    /// What it has counted; 0: it does not count.
    count: u32,
    /// As it is listed.
    pub id: String,
    pub recovery_codes: Vec<String>,
}

impl Passkey {
    /// One that verifies its user, and does not count.
    pub fn new(kind: &'static str) -> Self {
        let authenticator = SoftwareAuthenticator::es256();
        let (user, id, recovery_codes) = (Vec::new(), String::new(), Vec::new());
        Self { authenticator, kind, user, flags: USER_VERIFIED, count: 0, id, recovery_codes }
    }

    /// One that copies its credential to the user's other devices.
    pub fn synced() -> Self {
        Self { flags: USER_VERIFIED | BACKUP_ELIGIBLE | BACKED_UP, ..Self::new("passkey") }
    }

    /// One that counts, and is at this number.
    pub fn counting(self, count: u32) -> Self {
        Self { count, ..self }
    }

    /// One that does not verify its user.
    pub fn without_pin(self) -> Self {
        Self { flags: self.flags & !USER_VERIFIED, ..self }
    }

    fn registration_draft(&self, options: &Value) -> RegistrationDraft {
        let mut draft = self.authenticator.register(options, ORIGIN);
        draft.flags = draft.flags & !USER_VERIFIED | self.flags;
        draft.sign_count = self.count;
        draft
    }

    /// What the browser gives for the options of a new credential.
    fn register(&mut self, options: &Value) -> Value {
        self.user = BASE64_URL_SAFE_NO_PAD.decode(text(&options["user"]["id"])).expect("base64url");
        self.registration_draft(options).finish(&self.authenticator)
    }

    fn assertion_draft(&self, options: &Value) -> AssertionDraft {
        let handle = (self.kind == "passkey").then_some(self.user.as_slice());
        let mut draft = self.authenticator.assert(options, ORIGIN, handle);
        draft.flags = draft.flags & !USER_VERIFIED | self.flags;
        draft.sign_count = self.count;
        draft
    }

    /// What the browser gives for the options of a use, after a change of it.
    fn answer_with(&self, options: &Value, change: impl FnOnce(&mut AssertionDraft)) -> Value {
        let mut draft = self.assertion_draft(options);
        change(&mut draft);
        draft.finish(&self.authenticator)
    }

    /// What the browser gives for the options of a use.
    pub fn answer(&mut self, options: &Value) -> Value {
        if self.count > 0 {
            self.count += 1;
        }
        self.answer_with(options, |_| ())
    }

    /// Both halves of a challenge.
    pub fn halves(&mut self, challenge: &Value) -> Value {
        halves(challenge, &self.answer(&challenge["passkey"]))
    }
}

pub fn halves(challenge: &Value, answer: &Value) -> Value {
    json!({ "challenge": challenge["challenge"], "passkey": answer })
}

/// Asks for a challenge as a signed-in user.
pub async fn ask(server: &TestServer, client: &Client, purpose: &str, method: &str) -> Response {
    let body = json!({ "for": purpose, "method": method });
    server.send(client.request("POST", "/challenges").json(&body)).await
}

/// Asks for a challenge to sign in without a name.
pub async fn ask_to_sign_in(server: &TestServer) -> Value {
    let body = json!({ "for": "login", "method": "passkey" });
    server.send(Request::post("/challenges").json(&body)).await.expect(201).not_stored().json()
}

async fn send_new(server: &TestServer, client: &Client, challenge: &Value, answer: &Value) -> Response {
    server.send(client.request("POST", "/account/factors").json(&halves(challenge, answer))).await
}

/// Enrols this authenticator.
pub async fn enrol_this(server: &TestServer, client: &Client, mut passkey: Passkey) -> Passkey {
    let challenge = ask(server, client, "factor", passkey.kind).await.expect(201).json();
    let answer = passkey.register(&challenge["passkey"]);
    let enrolled = send_new(server, client, &challenge, &answer).await.expect(201).json();
    text(&enrolled["id"]).clone_into(&mut passkey.id);
    let codes = enrolled["recovery_codes"].as_array().map(Vec::as_slice).unwrap_or_default();
    passkey.recovery_codes = codes.iter().map(|code| text(code).to_owned()).collect();
    passkey
}

/// Enrols an authenticator as a `passkey` or `security_key`.
pub async fn enrol(server: &TestServer, client: &Client, kind: &'static str) -> Passkey {
    enrol_this(server, client, Passkey::new(kind)).await
}

/// A server whose nodes have one origin.
async fn server() -> TestServer {
    TestServer::with(&[SITE]).await
}

/// A new user with a passkey or security key, and the client that enrolled it.
async fn user_with(server: &TestServer, name: &str, passkey: Passkey) -> (Client, Passkey) {
    let client = Client::of_new_user(server, Pair::SESSION_BEARER, name).await;
    let passkey = enrol_this(server, &client, passkey).await;
    (client, passkey)
}

async fn sign_in_at(node: &TestServer, body: &Value) -> Response {
    node.send(Request::post("/jwt/login").json(body)).await
}

/// Signs in without a name.
async fn sign_in(server: &TestServer, passkey: &mut Passkey) -> Response {
    let challenge = ask_to_sign_in(server).await;
    sign_in_at(server, &passkey.halves(&challenge)).await
}

fn id_of(bytes: &[u8]) -> Uuid {
    Uuid::from_slice(bytes).expect("an id")
}
