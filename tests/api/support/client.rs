//! A client for each of the four ways to be signed in, that carries its credential as its kind does.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{
    http::{Request, Response, SetCookie, Unanswered},
    server::{TestServer, credentials},
    text, with,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Session,
    Jwt,
}

impl Mode {
    pub const ALL: [Self; 2] = [Self::Session, Self::Jwt];

    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Jwt => "jwt",
        }
    }

    /// A route of this mode's set.
    pub fn path(self, tail: &str) -> String {
        format!("/{}/{tail}", self.name())
    }

    /// Without `__Host-` and `__Secure-`.
    pub fn cookie_names(self) -> &'static [&'static str] {
        match self {
            Self::Session => &["sessionid"],
            Self::Jwt => &["access_token", "refresh_token"],
        }
    }

    /// What a credential is refused with once its login has ended.
    pub fn ended(self) -> &'static str {
        match self {
            Self::Session => "session_expired",
            Self::Jwt => "token_revoked",
        }
    }

    pub fn by(self, transport: Transport) -> Pair {
        Pair { mode: self, transport }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Cookie,
    Bearer,
}

impl Transport {
    pub fn name(self) -> &'static str {
        match self {
            Self::Cookie => "cookie",
            Self::Bearer => "bearer",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    pub mode: Mode,
    pub transport: Transport,
}

impl Pair {
    pub const SESSION_COOKIE: Self = Self { mode: Mode::Session, transport: Transport::Cookie };
    pub const SESSION_BEARER: Self = Self { mode: Mode::Session, transport: Transport::Bearer };
    pub const JWT_COOKIE: Self = Self { mode: Mode::Jwt, transport: Transport::Cookie };
    pub const JWT_BEARER: Self = Self { mode: Mode::Jwt, transport: Transport::Bearer };
    pub const ALL: [Self; 4] =
        [Self::SESSION_COOKIE, Self::SESSION_BEARER, Self::JWT_COOKIE, Self::JWT_BEARER];

    pub fn by_cookie(self) -> bool {
        self.transport == Transport::Cookie
    }

    /// What one logs in with to be signed in this way.
    pub fn credentials(self, name: &str) -> Value {
        with(credentials(name), "transport", self.transport.name())
    }
}

/// The cookies a browser would hold by now.
#[derive(Clone, Debug, Default)]
pub struct Jar(Vec<SetCookie>);

impl Jar {
    fn absorb(&mut self, response: &Response) {
        for cookie in response.set_cookies() {
            self.0.retain(|held| (&held.name, &held.path) != (&cookie.name, &cookie.path));
            if !cookie.is_removal() {
                self.0.push(cookie);
            }
        }
    }

