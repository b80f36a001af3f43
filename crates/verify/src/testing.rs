//! A dualauth for tests: it signs tokens, publishes its keys, and serves a feed that can be made to fail.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use axum::extract::{Form, RawQuery, State};
use axum::http::header::{AUTHORIZATION, HeaderMap};
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use uuid::Uuid;

/// Issuer and audience of the tests' tokens.
pub(crate) const HERE: &str = "http://auth.example.org";

/// The client of the tests.
pub(crate) const CLIENT: (&str, &str) = ("0199f0a4-0b0e-7d53-9a55-3a1a4f0e7c11", "duc_secret");

/// The algorithms of published keys.
pub(crate) const ALGORITHMS: [&str; 3] = ["EdDSA", "ES256", "RS256"];

/// A signing key, with its public half as a JWK.
pub(crate) struct TestKey {
    pub(crate) alg: &'static str,
    pub(crate) kid: String,
    pub(crate) jwk: Value,
    pair: Pair,
}

enum Pair {
    Ed(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl TestKey {
    /// A new key.
    pub(crate) fn new(alg: &'static str) -> Self {
        let (pair, mut jwk) = match alg {
            "EdDSA" => {
                let pair = Ed25519KeyPair::generate().expect("a key");
                let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(pair.public_key()) });
                (Pair::Ed(pair), jwk)
            }
            "ES256" => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                let jwk = json!({ "kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y) });
                (Pair::Ec(pair), jwk)
            }
            _ => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
                // DER of a sequence of two integers, the first of 256 bytes after a zero.
                let [n, e] = [9..265, 267..270].map(|place| &pair.public_key().as_ref()[place]);
                let jwk = json!({ "kty": "RSA", "n": base64url(n), "e": base64url(e) });
                (Pair::Rsa(pair), jwk)
            }
        };
        let kid = base64url(digest(&SHA256, jwk.to_string().as_bytes()));
        for (member, value) in [("kid", kid.as_str()), ("alg", alg), ("use", "sig")] {
            jwk[member] = value.into();
        }
        Self { alg, kid, jwk, pair }
    }

    /// The header of this key's tokens.
    pub(crate) fn header(&self) -> Value {
        json!({ "alg": self.alg, "typ": "at+jwt", "kid": self.kid })
    }

    /// The signature of a message, as the third part of a token.
    pub(crate) fn signature(&self, message: &str) -> String {
        let (message, random) = (message.as_bytes(), SystemRandom::new());
        match &self.pair {
            Pair::Ed(pair) => base64url(pair.sign(message)),
            Pair::Ec(pair) => base64url(pair.sign(&random, message).expect("a signature")),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("a signature");
                base64url(signature)
            }
        }
    }

    /// A token of this header and these claims.
    pub(crate) fn token_of(&self, header: &impl ToString, claims: &impl ToString) -> String {
        let message = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
        format!("{message}.{}", self.signature(&message))
    }

    /// A token of these claims.
    pub(crate) fn token(&self, claims: &impl ToString) -> String {
        self.token_of(&self.header(), claims)
    }
}

/// The claims of a token of a new login of Ada's, issued at `now` for 15 minutes.
pub(crate) fn claims(now: i64) -> Value {
    json!({
        "iss": HERE, "aud": HERE, "sub": Uuid::from_u128(1), "iat": now, "exp": now + 900, "jti": Uuid::from_u128(2),
        "sid": Uuid::from_u128(3), "client_id": "dualauth", "auth_time": now, "acr": "aal1", "amr": ["pwd"],
        "username": "ada", "roles": ["user"],
    })
}

/// The claims with another value of one.
pub(crate) fn with(mut claims: Value, name: &str, value: impl Into<Value>) -> Value {
    claims[name] = value.into();
    claims
}

/// How the dualauth behaves, and what was asked of it.
pub(crate) struct Behaviour {
    /// What the feed says, in order. `null`: the keys have changed.
    pub(crate) log: Vec<Value>,
    /// What cursors begin with. With another one the feed begins anew.
    pub(crate) history: u32,
    /// How many entries an answer has.
    pub(crate) page: usize,
    pub(crate) age_ms: u64,
    /// How many more requests to the feed are answered; the others get 503.
    pub(crate) answers_left: usize,
    /// Holds every request that may wait until it is released.
    pub(crate) holds: bool,
    /// How many requests it holds.
    held: usize,
    pub(crate) keys: Vec<Value>,
    /// How many of the next requests for keys fail.
    pub(crate) keys_fail: usize,
    /// Cursor and wait of each request.
    pub(crate) requests: Vec<(String, f64)>,
    /// How often the keys were asked for.
    pub(crate) fetches: usize,
    /// How often a client was refused.
    pub(crate) refused: usize,
}

