//! No secret gets out: not into a line, a number, an error or what `Debug` prints, whatever is logged and whatever goes
//! wrong. Every secret there is has a canary in it or is one, and all that is written is searched for them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use dualauth::{
    config::{Config, JwtAlgorithm},
    crypto::random_bytes,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::{Value, json};

use crate::support::{
    client::{Client, Mode, Pair, Transport},
    cluster::Database,
    collector::Collector,
    eventually,
    http::{Request, Response},
    program::{Server, folder, program, run, text},
    proxy::Proxy,
    signer::{KeyFile, Role, key},
    with,
};

/// What must not be seen anywhere.
#[derive(Clone)]
struct Canary {
    what: String,
    secret: Vec<u8>,
}

impl Canary {
    /// Every way in which the best part of it may be written.
    fn forms(&self) -> Vec<String> {
        let start = (self.secret.len() / 4).min(self.secret.len() - 16);
        let middle = &self.secret[start..][..16];
        let hex = hex(middle);
        let mut forms = vec![
            String::from_utf8_lossy(middle).into_owned(),
            middle.escape_ascii().to_string(),
            percent_encode(middle, NON_ALPHANUMERIC).to_string(),
            format!("{:?}", &middle[..6]).trim_matches(['[', ']']).to_owned(),
            hex.to_uppercase(),
            hex,
        ];
        // A part will do, as in the rows of a hexdump.
        let parts = self.secret.windows(BEGINNING).filter_map(|part| String::from_utf8(part.to_vec()).ok());
        forms.extend(parts);
        // In base64 three bytes are four letters, whatever stands before.
        for offset in 0..3 {
            let whole = &middle[offset..][..12];
            forms.extend([STANDARD.encode(whole), URL_SAFE.encode(whole)]);
        }
        forms
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How much of a form tells it from all others.
const BEGINNING: usize = 12;

/// Finds the canaries in what was written, in one pass: there are hundreds of them, and megabytes of that.
fn find<'a>(canaries: &'a [Canary], written: &str) -> HashSet<(&'a str, String)> {
    let mut forms: HashMap<[u8; BEGINNING], Vec<(String, &Canary)>> = HashMap::new();
    for canary in canaries {
        for form in canary.forms() {
            let beginning = *form.as_bytes().first_chunk().expect("a form that is long enough");
            forms.entry(beginning).or_default().push((form, canary));
        }
    }
    let mut found = HashSet::new();
    for line in written.lines() {
        for at in 0..line.len().saturating_sub(BEGINNING - 1) {
            let rest = &line.as_bytes()[at..];
            let candidates = rest.first_chunk().and_then(|beginning| forms.get(beginning));
            let is_here = |(form, _): &&(String, &Canary)| rest.starts_with(form.as_bytes());
            for (_, canary) in candidates.into_iter().flatten().filter(is_here) {
                found.insert((canary.what.as_str(), line.to_owned()));
            }
        }
    }
    found
}

/// The secrets so far, and what was answered when something was wrong.
#[derive(Default)]
struct Nest {
    canaries: Vec<Canary>,
    answers: String,
}

impl Nest {
    /// A secret that nobody has seen yet.
    fn plant(&mut self, what: &str) -> String {
        let random = hex(&random_bytes::<24>());
        self.keep(what, &random);
        random
    }

    fn keep(&mut self, what: &str, secret: impl AsRef<[u8]>) {
        self.canaries.push(Canary { what: what.to_owned(), secret: secret.as_ref().to_vec() });
    }

    /// What a client was given. Of an access token the signature is kept: its other parts are alike in all.
    fn keep_all_of(&mut self, client: &Client, response: &Response) {
        for cookie in response.set_cookies().iter().filter(|cookie| !cookie.value.is_empty()) {
            self.keep_token(&cookie.name, &cookie.value);
        }
        for (what, token) in [("bearer", &client.bearer), ("refresh", &client.refresh_token)] {
            if let Some(token) = token {
                self.keep_token(what, token);
            }
        }
        if let Some(token) = &client.csrf_token {
            self.keep("csrf", token);
        }
    }

    fn keep_token(&mut self, what: &str, token: &str) {
        self.keep(what, token.rsplit('.').next().expect("a part"));
    }

