//! A tiny HTTP/1.1 client that leaves every byte to the test: one connection per request, no header of its own but
//! those without which a request is none.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};
use url::form_urlencoded;

use super::{PATIENCE, assert_members, text};

#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    /// Adds a header; one that is there already stays, so a name can be sent twice.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    /// As a registered client (RFC 7617).
    pub fn basic(self, id: &str, secret: &str) -> Self {
        self.header("Authorization", format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))))
    }

    pub fn form(self, members: &[(&str, &str)]) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(members).finish();
        self.body("application/x-www-form-urlencoded", body)
    }

    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub fn body(self, content_type: &str, body: impl AsRef<[u8]>) -> Self {
        self.header("Content-Type", content_type).bytes(body)
    }

    /// A body, and no word about its type.
    pub fn bytes(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// The same body without a Content-Length, in chunks.
    pub fn chunked(mut self) -> Self {
        let mut chunks = Vec::new();
        for chunk in self.body.chunks(1_000) {
            chunks.extend(format!("{:x}\r\n", chunk.len()).bytes());
            chunks.extend(chunk);
            chunks.extend(b"\r\n");
        }
        chunks.extend(b"0\r\n\r\n");
        self.body = chunks;
        self.header("Transfer-Encoding", "chunked")
    }

    pub async fn send(&self, to: SocketAddr) -> Response {
        self.exchange(TcpStream::connect(to), to).await
    }

    /// Sends it, where an answer need not come.
    pub async fn attempt(&self, to: SocketAddr) -> Result<Response, Unanswered> {
        let exchange = async {
            let mut stream = TcpStream::connect(to).await.map_err(|_| Unanswered::NotSent)?;
            let _ = stream.write_all(&self.encode(to)).await;
            let mut bytes = Vec::new();
            // However it ends: what counts is what came.
            let _ = stream.read_to_end(&mut bytes).await;
            Response::parse(&self.name(), &bytes).ok_or(Unanswered::BrokenOff(bytes))
        };
        timeout(PATIENCE, exchange)
            .await
            .unwrap_or_else(|_| panic!("{}: neither answer nor end", self.name()))
    }

    /// Sends it from this address, of the several that an IPv4 machine has for itself.
    pub async fn send_from(&self, from: IpAddr, to: SocketAddr) -> Response {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from((from, 0))).expect("an address of this machine");
        self.exchange(socket.connect(to), to).await
    }

    async fn exchange(
        &self,
        connecting: impl Future<Output = io::Result<TcpStream>>,
        to: SocketAddr,
    ) -> Response {
        let exchange = async {
            let mut stream = connecting.await.expect("a connection");
            // Who is refused early may find the way closed behind the answer.
            let _ = stream.write_all(&self.encode(to)).await;
            self.read_response(stream).await
        };
        timeout(PATIENCE, exchange).await.unwrap_or_else(|_| panic!("{}: no answer", self.name()))
    }

    /// Sends the head, then the body's pieces with a pause before each, until the server has answered.
    pub async fn trickle(&self, to: SocketAddr, pieces: &[&[u8]], pause: Duration) -> Response {
        let stream = TcpStream::connect(to).await.expect("a connection");
        let (mut read, mut write) = stream.into_split();
        write.write_all(&self.encode(to)).await.expect("the head is taken");
        let trickling = async {
            for piece in pieces {
                sleep(pause).await;
                if write.write_all(piece).await.is_err() {
                    break;
                }
            }
            std::future::pending().await
        };
        let mut bytes = Vec::new();
        let answer = async {
            loop {
                let length = read.read_buf(&mut bytes).await.expect("an answer");
                match Response::parse(&self.name(), &bytes) {
                    Some(response) => return response,
                    None => assert_ne!(length, 0, "{}: no whole answer", self.name()),
                }
            }
        };
        tokio::select! {
            response = timeout(PATIENCE, answer) => {
                response.unwrap_or_else(|_| panic!("{}: no answer", self.name()))
            }
            () = trickling => unreachable!(),
        }
    }

    /// Sends the request whole and resets the connection a little later, whatever the server does meanwhile.
    pub async fn send_and_reset(&self, to: SocketAddr, after: Duration) {
        self.send_and_reset_when(to, sleep(after)).await;
    }

    /// The same as soon as this is over.
    pub async fn send_and_reset_when(&self, to: SocketAddr, moment: impl Future<Output = ()>) {
        let mut stream = TcpStream::connect(to).await.expect("a connection");
        stream.write_all(&self.encode(to)).await.expect("the request is taken");
        moment.await;
        stream.set_zero_linger().expect("a reset at close");
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Its head, with no header but `Host` and those that it was given.
    pub fn without_a_length(&self) -> String {
        let mut head = format!("{} HTTP/1.1\r\nHost: x\r\n", self.name());
        for (name, value) in &self.headers {
            head.extend([name, ": ", &String::from_utf8_lossy(value), "\r\n"]);
        }
        head + "\r\n"
    }

    /// As it is sent.
    pub fn encode(&self, to: SocketAddr) -> Vec<u8> {
        let mut bytes = format!("{} HTTP/1.1\r\n", self.name()).into_bytes();
        let mut line = |name: &str, value: &[u8]| {
            bytes.extend(name.bytes());
            bytes.extend(b": ");
            bytes.extend(value);
            bytes.extend(b"\r\n");
        };
        let given = |wanted: &str| self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        if !given("Host") {
            line("Host", to.to_string().as_bytes());
        }
        if !given("Content-Length") && !given("Transfer-Encoding") {
            line("Content-Length", self.body.len().to_string().as_bytes());
        }
        if !given("Connection") {
            line("Connection", b"close");
        }
        for (name, value) in &self.headers {
            line(name, value);
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }

    /// Reads to the end of the connection. A reset after the answer is no matter of the answer.
    async fn read_response(&self, mut stream: impl AsyncReadExt + Unpin) -> Response {
        let mut bytes = Vec::new();
        let end = stream.read_to_end(&mut bytes).await;
        Response::parse(&self.name(), &bytes)
            .unwrap_or_else(|| panic!("{}: no whole answer ({end:?})", self.name()))
    }
}

/// A connection that is used again and again.
pub struct Connection {
    stream: TcpStream,
    to: SocketAddr,
}

impl Connection {
    pub async fn open(to: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(to).await.expect("a connection"), to }
    }

    pub async fn send(&mut self, request: &Request) -> Response {
        let request = request.clone().header("Connection", "keep-alive");
        let name = request.name();
        self.write(request.encode(self.to)).await;
        self.answer(&name).await
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("it is taken");
    }

    /// Whether it was taken: the server may have closed.
    pub async fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// The one answer that comes to what was written, which begins like this.
    pub async fn answer(&mut self, request: &str) -> Response {
        let reading = async {
            let mut bytes = Vec::new();
            loop {
                let length = self.stream.read_buf(&mut bytes).await.expect("an answer");
                match Response::parse(request, &bytes) {
                    Some(response) => return response,
                    None => assert_ne!(length, 0, "{request}: no whole answer"),
                }
            }
        };
        timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("{request}: no answer"))
    }

    /// Everything that comes until the server closes, however it closes.
    pub async fn rest(mut self) -> String {
        let mut bytes = Vec::new();
        let closed = timeout(PATIENCE, self.stream.read_to_end(&mut bytes)).await;
        let _ = closed.expect("the server closes");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Asserts that the server has closed it, or does now, and says nothing more.
    pub async fn assert_closed(mut self) {
        let mut bytes = Vec::new();
        let end = timeout(PATIENCE, self.stream.read_to_end(&mut bytes)).await;
        assert!(end.is_ok(), "it is open still");
        assert_eq!(String::from_utf8_lossy(&bytes), "");
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Unanswered {
    /// Nobody took the connection.
    NotSent,
    /// The connection ended, and this was all that had come by then.
    BrokenOff(Vec<u8>),
}

#[derive(Clone, Debug)]
pub struct Response {
    /// What was asked, for the message of a failure.
    request: String,
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn parse(request: &str, bytes: &[u8]) -> Option<Self> {
        let split = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..split]);
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name.to_ascii_lowercase(), value.trim().to_owned()))
            })
            .collect::<Option<_>>()?;
        let mut response =
            Self { request: request.to_owned(), status, headers, body: bytes[split + 4..].to_vec() };
        if response.header("transfer-encoding") == Some("chunked") {
            response.body = unchunk(&response.body)?;
        } else if !request.starts_with("HEAD ")
            && let Some(length) = response.header("content-length")
            && length.parse() != Ok(response.body.len())
        {
            return None;
        }
        Some(response)
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(candidate, _)| candidate.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// The members of a comma-separated header, in small letters.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.all(name)
            .flat_map(|value| value.split(','))
            .map(|member| member.trim().to_ascii_lowercase())
            .collect()
    }

    /// All that this answer tells, but for the time it was given and the id of its request.
    pub fn but_for_the_date(&self) -> (u16, Vec<(String, String)>, String) {
        let mut headers = self.headers.clone();
        headers.retain(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()));
        headers.sort();
        (self.status, headers, self.text())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("a body in UTF-8")
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{self}: its body is not JSON: {error}"))
    }

    /// Asserts the status, and hands on for more.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// Asserts a 200, and gives its JSON.
    #[track_caller]
    pub fn ok(self) -> Value {
        let response = self.expect(200);
        assert_eq!(response.header("content-type"), Some("application/json"), "{response}");
        response.json()
    }

    /// Asserts a problem document with everything that one of its status carries.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Self {
        self.problem_with(status, code, None, "Bearer")
    }

    /// The same from a route of OAuth's standards, which says it in their words, too.
    #[track_caller]
    pub fn oauth_problem(self, status: u16, code: &str) -> Self {
        let error = match status {
            401 => Some("invalid_client"),
            503 => None,
            _ => Some("invalid_request"),
        };
        let response = self.problem_with(status, code, error, "Basic").not_stored();
        if status == 401 {
            let challenge = response.header("www-authenticate");
            assert_eq!(challenge, Some(r#"Basic realm="dualauth", charset="UTF-8""#), "{response}");
        }
        response
    }

    #[track_caller]
    fn problem_with(self, status: u16, code: &str, error: Option<&str>, scheme: &str) -> Self {
        let response = self.expect(status);
        assert_eq!(response.header("content-type"), Some("application/problem+json"), "{response}");
        let problem = response.json();
        assert_eq!(problem["code"], code, "{response}");
        assert_eq!(problem["status"], status, "{response}");
        for member in ["type", "title", "detail"] {
            assert!(!text(&problem[member]).is_empty(), "{response}");
        }
        let mut members = vec!["type", "title", "status", "detail", "code"];
        if code == "validation_failed" {
            members.push("errors");
            assert!(!response.pointers().is_empty(), "{response}");
        }
        if let Some(error) = error {
            members.push("error");
            assert_eq!(problem["error"], error, "{response}");
        }
        if code == "insufficient_user_authentication" {
            members.push("methods");
            let challenge = response.header("www-authenticate").unwrap_or_default();
            let named = |member: &&str| challenge.contains(&format!(", {member}=\""));
            members.extend(["acr_values", "max_age"].iter().filter(|member| named(member)));
        }
        if code == "second_factor_required" {
            members.extend(["challenge", "expires_at", "methods"]);
            // The options are there if a passkey is among the ways, and only then.
            let names_passkey =
                problem["methods"].as_array().is_some_and(|all| all.contains(&"passkey".into()));
            members.extend(names_passkey.then_some("passkey"));
        }
        if response.request.ends_with(" /health/ready") {
            members.push("checks");
        }
        assert_members(&problem, &members);

        let challenge = response.header("www-authenticate");
        match status {
            401 => {
                let begins = challenge.and_then(|challenge| challenge.split(' ').next());
                assert_eq!(begins, Some(scheme), "{response}");
            }
            _ => assert_eq!(challenge, None, "{response}"),
        }
        if matches!(status, 429 | 503) {
            let pause = response.header("retry-after").map(str::parse::<u32>);
            assert!(matches!(pause, Some(Ok(1..))), "{response}");
        }
        response
    }

    /// Asserts that the challenge says a bad token was sent, or does not.
    #[track_caller]
    pub fn blames_a_token(self, expected: bool) -> Self {
        let challenge = self.header("www-authenticate").unwrap_or_default();
        assert_eq!(challenge.contains("error=\"invalid_token\""), expected, "{self}");
        assert_eq!(challenge.contains("error="), expected, "{self}");
        self
    }

    /// Where a 422 says the faults are.
    #[track_caller]
    pub fn pointers(&self) -> Vec<String> {
        let problem = self.json();
        let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("{self}: no errors"));
        let mut pointers: Vec<String> = errors
            .iter()
            .map(|error| {
                assert_members(error, &["pointer", "detail"]);
                assert!(!text(&error["detail"]).is_empty(), "{self}");
                let pointer = text(&error["pointer"]);
                assert!(pointer.is_empty() || pointer.starts_with('/'), "{self}");
                pointer.to_owned()
            })
            .collect();
        pointers.sort();
        pointers.dedup();
        pointers
    }

    /// Asserts a 422 that points at these places.
    #[track_caller]
    pub fn points_at(self, pointers: &[&str]) {
        let response = self.problem(422, "validation_failed");
        assert_eq!(response.pointers(), pointers, "{response}");
    }

    #[track_caller]
    pub fn not_stored(self) -> Self {
        assert!(self.list("cache-control").contains(&"no-store".to_owned()), "{self}");
        self
    }

    #[track_caller]
    pub fn set_cookies(&self) -> Vec<SetCookie> {
        let mut cookies: Vec<_> = self.all("set-cookie").map(SetCookie::parse).collect();
        cookies.sort_by(|one, other| one.name.cmp(&other.name));
        cookies
    }
}