struct Shared {
    behaviour: Mutex<Behaviour>,
    news: Notify,
    release: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Behaviour> {
        self.behaviour.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A dualauth at an address of its own, until it is dropped.
pub(crate) struct Dualauth {
    pub(crate) key: TestKey,
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    /// `None`: it is gone, with every connection.
    runtime: Option<Runtime>,
}

impl Drop for Dualauth {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Dualauth {
    /// One with a key for EdDSA and nothing in its feed.
    pub(crate) fn start() -> Self {
        let key = TestKey::new("EdDSA");
        let behaviour = Behaviour {
            log: Vec::new(),
            history: 1,
            page: 100,
            age_ms: 0,
            answers_left: usize::MAX,
            holds: false,
            held: 0,
            keys: vec![key.jwk.clone()],
            keys_fail: 0,
            requests: Vec::new(),
            fetches: 0,
            refused: 0,
        };
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(behaviour),
            news: Notify::new(),
            release: Notify::new(),
        });
        let mut dualauth =
            Self { key, address: SocketAddr::from(([127, 0, 0, 1], 0)), shared, runtime: None };
        dualauth.serve();
        dualauth
    }

    /// Serves, at the same address if it did before.
    pub(crate) fn serve(&mut self) {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listener = std::net::TcpListener::bind(self.address).expect("the address is free");
        listener.set_nonblocking(true).expect("a socket");
        self.address = listener.local_addr().expect("an address");
        let app = Router::new()
            .route("/.well-known/jwks.json", get(keys))
            .route("/jwt/feed", post(feed))
            .with_state(Arc::clone(&self.shared));
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, app).await
        });
        self.runtime = Some(runtime);
    }

    /// Cuts every connection, and takes no more.
    pub(crate) fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // By another thread: one of a runtime's may not wait for another runtime.
            let stopping = std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(20)));
            let _ = stopping.join();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How it behaves, to be looked at.
    pub(crate) fn behaviour(&self) -> MutexGuard<'_, Behaviour> {
        self.shared.lock()
    }

    /// Changes how it behaves. Requests that wait are answered.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour());
        self.shared.news.notify_waiters();
    }

    /// Answers the request that it holds.
    pub(crate) fn release(&self) {
        self.shared.release.notify_one();
    }

    /// Has the feed say something more.
    pub(crate) fn say(&self, entry: Value) {
        self.change(|behaviour| behaviour.log.push(entry));
    }

    /// Ends the login of these claims.
    pub(crate) fn end(&self, claims: &Value) {
        self.say(end_of(claims));
    }

    /// Gives the user of these claims other roles.
    pub(crate) fn set_roles(&self, claims: &Value, roles: &[&str]) {
        let (sub, username) = (&claims["sub"], &claims["username"]);
        self.say(json!({ "roles": { "sub": sub, "username": username, "roles": roles, "until": UNTIL } }));
    }
}

/// A time that no test lives to see.
const UNTIL: &str = "2999-11-27T18:00:00.000000Z";

/// The entry that says that the login of these claims has ended.
pub(crate) fn end_of(claims: &Value) -> Value {
    json!({ "ended": { "sid": claims["sid"], "until": UNTIL } })
}

async fn keys(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> impl IntoResponse {
    let mut behaviour = shared.lock();
    behaviour.fetches += 1;
    // Who follows the feed needs what is committed; who does not is served in an outage, too.
    let must_be_current = query.is_some_and(|query| query.starts_with("current="));
    if must_be_current == behaviour.requests.is_empty() {
        return Err(StatusCode::IM_A_TEAPOT);
    }
    if behaviour.keys_fail > 0 {
        behaviour.keys_fail -= 1;
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    Ok(Json(json!({ "keys": behaviour.keys })))
}

#[derive(Deserialize)]
struct FeedForm {
    cursor: String,
    wait: String,
}

async fn feed(
    State(shared): State<Arc<Shared>>,
    method: Method,
    headers: HeaderMap,
    Form(form): Form<FeedForm>,
) -> Result<Json<Value>, StatusCode> {
    let expected = format!("Basic {}", STANDARD.encode(format!("{}:{}", CLIENT.0, CLIENT.1)));
    if method != Method::POST || headers.get(AUTHORIZATION).is_none_or(|sent| *sent != *expected) {
        shared.lock().refused += 1;
        return Err(StatusCode::UNAUTHORIZED);
    }
    let wait: f64 = form.wait.parse().map_err(|_| StatusCode::UNPROCESSABLE_ENTITY)?;
    let news = shared.news.notified();
    tokio::pin!(news);
    news.as_mut().enable();
    let (waits, holds) = {
        let mut behaviour = shared.lock();
        behaviour.requests.push((form.cursor.clone(), wait));
        behaviour.answers_left =
            behaviour.answers_left.checked_sub(1).ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
        let holds = behaviour.holds && wait > 0.0;
        behaviour.held += usize::from(holds);
        (behaviour.has_nothing_after(&form.cursor), holds)
    };
    if holds {
        shared.release.notified().await;
    }
    if waits && wait > 0.0 {
        let _ = tokio::time::timeout(Duration::from_secs_f64(wait), news).await;
    }
    Ok(Json(shared.lock().answer(&form.cursor)))
}

impl Behaviour {
    /// The place in the log that a cursor means. `None`: the feed begins anew.
    fn place(&self, cursor: &str) -> Option<usize> {
        let (history, place) = cursor.split_once('.')?;
        place.parse().ok().filter(|_| history.parse() == Ok(self.history))
    }

    /// Whether it holds a request.
    pub(crate) fn is_holding(&self) -> bool {
        self.held > 0
    }

    fn has_nothing_after(&self, cursor: &str) -> bool {
        self.place(cursor) == Some(self.log.len())
    }

    fn answer(&self, cursor: &str) -> Value {
        let place = self.place(cursor);
        let start = place.unwrap_or(0).min(self.log.len());
        let end = self.log.len().min(start + self.page);
        let said = &self.log[start..end];
        let of = |kind: &str| said.iter().filter_map(|entry| entry.get(kind)).cloned().collect::<Value>();
        json!({
            "cursor": format!("{}.{end}", self.history),
            "anew": place.is_none(),
            "more": end < self.log.len(),
            "age_ms": if end < self.log.len() { 600_000 } else { self.age_ms },
            "ended": of("ended"),
            "roles": of("roles"),
            "keys_changed": said.iter().any(Value::is_null),
            "what a later version says": true,
        })
    }
}