    /// Sends, and notes the answer if it is a problem.
    async fn send(&mut self, server: &Server, request: Request) -> Response {
        let response = server.send(request).await;
        if response.status >= 400 {
            self.answers.push_str(&format!("{:?}\n", response.but_for_the_date()));
        }
        response
    }

    /// Asserts that none of the canaries is in what was written.
    #[track_caller]
    fn assert_silent(&self, written: &str) {
        let found = find(&self.canaries, written);
        assert!(found.is_empty(), "{:#?}", found.iter().take(10).collect::<Vec<_>>());
    }
}

#[test]
fn a_canary_is_heard_however_it_is_written() {
    let mut nest = Nest::default();
    let secret = nest.plant("secret");
    let is_in = |nest: &Nest, written: &str| !find(&nest.canaries, written).is_empty();
    let bytes = secret.as_bytes();
    let basic = STANDARD.encode(format!("me:{secret}"));
    let hex = hex(bytes);
    for written in [
        &secret,
        &secret[10..26].to_owned(),
        &format!("{secret:?}"),
        &format!("{bytes:?}"),
        &json!({ "a": secret }).to_string(),
        &format!("/?token={secret}&x"),
        &hex,
        &hex.to_uppercase(),
        &STANDARD.encode(bytes),
        &URL_SAFE.encode(bytes),
        &basic,
        &STANDARD.encode(format!("{secret}x")),
        &STANDARD.encode(format!("x{secret}")),
    ] {
        assert!(is_in(&nest, written), "{written}");
    }
    let mut strange = Nest::default();
    strange.keep("strange", "\"\\ \u{e9}\t%?&=+/#\u{1f600}é<>~`|");
    let secret = text(&strange.canaries[0].secret);
    let percent = percent_encode(secret.as_bytes(), NON_ALPHANUMERIC).to_string();
    for written in [&secret, &percent, &secret.as_bytes().escape_ascii().to_string()] {
        assert!(is_in(&strange, written), "{written}");
    }
    assert!(!is_in(&nest, "nothing of interest"));
}

/// A server with a canary in every setting, behind a proxy, with all that it writes at the level of everything.
struct Stage {
    nest: Nest,
    server: Server,
    proxy: Proxy,
    collector: Collector,
    settings: Vec<(String, String)>,
    _key_file: KeyFile,
    _database: Arc<Database>,
}

impl Stage {
    async fn set(format: &str, algorithm: JwtAlgorithm, changes: &[(&str, &str)]) -> Self {
        let mut nest = Nest::default();
        let database = Arc::new(Database::migrated().await);
        let proxy = Proxy::in_front_of(&database).await;
        let mut url = proxy.url().clone();
        url.set_password(Some(&nest.plant("DATABASE_URL"))).expect("a password");
        let signer = key(algorithm, Role::Strange);
        nest.keep("JWT_KEY_FILE", signer.file.lines().find(|line| !line.starts_with("---")).expect("a key"));
        if let Ok(pem) = pem::parse(&signer.file) {
            // The private key itself stands at the end.
            nest.keep("private key", &pem.contents()[pem.contents().len() - 32..]);
        }
        let key_file = KeyFile::of(&[&signer.file]);
        let (secret, previous) = (nest.plant("APP_SECRET"), nest.plant("APP_SECRET_PREVIOUS"));
        let collector = Collector::start();
        let (endpoint, key) =
            (collector.url(), format!("api-key={}", nest.plant("OTEL_EXPORTER_OTLP_HEADERS")));
        let settings = [
            ("DATABASE_URL", url.as_str()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_HEADERS", &key),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
            ("APP_SECRET", &secret),
            ("APP_SECRET_PREVIOUS", &previous),
            ("JWT_ALGORITHM", algorithm.as_str()),
            key_file.setting(),
            ("LOG", "trace"),
            ("LOG_FORMAT", format),
            ("METRICS_LISTEN", "127.0.0.1:0"),
            ("KEEP_ALIVE", "2s"),
            ("ALLOWED_ORIGINS", "https://app.example.org"),
            ("ARGON2_MEMORY_KIB", "64"),
            ("ARGON2_ITERATIONS", "1"),
        ];
        let settings: Vec<(&str, &str)> = settings.iter().chain(changes).copied().collect();
        let server = Server::start(&folder(), &settings).await;
        let settings = settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { nest, server, proxy, collector, settings, _key_file: key_file, _database: database }
    }

    async fn send(&mut self, request: Request) -> Response {
        self.nest.send(&self.server, request).await
    }

    /// A user with a canary for a password, and that.
    async fn user(&mut self, name: &str) -> Value {
        let password = self.nest.plant(&format!("password of {name}"));
        let email = format!("{name}@example.org");
        let user = json!({ "username": name, "email": email, "password": password });
        self.send(Request::post("/session/register").json(&user)).await.expect(201);
        json!({ "username": name, "password": password })
    }

    /// Somebody signs in, uses every route, and leaves.
    async fn live(&mut self, pair: Pair) {
        let name = format!("{}-{}", pair.mode.name(), pair.transport.name());
        let credentials = with(self.user(&name).await, "transport", pair.transport.name());
        let mut client = Client::at_address(self.server.address(), pair);
        for _ in 0..2 {
            let login = client.login(&credentials).await.expect(200);
            self.nest.keep_all_of(&client, &login);
            let refresh = client.refresh().await.expect(200);
            self.nest.keep_all_of(&client, &refresh);
        }
        for path in ["/profile", "/verify", "/account/logins", &client.path("profile"), &client.path("csrf")]
        {
            self.send(client.request("GET", path)).await.expect(200);
        }
        if pair.mode == Mode::Session {
            let kept = json!(self.nest.plant("session data"));
            self.send(client.request("PUT", "/session/data/secret").json(&kept)).await.expect(204);
            for path in ["/session/data", "/session/data/secret"] {
                self.send(client.request("GET", path)).await.expect(200);
            }
            self.send(client.request("DELETE", "/session/data/secret")).await.expect(204);
        }
        self.change_password(&client, &credentials["password"]).await;
        self.ask_about(&client).await;
        self.refuse(&client).await;
        let before = client.clone();
        client.logout().await.expect(204);
        self.send(before.request("GET", "/profile")).await.expect(401);
        self.send(before.refresh_request()).await.expect(401);
    }

    async fn change_password(&mut self, client: &Client, current: &Value) {
        let new = self.nest.plant("new password");
        for (current, new, status) in [
            (json!(self.nest.plant("wrong current password")), json!(new), 403),
            (current.clone(), json!("short"), 422),
            (current.clone(), json!(self.nest.plant("long password").repeat(30)), 422),
            (current.clone(), json!([self.nest.plant("password in a list")]), 422),
            (current.clone(), json!(new), 204),
        ] {
            let body = json!({ "current_password": current, "new_password": new });
            let change = client.request("POST", "/account/password").json(&body);
            self.send(change).await.expect(status);
        }
    }

    /// What services ask, with secrets that are good, bad and malformed.
    async fn ask_about(&mut self, client: &Client) {
        let output = self.command(&["client", "create", "gateway"], "").await;
        let told = text(&output.stdout);
        let member = |name: &str| told.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        let (id, secret) =
            (member("client_id: ").expect("an id"), member("client_secret: ").expect("a secret"));
        self.nest.keep("client secret", &secret);
        let wrong = format!("duc_{}", &self.nest.plant("wrong client secret")[..43]);
        let token = client.bearer.clone().unwrap_or_else(|| client.credential());
        let strange = self.nest.plant("introspected token");
        for token in [&token, &strange] {
            let ask = || Request::post("/jwt/introspect").form(&[("token", token)]);
            self.send(ask().basic(&id, &secret)).await.expect(200);
            self.send(ask().basic(&id, &wrong)).await.expect(401);
            self.send(ask().basic(&strange, &secret)).await.expect(401);
            self.send(ask().header("Authorization", format!("Basic {secret}"))).await.expect(400);
            self.send(ask().header("Authorization", format!("Basic {strange}!"))).await.expect(400);
            let twice = Request::post("/jwt/introspect").form(&[("token", token), ("token", &strange)]);
            self.send(twice.basic(&id, &secret)).await.expect(400);
        }
        self.send(Request::post("/jwt/revoke").form(&[("token", &strange)]).basic(&id, &secret))
            .await
            .expect(200);
        self.use_custom_tokens(&id, &secret).await;
    }

    /// What a service does with tokens of its own. Their data is its own affair, too.
    async fn use_custom_tokens(&mut self, id: &str, secret: &str) {
        let data = self.nest.plant("data of a custom token");
        let post = |path: &str, body: &Value| Request::post(path).basic(id, secret).json(body);
        let create = json!({ "purpose": "invitation", "expires_in": 60, "data": data });
        let token = self.send(post("/tokens", &create)).await.expect(201).json();
        let token = |member: &str| token[member].as_str().expect("text").to_owned();
        self.nest.keep("custom token", token("token").trim_start_matches("dat_"));
        let redeem = json!({ "token": token("token"), "purpose": "invitation" });
        for (body, status) in [
            (with(redeem.clone(), "purpose", "download"), 404),
            (with(redeem.clone(), "purpose", token("token") + " "), 422),
            (with(redeem.clone(), "token", self.nest.plant("wrong custom token")), 404),
            (with(redeem.clone(), "token", json!([self.nest.plant("custom token in a list")])), 422),
            (redeem.clone(), 200),
            (redeem, 404),
        ] {
            self.send(post("/tokens/redeem", &body)).await.expect(status);
        }
        let bad = with(create, "user_id", self.nest.plant("user id of a custom token"));
        self.send(post("/tokens", &bad)).await.expect(422);
        let path = format!("/tokens/{}", token("id"));
        self.send(Request::new("DELETE", &path).basic(id, secret)).await.expect(204);
    }

    /// Everything that is refused, each with a secret in it.
    async fn refuse(&mut self, client: &Client) {
        for mode in Mode::ALL {
            for path in [mode.path("login"), mode.path("register"), "/jwt/refresh".to_owned()] {
                for request in self.bad_bodies(&path) {
                    let status = self.send(request).await.status;
                    assert!((400..500).contains(&status), "{status}");
                }
            }
        }
        for request in self.bad_credentials() {
            let status = self.send(request).await.status;
            assert!((400..500).contains(&status), "{status}");
        }
        let csrf = self.nest.plant("wrong CSRF token");
        let logout = client.without_csrf("POST", &client.path("logout")).header("X-CSRF-Token", &csrf);
        if client.pair.transport == Transport::Cookie {
            self.send(logout).await.expect(403);
        }
        let query = self.nest.plant("query");
        for path in ["/profile", "/nothing", "/jwt/login", "/docs/", "/health/live"] {
            self.send(Request::get(&format!("{path}?access_token={query}#{query}"))).await;
        }
        // What is no HTTP, or too much of it.
        for header in
            ["Content-Length", "Transfer-Encoding", "Expect", "Connection", "Upgrade", "Content-Type"]
        {
            let mut value = self.nest.plant(header);
            if header == "Connection" {
                // Nobody waits for it to be idle.
                value.push_str(", close");
            }
            let request = Request::post("/jwt/login").header("Cookie", self.nest.plant("cookie"));
            self.send(request.header(header, value)).await;
        }
        let secret = self.nest.plant("huge header");
        self.send(Request::get("/profile").header("Cookie", secret.repeat(800))).await.expect(431);
    }

    fn bad_bodies(&mut self, path: &str) -> Vec<Request> {
        let secret = self.nest.plant("malformed body");
        let number: u64 = u64::from_ne_bytes(random_bytes()) | 1 << 63;
        self.nest.keep("a number for a password", number.to_string());
        let bodies = [
            json!({ "username": "ada", "password": secret }).to_string() + &secret,
            format!("{{\"password\": \"{secret}\""),
            format!("{{\"password\": {secret}}}"),
            format!("{{\"username\": \"a\", \"password\": {number}}}"),
            format!("{{\"refresh_token\": {number}}}"),
            json!({ "username": "ada", "password": [secret] }).to_string(),
            json!({ "username": "ada", "password": { "a": secret } }).to_string(),
            json!({ "username": [], "password": secret }).to_string(),
            json!({ "username": "ada", "password": secret, "transport": secret }).to_string(),
            json!({ "username": "ada", "password": secret, "remember_me": secret }).to_string(),
            json!({ "username": "ada", "password": secret, "email": { "a": secret } }).to_string(),
            json!({ "username": "ada", "password": format!("{secret}\0") }).to_string(),
            json!({ "refresh_token": secret }).to_string(),
            json!({ "refresh_token": [secret] }).to_string(),
            json!(secret).to_string(),
            json!([secret]).to_string(),
        ];
        let typed = |body: &String| Request::post(path).body("application/json", body);
        let mut requests: Vec<Request> = bodies.iter().map(typed).collect();
        requests.push(Request::post(path).body("text/plain", &secret));
        requests.push(Request::post(path).body(&format!("application/json; charset={secret}"), "{}"));
        requests.push(Request::post(path).body("application/json", [secret.as_bytes(), b"\xff"].concat()));
        requests
    }

    fn bad_credentials(&mut self) -> Vec<Request> {
        let secret = self.nest.plant("bad credential");
        let header = STANDARD.encode(r#"{"alg":"HS256","typ":"at+jwt","kid":"x"}"#);
        let profile = || Request::get("/profile");
        let values = [
            format!("Bearer {secret}"),
            format!("Bearer dus_{}", &secret[..43]),
            format!("Bearer {header}.{secret}.{secret}"),
            format!("Bearer {secret} {secret}"),
            format!("Bearer \t{secret},"),
            format!("Bearer{secret}"),
            format!("Basic {secret}"),
            format!("Digest {secret}"),
            secret.clone(),
        ];
        let mut requests: Vec<Request> =
            values.iter().map(|value| profile().header("Authorization", value)).collect();
        requests.push(profile().bearer(&secret).bearer(&secret));
        for cookie in ["sessionid", "access_token", "refresh_token", "__Host-sessionid", "other"] {
            let plant = |value: &str| profile().header("Cookie", format!("{cookie}={value}"));
            requests.extend([
                plant(&secret),
                plant(&format!("\"{secret}\"")),
                plant(&format!("{secret}.{secret}.{secret}")),
                plant(&secret).header("Cookie", format!("{cookie}={secret}x")),
                plant(&secret).header("Cookie", [secret.as_bytes(), b"\xff"].concat()),
            ]);
        }
        for method in ["POST", "PUT", "DELETE"] {
            requests.push(Request::new(method, "/profile").bearer(&secret).bytes(&secret));
            requests.push(
                Request::new(method, "/jwt/logout").header("Cookie", format!("refresh_token={secret}")),
            );
        }
        requests
    }

    /// Runs a command with the server's settings. All that it writes to standard error counts.
    async fn command(&mut self, words: &[&str], input: &str) -> std::process::Output {
        let settings: Vec<_> =
            self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut command = program(&folder(), &settings);
        command.args(words);
        let output = run(command, input).await;
        self.nest.answers.push_str(&text(&output.stderr));
        output
    }

    async fn look_after(&mut self) {
        let password = self.nest.plant("password on the command line");
        let create = ["user", "create", "--username", "root", "--email", "root@example.org"];
        for (input, succeeds) in [(format!("{password}\n"), true), (password, false)] {
            let output = self.command(&create, &input).await;
            assert_eq!(output.status.success(), succeeds, "{}", text(&output.stderr));
            self.nest.answers.push_str(&text(&output.stdout));
        }
        for words in [
            &["user", "role", "add", "root", "editor"][..],
            &["user", "logout", "root"],
            &["user", "disable", "root"],
            &["client", "list"],
            &["keys", "list"],
            &["keys", "rotate"],
            &["migrate"],
        ] {
            let output = self.command(words, "").await;
            self.nest.answers.push_str(&text(&output.stdout));
        }
    }

    /// Everything fails that needs the database.
    async fn suffer_an_outage(&mut self) {
        let credentials = self.user("unlucky").await;
        let clients = [Pair::SESSION_COOKIE, Pair::JWT_BEARER].map(|pair| {
            let mut client = Client::at_address(self.server.address(), pair);
            let credentials = with(credentials.clone(), "transport", pair.transport.name());
            async move {
                let login = client.login(&credentials).await.expect(200);
                (client, login)
            }
        });
        let mut signed_in = Vec::new();
        for client in clients {
            let (client, login) = client.await;
            self.nest.keep_all_of(&client, &login);
            signed_in.push(client);
        }
        self.proxy.go_away();
        for client in &signed_in {
            for request in [
                Request::post(&client.path("login")).json(&credentials),
                client.refresh_request(),
                client.request("POST", &client.path("logout-all")),
                client.request("GET", "/account/logins"),
                Request::get("/health/ready"),
            ] {
                self.send(request).await.expect(503);
            }
        }
        self.command(&["keys", "list"], "").await;
        self.proxy.come_back();
    }

    /// Asserts that all this was written without a secret.
    async fn assert_silent(mut self) {
        let metrics = Request::get("/metrics").send(self.server.metrics_address()).await.expect(200);
        self.nest.answers.push_str(&metrics.text());
        // What was written last has come, too.
        let last = self.send(Request::get("/health/live")).await;
        let id = last.header("x-request-id").expect("an id").to_owned();
        eventually("the last line", async || self.server.output().contains(&id)).await;
        let written = self.server.output();
        // It was told to say everything.
        for library in ["sqlx", "TRACE"] {
            assert!(written.contains(library), "nothing of {library}");
        }
        self.nest.assert_silent(&written);
        self.nest.assert_silent(&self.nest.answers);
        let is_last = |(_, span): &(String, Span)| hex(&span.trace_id) == id;
        eventually("the last span", async || self.collector.spans().iter().any(is_last)).await;
        self.nest.assert_silent(&format!("{:?}", self.collector.received()));
        for part in ["$argon2", "PRIVATE KEY"] {
            assert!(!written.contains(part) && !self.nest.answers.contains(part), "{part}");
        }
    }
}

async fn nothing_is_told(format: &str, algorithm: JwtAlgorithm, changes: &[(&str, &str)]) {
    let mut stage = Stage::set(format, algorithm, changes).await;
    for pair in Pair::ALL {
        stage.live(pair).await;
    }
    stage.look_after().await;
    stage.suffer_an_outage().await;
    stage.assert_silent().await;
}

#[tokio::test]
async fn no_secret_is_told_to_people() {
    nothing_is_told("pretty", JwtAlgorithm::Hs256, &[]).await;
}

#[tokio::test]
async fn no_secret_is_told_to_machines() {
    let textbook = [("SESSION_LOOKUP", "always"), ("PUBLIC_URL", "https://auth.example.org")];
    nothing_is_told("json", JwtAlgorithm::EdDsa, &textbook).await;
}

#[tokio::test]
async fn a_log_filter_that_names_what_libraries_say_changes_nothing() {
    let libraries = [
        "sqlx",
        "sqlx::query",
        "sqlx_core",
        "sqlx_postgres",
        "actix_web",
        "actix_http",
        "actix_http::h1",
        "actix_http::h1::decoder",
        "rustls",
        "mio",
        "tokio",
        "ureq",
        "ureq_proto",
        "ureq_proto::util",
    ];
    let loudest = libraries.map(|library| format!("{library}=trace")).join(",") + ",trace";
    nothing_is_told("json", JwtAlgorithm::Es256, &[("LOG", &loudest)]).await;
}

#[tokio::test]
async fn wrong_settings_are_told_without_their_secrets() {
    let mut nest = Nest::default();
    let short = |secret: String| secret[..24].to_owned();
    let (secret, previous) = (short(nest.plant("APP_SECRET")), short(nest.plant("APP_SECRET_PREVIOUS")));
    let password = nest.plant("DATABASE_URL");
    let database = |scheme: &str, host: &str| format!("{scheme}://me:{password}@{host}");
    let key = KeyFile::of(&[&format!("-----BEGIN PRIVATE KEY-----\n{}\n", nest.plant("JWT_KEY_FILE"))]);
    let good = ("APP_SECRET", "the tests' own secret, 32 bytes and more");
    let written = async |settings: &[(&str, &str)], env_file: &str| {
        let folder = folder();
        std::fs::write(folder.join(".env"), env_file).expect("a file");
        let settings: Vec<_> = [("LOG", "trace")].iter().chain(settings).copied().collect();
        let output = run(program(&folder, &settings), "").await;
        assert!(!output.status.success());
        text(&output.stdout) + &text(&output.stderr)
    };
    for settings in [
        &[("APP_SECRET", secret.as_str()), ("APP_SECRET_PREVIOUS", &previous)][..],
        &[("DATABASE_URL", &database("mysql", "localhost/x")), good],
        &[("DATABASE_URL", &database("postgres", "localhost:99999/x")), good],
        &[("DATABASE_URL", &database("postgres", "127.0.0.1:1/x")), good],
        &[("DATABASE_URL", &database("postgres", "nowhere.invalid/x")), good],
        &[("DATABASE_URL", &database("postgres", "127.0.0.1:1/x?sslmode=nonsense")), good],
        &[
            ("DATABASE_URL", &database("postgres", "127.0.0.1:1/x?sslrootcert=/nowhere&sslmode=verify-full")),
            good,
        ],
        &[
            key.setting(),
            ("JWT_ALGORITHM", "EdDSA"),
            ("DATABASE_URL", &database("postgres", "127.0.0.1:1/x")),
        ],
    ] {
        nest.assert_silent(&written(settings, "").await);
    }
    for line in
        [format!("APP_SECRET='{password}\n"), format!("{password}\n"), format!("APP_SECRET = {password} x\n")]
    {
        nest.assert_silent(&written(&[("DATABASE_URL", "postgres://127.0.0.1:1/x")], &line).await);
    }
}

#[test]
fn no_secret_is_printed_by_debug() {
    let mut nest = Nest::default();
    let key = KeyFile::of(&[&nest.plant("JWT_KEY_FILE")]);
    let settings = [
        ("APP_SECRET", nest.plant("APP_SECRET")),
        ("APP_SECRET_PREVIOUS", nest.plant("APP_SECRET_PREVIOUS")),
        ("DATABASE_URL", format!("postgres://me:{}@localhost/x", nest.plant("DATABASE_URL"))),
        ("JWT_KEY_FILE", key.setting().1.to_owned()),
    ];
    let value = |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
    let config = Config::from_vars(value).expect("they are right");
    nest.assert_silent(&format!("{config:?} {config:#?}"));

    use dualauth::account::PasswordRequest;
    use dualauth::auth::{Credential, LoginRequest, RefreshRequest, RegisterRequest, StepUpRequest};
    use dualauth::crypto::{AppSecret, SecretBytes};
    use dualauth::oauth::RedeemTokenRequest;
    use dualauth::tokens::OpaqueToken;
    use dualauth::users::RegistrationInput;
    let mut planted = |what: &str| json!(nest.plant(what));
    let register: RegisterRequest =
        serde_json::from_value(json!({ "username": "a", "email": "a@b.c", "password": planted("register") }))
            .expect("a body");
    let login: LoginRequest =
        serde_json::from_value(json!({ "username": "a", "password": planted("login") })).expect("a body");
    let password: PasswordRequest = serde_json::from_value(
        json!({ "current_password": planted("current"), "new_password": planted("new") }),
    )
    .expect("a body");
    let step_up: StepUpRequest =
        serde_json::from_value(json!({ "password": planted("step-up") })).expect("a body");
    let refresh: RefreshRequest =
        serde_json::from_value(json!({ "refresh_token": planted("refresh") })).expect("a body");
    let redeem: RedeemTokenRequest =
        serde_json::from_value(json!({ "token": planted("redeem"), "purpose": "invitation" }))
            .expect("a body");
    let credential = Credential::new(&nest.plant("credential"), dualauth::logins::Transport::Bearer);
    let secret = AppSecret::new(nest.plant("secret").into_bytes()).expect("long enough");
    let bytes = SecretBytes::new(nest.plant("bytes").into_bytes());
    let token = OpaqueToken::generate("dus_");
    nest.keep("token", token.reveal());
    let user = RegistrationInput {
        username: Some("a".to_owned()),
        email: "a@b.c".to_owned(),
        password: nest.plant("new user").into(),
        admin: false,
        language: Default::default(),
    };
    nest.assert_silent(&format!(
        "{register:?} {login:?} {password:?} {step_up:?} {refresh:?} {credential:?} {secret:?} {bytes:?} {token:?} \
         {user:?} {redeem:?}"
    ));
}