impl std::fmt::Display for Response {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} answered {} {:?} {}",
            self.request,
            self.status,
            self.headers,
            String::from_utf8_lossy(&self.body)
        )
    }
}

fn unchunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(str::from_utf8(&bytes[..end]).ok()?, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend(bytes.get(end + 2..end + 2 + size)?);
        bytes = bytes.get(end + 2 + size + 2..)?;
    }
}

/// A `Set-Cookie`, with every attribute it came with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SetCookie {
    pub name: String,
    pub value: String,
    pub path: Option<String>,
    pub domain: Option<String>,
    pub max_age: Option<i64>,
    pub expires: Option<String>,
    pub same_site: Option<String>,
    pub http_only: bool,
    pub secure: bool,
}

impl SetCookie {
    #[track_caller]
    fn parse(line: &str) -> Self {
        let mut parts = line.split(';').map(str::trim);
        let pair = parts.next().and_then(|pair| pair.split_once('='));
        let (name, value) = pair.unwrap_or_else(|| panic!("Set-Cookie: {line}"));
        let mut cookie = Self { name: name.to_owned(), value: value.to_owned(), ..Self::default() };
        for part in parts {
            let (attribute, value) = part.split_once('=').unwrap_or((part, ""));
            match attribute.to_ascii_lowercase().as_str() {
                "path" => cookie.path = Some(value.to_owned()),
                "domain" => cookie.domain = Some(value.trim_start_matches('.').to_owned()),
                "max-age" => cookie.max_age = Some(value.parse().expect("whole seconds")),
                "expires" => cookie.expires = Some(value.to_owned()),
                "samesite" => cookie.same_site = Some(value.to_owned()),
                "httponly" => cookie.http_only = true,
                "secure" => cookie.secure = true,
                _ => panic!("an attribute that no one asked for: {line}"),
            }
        }
        cookie
    }

    /// Its name without `__Host-` or `__Secure-`.
    pub fn bare_name(&self) -> &str {
        ["__Host-", "__Secure-"]
            .iter()
            .find_map(|prefix| self.name.strip_prefix(prefix))
            .unwrap_or(&self.name)
    }

    pub fn is_removal(&self) -> bool {
        self.max_age.is_some_and(|seconds| seconds <= 0)
    }
}