    /// The `Cookie` header for a path.
    pub fn header_for(&self, path: &str) -> Option<String> {
        let pairs: Vec<String> = self
            .0
            .iter()
            .filter(|cookie| {
                let scope = cookie.path.as_deref().unwrap_or("/").trim_end_matches('/');
                path.strip_prefix(scope).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// A cookie by its name without prefix.
    #[track_caller]
    pub fn get(&self, bare_name: &str) -> &SetCookie {
        self.0
            .iter()
            .find(|cookie| cookie.bare_name() == bare_name)
            .unwrap_or_else(|| panic!("no cookie {bare_name}"))
    }

    pub fn remove(&mut self, bare_name: &str) {
        self.0.retain(|cookie| cookie.bare_name() != bare_name);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One device. A clone holds what the device held then: a copy of its credential, to be tried later.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    pub pair: Pair,
    pub jar: Jar,
    /// The session token or access token, where one travels by Bearer.
    pub bearer: Option<String>,
    /// The refresh token that came in a body.
    pub refresh_token: Option<String>,
    pub csrf_token: Option<String>,
}

impl Client {
    pub fn new(server: &TestServer, pair: Pair) -> Self {
        Self::at_address(server.address(), pair)
    }

    /// The same, where the server is a process.
    pub fn at_address(address: SocketAddr, pair: Pair) -> Self {
        Self { address, pair, jar: Jar::default(), bearer: None, refresh_token: None, csrf_token: None }
    }

    /// A device on which a registered user has signed in.
    pub async fn signed_in(server: &TestServer, pair: Pair, name: &str) -> Self {
        let mut client = Self::new(server, pair);
        client.login(&pair.credentials(name)).await.ok();
        client
    }

    /// The same, for a user who is new.
    pub async fn of_new_user(server: &TestServer, pair: Pair, name: &str) -> Self {
        server.user(name).await;
        Self::signed_in(server, pair, name).await
    }

    /// A registered user's devices, one signed in in each way.
    pub async fn in_every_way(server: &TestServer, name: &str) -> Vec<Self> {
        let mut clients = Vec::new();
        for pair in Pair::ALL {
            clients.push(Self::signed_in(server, pair, name).await);
        }
        clients
    }

    /// The same device, talking to another node.
    pub fn at(&self, server: &TestServer) -> Self {
        self.at_node(server.address())
    }

    /// The same, where that is a process.
    pub fn at_node(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    /// A route of the client's mode.
    pub fn path(&self, tail: &str) -> String {
        self.pair.mode.path(tail)
    }

    /// A request with the credential in its place; an unsafe one by cookie with the CSRF token.
    pub fn request(&self, method: &str, path: &str) -> Request {
        let request = self.without_csrf(method, path);
        match &self.csrf_token {
            Some(token) if !["GET", "HEAD"].contains(&method) => request.header("X-CSRF-Token", token),
            _ => request,
        }
    }

    /// A request with the credential, and nothing that proves that the page meant it.
    pub fn without_csrf(&self, method: &str, path: &str) -> Request {
        let request = Request::new(method, path);
        match (&self.bearer, self.jar.header_for(path)) {
            (Some(token), _) => request.bearer(token),
            (None, Some(cookies)) => request.header("Cookie", cookies),
            (None, None) => request,
        }
    }

    /// Sends, and keeps what the answer brought: cookies, tokens.
    pub async fn send(&mut self, request: Request) -> Response {
        let response = request.send(self.address).await;
        self.absorb(&response);
        response
    }

    /// The same, where an answer need not come.
    pub async fn attempt(&mut self, request: Request) -> Result<Response, Unanswered> {
        let response = request.attempt(self.address).await?;
        self.absorb(&response);
        Ok(response)
    }

    /// Keeps what an answer brought.
    pub fn absorb(&mut self, response: &Response) {
        self.jar.absorb(response);
        if response.status == 200
            && let Ok(body) = serde_json::from_slice::<Value>(&response.body)
        {
            let member = |name: &str| Some(body.get(name)?.as_str()?.to_owned());
            let bearer = member("session_token").or_else(|| member("access_token"));
            self.bearer = bearer.or(self.bearer.take());
            self.refresh_token = member("refresh_token").or(self.refresh_token.take());
            self.csrf_token = member("csrf_token").or(self.csrf_token.take());
        }
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request("GET", path).send(self.address).await
    }

    pub async fn login(&mut self, body: &Value) -> Response {
        let request = self.request("POST", &self.path("login")).json(body);
        self.send(request).await
    }

    pub async fn profile(&self) -> Response {
        self.get(&self.path("profile")).await
    }

    /// Renews what it has. A token by Bearer is renewed with the refresh token alone.
    pub async fn refresh(&mut self) -> Response {
        let request = self.refresh_request();
        self.send(request).await
    }

    pub fn refresh_request(&self) -> Request {
        let path = self.path("refresh");
        match &self.refresh_token {
            Some(token) => Request::post(&path).json(&json!({ "refresh_token": token })),
            None => self.request("POST", &path),
        }
    }

    /// Proves once more who it is, by this password.
    pub async fn step_up(&mut self, password: &str) -> Response {
        let request = self.step_up_request(password);
        self.send(request).await
    }

    pub fn step_up_request(&self, password: &str) -> Request {
        self.request("POST", &self.path("step-up")).json(&json!({ "password": password }))
    }

    pub async fn logout(&mut self) -> Response {
        let request = self.request("POST", &self.path("logout"));
        self.send(request).await
    }

    /// The id of the login that the server takes this client for.
    pub async fn login_id(&self) -> String {
        let profile = self.profile().await.ok();
        text(&profile["auth"]["login_id"]).to_owned()
    }

    /// Asserts that everything it has is good: its credential, and what buys the next one.
    pub async fn assert_goes_on(mut self) {
        for path in [&self.path("profile"), "/profile"] {
            self.get(path).await.ok();
        }
        self.refresh().await.ok();
        self.profile().await.ok();
    }

    /// The secret that proves who one is, whichever way it travels.
    pub fn credential(&self) -> String {
        match &self.bearer {
            Some(token) => token.clone(),
            None => self.jar.get(self.pair.mode.cookie_names()[0]).value.clone(),
        }
    }

    /// The secret that buys the next one.
    pub fn renewal(&self) -> String {
        match (self.pair.mode, &self.refresh_token) {
            (Mode::Session, _) => self.credential(),
            (Mode::Jwt, Some(token)) => token.clone(),
            (Mode::Jwt, None) => self.jar.get("refresh_token").value.clone(),
        }
    }

    /// Asserts that this credential opens nothing.
    pub async fn assert_refused(&self, code: &str) {
        for path in [&self.path("profile"), "/profile", &self.path("csrf"), "/account/logins"] {
            let response = self.get(path).await.problem(401, code);
            if self.bearer.is_some() {
                response.blames_a_token(true);
            }
        }
        let refresh = self.refresh_request().send(self.address).await;
        refresh.problem(401, code);
        let logout = self.request("POST", &self.path("logout"));
        logout.send(self.address).await.problem(401, code);
    }
}
