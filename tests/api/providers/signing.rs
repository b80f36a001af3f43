//! A server whose users sign in by a stub provider.

use serde_json::{Value, json};
use url::Url;

use super::{CLIENT, SECRET, provider_file};
use crate::factors::passkeys::SITE;
use crate::support::{
    client::{Client, Pair},
    http::{Request, Response},
    server::TestServer,
    stub_provider::{StubProvider, signer},
    text,
};

pub const RETURN_TO: &str = "https://auth.example.org/in";

pub struct ProviderSite {
    pub server: TestServer,
    pub stub: StubProvider,
}

impl ProviderSite {
    pub async fn start() -> Self {
        Self::with("", &[]).await
    }

    /// With these lines more in the provider's settings, and these settings.
    pub async fn with(more: &str, settings: &[(&str, &str)]) -> Self {
        let stub = StubProvider::start().await;
        let url = stub.url();
        Self::of(stub, &url, more, settings).await
    }

    /// Whose provider is elsewhere.
    pub async fn at(issuer: &str, more: &str, settings: &[(&str, &str)]) -> Self {
        Self::of(StubProvider::start().await, issuer, more, settings).await
    }

    /// With another secret at the provider.
    pub async fn by(secret: &str, more: &str, settings: &[(&str, &str)]) -> Self {
        let stub = StubProvider::start().await;
        let file = provider_file(&stub.url(), secret, more);
        Self::of_file(stub, &file, settings).await
    }

    async fn of(stub: StubProvider, issuer: &str, more: &str, settings: &[(&str, &str)]) -> Self {
        Self::of_file(stub, &provider_file(issuer, SECRET, more), settings).await
    }

    async fn of_file(stub: StubProvider, file: &str, settings: &[(&str, &str)]) -> Self {
        let usual = [("PROVIDERS", file), SITE];
        Self { server: TestServer::with(&[&usual, settings].concat()).await, stub }
    }

    /// What somebody sends who wants to sign in.
    pub fn asking(&self) -> Value {
        json!({ "for": "login", "method": "stub", "return_to": RETURN_TO })
    }

    pub async fn ask(&self) -> Value {
        self.server.send(Request::post("/challenges").json(&self.asking())).await.expect(201).json()
    }

    /// The `state` that the provider got.
    pub fn state(&self, challenge: &Value) -> String {
        let url = Url::parse(text(&challenge["authorization_url"])).expect("a URL");
        url.query_pairs().find(|(name, _)| name == "state").expect("one").1.into_owned()
    }

    /// Claims as they must be, by the server's clock.
    pub fn claims(&self, nonce: &str, subject: &str, email: &str) -> Value {
        let now = self.server.clock.now().timestamp();
        json!({
            "iss": self.stub.url(), "sub": subject, "aud": CLIENT, "nonce": nonce, "iat": now, "exp": now + 300,
            "email": email, "email_verified": true,
        })
    }

    pub fn id_token(&self, claims: &Value) -> String {
        signer().token(&json!({ "alg": "ES256", "kid": signer().kid() }), claims)
    }

    /// The path of the callback once somebody has signed in at the provider.
    pub async fn callback(&self, challenge: &Value, subject: &str, email: &str) -> String {
        let nonce = challenge["nonce"].as_str().unwrap_or_default();
        self.callback_with(challenge, &self.claims(nonce, subject, email))
    }

    pub fn callback_with(&self, challenge: &Value, claims: &Value) -> String {
        let token = json!({ "access_token": "the stubs access token", "id_token": self.id_token(claims) });
        self.stub.json("/token", token);
        format!("/providers/stub/callback?state={}&code=x&scope=openid", self.state(challenge))
    }

    /// Both halves of the challenge, once somebody has signed in at the provider.
    pub async fn come_back(&self, challenge: &Value, subject: &str, email: &str) -> Value {
        let nonce = challenge["nonce"].as_str().unwrap_or_default();
        self.come_back_with(challenge, &self.claims(nonce, subject, email)).await
    }

    pub async fn come_back_with(&self, challenge: &Value, claims: &Value) -> Value {
        let callback = self.callback_with(challenge, claims);
        self.halves(challenge, &callback).await
    }

    /// Both halves, once the browser has opened the callback.
    pub async fn halves(&self, challenge: &Value, callback: &str) -> Value {
        let answer = self.server.send(Request::get(callback)).await.expect(303);
        json!({ "challenge": challenge["challenge"], "code": returned(&answer).1 })
    }

    pub async fn sign_in(&self, subject: &str, email: &str) -> Value {
        self.come_back(&self.ask().await, subject, email).await
    }

    /// Somebody who has signed in by the provider.
    pub async fn sign_in_new(&self, subject: &str, email: &str) -> Client {
        let halves = self.sign_in(subject, email).await;
        let mut client = Client::new(&self.server, Pair::SESSION_BEARER);
        let halves = crate::support::with(halves, "transport", "bearer");
        client.login(&halves).await.expect(200);
        client
    }

    /// A challenge of somebody who is signed in.
    pub async fn ask_as(&self, client: &Client, purpose: &str) -> Response {
        let body = json!({ "for": purpose, "method": "stub", "return_to": RETURN_TO });
        self.server.send(client.request("POST", "/challenges").json(&body)).await
    }
}

/// The challenge's id and the code that the browser brings back.
#[track_caller]
pub fn returned(answer: &Response) -> (String, String) {
    let location = answer.header("location").expect("a location");
    let fragment = location.strip_prefix(&format!("{RETURN_TO}#challenge=")).expect("where it was asked to");
    let (id, code) = fragment.split_once("&code=").unwrap_or_else(|| panic!("{location}"));
    (id.to_owned(), code.to_owned())
}
