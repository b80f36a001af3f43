//! A provider of identities (OpenID Connect, and as much of GitHub as is asked for) that says whatever a test wants it to say.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dualauth::config::JwtAlgorithm;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::cluster;
use super::signer::{Role, Signer, key};

/// What it answers at a path.
#[derive(Clone, Debug)]
pub enum StubAnswer {
    Json(Value),
    Status(u16, Value),
    Redirect(String),
    /// This, after a while.
    Late(Duration, Value),
    /// This, byte for byte.
    Raw(Vec<u8>),
    /// A body that goes on for as long as somebody reads.
    Endless,
    /// A byte now and then, for ever.
    Drip,
    /// Nothing.
    Silence,
    HangUp,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct StubRequest {
    pub path: String,
    pub head: String,
    pub body: String,
}

impl StubRequest {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(written, _)| written.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The form in its body.
    pub fn form(&self) -> HashMap<String, String> {
        url::form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }
}

#[derive(Default)]
struct Shared {
    answers: HashMap<String, StubAnswer>,
    requests: Vec<StubRequest>,
}

pub struct StubProvider {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    listening: JoinHandle<()>,
}

impl StubProvider {
    /// One that behaves: it has the active keys of the tests.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared: Arc<Mutex<Shared>> = Arc::default();
        let answering = Arc::clone(&shared);
        let listening = cluster::runtime().spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer_one(stream, Arc::clone(&answering)));
            }
        });
        let stub = Self { address, shared, listening };
        stub.answer("/.well-known/openid-configuration", StubAnswer::Json(stub.discovery()));
        stub.answer("/keys", StubAnswer::Json(json!({ "keys": [published(signer())] })));
        stub
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its discovery document.
    pub fn discovery(&self) -> Value {
        let url = self.url();
        json!({
            "issuer": url,
            "authorization_endpoint": format!("{url}/authorize?tenant=x"),
            "token_endpoint": format!("{url}/token"),
            "jwks_uri": format!("{url}/keys"),
        })
    }

    pub fn answer(&self, path: &str, answer: StubAnswer) {
        self.locked().answers.insert(path.to_owned(), answer);
    }

    pub fn json(&self, path: &str, answer: Value) {
        self.answer(path, StubAnswer::Json(answer));
    }

    /// Every request so far, the oldest first.
    pub fn requests(&self) -> Vec<StubRequest> {
        self.locked().requests.clone()
    }

    pub fn asked(&self, path: &str) -> usize {
        self.locked().requests.iter().filter(|request| request.path == path).count()
    }

    /// The last request of this path.
    pub fn last(&self, path: &str) -> StubRequest {
        self.requests().into_iter().rfind(|request| request.path == path).expect("a request")
    }

    fn locked(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StubProvider {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// The key that it signs with.
pub fn signer() -> &'static Signer {
    key(JwtAlgorithm::Es256, Role::Active)
}

/// A key as it is published.
pub fn published(signer: &Signer) -> Value {
    let mut jwk = serde_json::to_value(signer.jwk().expect("a public half")).expect("JSON");
    jwk["kid"] = signer.kid().into();
    jwk
}

/// Answers one request. An error: the client has gone.
async fn answer_one(stream: TcpStream, shared: Arc<Mutex<Shared>>) -> std::io::Result<()> {
    let mut client = BufReader::new(stream);
    let mut head = String::new();
    while client.read_line(&mut head).await? > 2 {}
    let target = head.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let request = StubRequest { path: path.clone(), head, body: String::new() };
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    client.read_exact(&mut body).await?;
    let request = StubRequest { body: String::from_utf8_lossy(&body).into_owned(), ..request };
    let answer = {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.requests.push(request);
        shared.answers.get(&path).cloned()
    };
    send(client.get_mut(), answer.unwrap_or(StubAnswer::Status(404, json!({})))).await
}

async fn send(client: &mut TcpStream, answer: StubAnswer) -> std::io::Result<()> {
    const PAUSE: Duration = Duration::from_millis(100);
    match answer {
        StubAnswer::Json(body) => client.write_all(&response(200, &body)).await,
        StubAnswer::Status(status, body) => client.write_all(&response(status, &body)).await,
        StubAnswer::Late(wait, body) => {
            tokio::time::sleep(wait).await;
            client.write_all(&response(200, &body)).await
        }
        StubAnswer::Redirect(to) => {
            let head = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
            client.write_all(head.as_bytes()).await
        }
        StubAnswer::Raw(bytes) => client.write_all(&bytes).await,
        StubAnswer::Endless => {
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                client.write_all(&[b' '; 4096]).await?;
            }
        }
        StubAnswer::Drip => {
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                client.write_all(b" ").await?;
                tokio::time::sleep(PAUSE).await;
            }
        }
        StubAnswer::Silence => {
            let mut end = [0];
            client.read(&mut end).await.map(|_| ())
        }
        StubAnswer::HangUp => Ok(()),
    }
}

fn response(status: u16, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Date: Wed, 01 Jan 2031 02:13:20 GMT\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}
