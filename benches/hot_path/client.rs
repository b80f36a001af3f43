//! An HTTP client that costs next to nothing: a few connections, and requests that were made beforehand.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

/// How many requests are under way at a time.
const CONNECTIONS: usize = 4;

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A GET, with one more header line.
pub(crate) fn get(path: &str, header: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: auth.example.com\r\n{header}\r\n\r\n").into_bytes()
}

/// The header line for a token.
pub(crate) fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// A login by Bearer, on a connection that is closed behind its answer.
pub(crate) fn sign_in(path: &str, (username, password): (&str, &str)) -> Vec<u8> {
    let body = serde_json::json!({"username": username, "password": password, "transport": "bearer"});
    post_with(path, &body, "Connection: close\r\n")
}

fn post(path: &str, body: &Value) -> Vec<u8> {
    post_with(path, body, "")
}

fn post_with(path: &str, body: &Value, headers: &str) -> Vec<u8> {
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: auth.example.com\r\n{headers}Content-Type: application/json\r\nContent-Length: {}",
        body.len()
    );
    format!("{head}\r\n\r\n{body}").into_bytes()
}

/// Sends requests, and looks at every answer.
pub(crate) struct Client(Vec<Connection>);

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        (0..CONNECTIONS).map(|_| Connection::open(address)).collect::<Result<_, _>>().map(Self)
    }

    /// Sends these, a few at a time. Each has to be answered by 200 and a body with `expected` in it.
    pub(crate) fn send<'a>(
        &mut self,
        mut requests: impl Iterator<Item = &'a [u8]>,
        expected: &str,
    ) -> anyhow::Result<()> {
        loop {
            let mut sent = 0;
            for (connection, request) in self.0.iter_mut().zip(&mut requests) {
                connection.send(request)?;
                sent += 1;
            }
            if sent == 0 {
                return Ok(());
            }
            for connection in &mut self.0[..sent] {
                connection.receive()?.check(200, expected)?;
            }
        }
    }

    /// How long the answer to a request is, in bytes.
    pub(crate) fn size(&mut self, request: &[u8]) -> anyhow::Result<usize> {
        let response = self.0[0].exchange(request)?;
        Ok(response.head.len() + response.body.len())
    }

    pub(crate) fn register(&mut self, username: &str, password: &str) -> anyhow::Result<()> {
        let email = format!("{username}@example.com");
        let body = serde_json::json!({"username": username, "email": email, "password": password});
        self.0[0].exchange(&post("/session/register", &body))?.check(201, username)
    }

    /// Signs in by Bearer, and gives the header line to show from then on. `token` is where it is in the body.
    pub(crate) fn sign_in_by_bearer(
        &mut self,
        path: &str,
        (username, password): (&str, &str),
        token: &str,
    ) -> anyhow::Result<String> {
        let body = serde_json::json!({"username": username, "password": password, "transport": "bearer"});
        let response = self.0[0].exchange(&post(path, &body))?;
        response.check(200, username)?;
        let body: Value = serde_json::from_str(response.body)?;
        body[token].as_str().map(bearer).with_context(|| format!("no {token} in {body}"))
    }

    /// Signs in by cookie, and gives the header line to show from then on: the cookie whose name ends like this.
    pub(crate) fn sign_in_by_cookie(
        &mut self,
        path: &str,
        (username, password): (&str, &str),
        cookie: &str,
    ) -> anyhow::Result<String> {
        let body = serde_json::json!({"username": username, "password": password, "transport": "cookie"});
        let response = self.0[0].exchange(&post(path, &body))?;
        response.check(200, username)?;
        let pairs = response.head.lines().filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let is_cookie = name.eq_ignore_ascii_case("set-cookie");
            is_cookie.then(|| value.split(';').next()).flatten()
        });
        let mut named =
            pairs.filter(|pair| pair.split('=').next().is_some_and(|name| name.ends_with(cookie)));
        named.next().map(|pair| format!("Cookie: {pair}")).context("the cookie was not set")
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

struct Response<'a> {
    head: &'a str,
    body: &'a str,
}

impl Response<'_> {
    fn check(&self, status: u16, expected: &str) -> anyhow::Result<()> {
        let is_status = self.head.get(9..12).is_some_and(|found| found.parse() == Ok(status));
        if is_status && self.body.contains(expected) {
            return Ok(());
        }
        bail!("expected {status} and {expected:?}, but got:\n{}{}", self.head, self.body)
    }
}

impl Connection {
    fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Response<'_>> {
        self.send(request)?;
        self.receive()
    }

    fn send(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(request).context("sending a request")
    }

    fn receive(&mut self) -> anyhow::Result<Response<'_>> {
        self.buffer.clear();
        let head = loop {
            if let Some(at) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            self.read_more()?;
        };
        let length = content_length(std::str::from_utf8(&self.buffer[..head])?)?;
        while self.buffer.len() < head + length {
            self.read_more()?;
        }
        let (head, body) = std::str::from_utf8(&self.buffer)?.split_at(head);
        Ok(Response { head, body })
    }

    fn read_more(&mut self) -> anyhow::Result<()> {
        let mut bytes = [0; 4096];
        let count = self.stream.read(&mut bytes).context("waiting for an answer")?;
        if count == 0 {
            bail!("the server hung up");
        }
        self.buffer.extend_from_slice(&bytes[..count]);
        Ok(())
    }
}

fn content_length(head: &str) -> anyhow::Result<usize> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next().and_then(|(_, value)| value.parse().ok()).with_context(|| format!("no length in:\n{head}"))
}
