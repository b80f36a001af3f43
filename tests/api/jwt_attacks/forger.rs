//! Somebody who has the server's own key, and signs with it whatever they like.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dualauth::config::JwtAlgorithm;
use serde_json::{Value, json};

use crate::support::{
    client::{Client, Pair},
    cluster::Database,
    http::Request,
    server::{ONE_NAME, TestServer},
    signer::{KeyFile, Role, Signer, key, message, part},
};

/// What is refused to a forger is refused for what it says: the key is the right one.
pub struct Forger {
    pub server: TestServer,
    pub key: &'static Signer,
    /// Signed in, by Bearer.
    pub client: Client,
    pub header: Value,
    pub claims: Value,
    /// The way that the next forged token takes.
    turn: AtomicUsize,
}

impl Forger {
    /// One for each algorithm.
    pub async fn all() -> Vec<Self> {
        let mut all = vec![Self::of(JwtAlgorithm::Hs256).await];
        all.extend(Self::asymmetric().await);
        all
    }

    /// One for each algorithm that has a public half.
    pub async fn asymmetric() -> Vec<Self> {
        let mut all = Vec::new();
        for algorithm in [JwtAlgorithm::EdDsa, JwtAlgorithm::Es256, JwtAlgorithm::Rs256] {
            all.push(Self::of(algorithm).await);
        }
        all
    }

    pub async fn of(algorithm: JwtAlgorithm) -> Self {
        Self::over(Arc::new(Database::migrated().await), algorithm, &[key(algorithm, Role::Active)]).await
    }

    /// One of a server that has signed with another key before, and knows the next one.
    pub async fn after_a_rotation() -> Self {
        let [active, superseded, next] =
            [Role::Active, Role::Superseded, Role::Next].map(|role| key(JwtAlgorithm::EdDsa, role));
        let database = Arc::new(Database::migrated().await);
        let before = Self::over(database.clone(), JwtAlgorithm::EdDsa, &[superseded]).await;
        before.client.profile().await.ok();
        let forger = Self::over(database, JwtAlgorithm::EdDsa, &[active, next]).await;
        before.client.at(&forger.server).profile().await.ok();
        forger
    }

    async fn over(database: Arc<Database>, algorithm: JwtAlgorithm, keys: &[&'static Signer]) -> Self {
        let texts: Vec<&str> = keys.iter().map(|key| key.file.as_str()).collect();
        let (key, file) = (keys[0], KeyFile::of(&texts));
        let settings = [ONE_NAME, ("JWT_ALGORITHM", algorithm.as_str()), file.setting()];
        let server = TestServer::on(database, &settings).await;
        let name = format!("ada-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let client = Client::of_new_user(&server, Pair::JWT_BEARER, &name).await;
        let (header, claims) = (part(&client.credential(), 0), part(&client.credential(), 1));
        assert_eq!(header, json!({ "alg": algorithm.as_str(), "typ": "at+jwt", "kid": key.kid() }));
        let forger = Self { server, key, client, header, claims, turn: AtomicUsize::new(0) };
        forger.assert_accepted(&forger.token(&forger.header, &forger.claims)).await;
        forger
    }

    /// A token whose signature is as good as the server's own.
    pub fn token(&self, header: &impl ToString, claims: &impl ToString) -> String {
        self.key.token(header, claims)
    }

    /// What the server's own tokens say, signed or not.
    pub fn message(&self) -> String {
        message(&self.header, &self.claims)
    }

    pub async fn assert_accepted(&self, token: &str) {
        for request in Self::presenting(token) {
            let response = self.server.send(request).await;
            assert_eq!(response.status, 200, "{response} for {}", self.read(token));
        }
    }

    /// By one of the ways, and the next token by the next: what a token says is looked at behind all of them.
    pub async fn assert_refused(&self, token: &str, code: &str) {
        let mut ways = Self::presenting(token);
        let way = self.turn.fetch_add(1, Ordering::Relaxed) % ways.len();
        self.assert_request_refused(ways.swap_remove(way), token, code).await;
    }

    pub async fn assert_refused_every_way(&self, token: &str, code: &str) {
        for request in Self::presenting(token) {
            self.assert_request_refused(request, token, code).await;
        }
    }

    async fn assert_request_refused(&self, request: Request, token: &str, code: &str) {
        let response = self.server.send(request).await;
        assert_eq!(response.status, 401, "{response} for {}", self.read(token));
        response.problem(401, code).blames_a_token(true);
    }

    /// Whatever is between it and the code that reads tokens may refuse it first, and say so in its own way.
    pub async fn assert_never_taken(&self, token: &str) {
        for request in Self::presenting(token) {
            let response = self.server.send(request).await;
            assert!((400..500).contains(&response.status), "{response} for {token:.400}");
        }
    }

    /// By each transport, where a JWT is asked for and where either credential will do.
    pub fn presenting(token: &str) -> Vec<Request> {
        let by_each = |path: &&str| {
            let cookie = format!("access_token={token}");
            [Request::get(path).bearer(token), Request::get(path).header("Cookie", cookie)]
        };
        ["/jwt/profile", "/profile"].iter().flat_map(by_each).collect()
    }

    /// A token as a person reads it, as far as it can be read.
    fn read(&self, token: &str) -> String {
        let parts = token.split('.').take(2).map(|part| URL_SAFE_NO_PAD.decode(part).unwrap_or_default());
        let parts: String = parts.map(|json| String::from_utf8_lossy(&json).into_owned()).collect();
        format!("{parts} ({}; {token})", self.key.algorithm.as_str())
    }

    pub async fn assert_header_refused(&self, header: impl ToString) {
        let token = self.token(&header, &self.claims);
        self.assert_refused(&token, "invalid_token").await;
    }
}
