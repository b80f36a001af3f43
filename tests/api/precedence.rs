//! Which of several credentials counts, and which cookies are cookies at all.

use std::collections::BTreeMap;

use crate::support::{
    client::{Client, Mode, Pair, Transport},
    http::{Request, Response},
    server::TestServer,
    text,
};

/// One credential, and what a server says to it where it may be used.
#[derive(Clone)]
struct Credential {
    name: String,
    mode: Mode,
    secret: String,
    verdict: Result<String, &'static str>,
}

impl Credential {
    async fn good(server: &TestServer, pair: Pair, owner: &str) -> Self {
        let client = Client::signed_in(server, pair, owner).await;
        Self {
            name: format!("{owner}'s {}", pair.mode.name()),
            mode: pair.mode,
            secret: client.credential(),
            verdict: Ok(client.login_id().await),
        }
    }

    async fn dead(server: &TestServer, pair: Pair) -> Self {
        let mut client = Client::signed_in(server, pair, "ada").await;
        let secret = client.credential();
        client.logout().await.expect(204);
        Self {
            name: format!("a dead {}", pair.mode.name()),
            mode: pair.mode,
            secret,
            verdict: Err(pair.mode.ended()),
        }
    }

    fn nonsense(mode: Mode, code: &'static str) -> Self {
        Self { name: "nonsense".to_owned(), mode, secret: "nonsense".to_owned(), verdict: Err(code) }
    }
}

/// The header `Authorization` of one case.
#[derive(Clone)]
enum Authorization {
    Absent,
    AnotherScheme,
    Bearer(Credential),
}

/// What the contract says to a combination, read from its text and not from the code.
fn verdict(
    route: Option<Mode>,
    authorization: &Authorization,
    access_token: Option<&Credential>,
    sessionid: Option<&Credential>,
) -> String {
    let looked_at = |mode: Mode| route.is_none_or(|only| only == mode);
    let (credential, transport) = match authorization {
        Authorization::Bearer(token) => (Some(token), Transport::Bearer),
        Authorization::Absent | Authorization::AnotherScheme => {
            let token = access_token.filter(|_| looked_at(Mode::Jwt));
            let session = sessionid.filter(|_| looked_at(Mode::Session));
            (token.or(session), Transport::Cookie)
        }
    };
    match credential {
        None => "401 not_authenticated".to_owned(),
        Some(credential) if !looked_at(credential.mode) => "401 invalid_token".to_owned(),
        Some(credential) => match &credential.verdict {
            Ok(login) => format!("200 {login} by {}", transport.name()),
            Err(code) => format!("401 {code}"),
        },
    }
}

/// What a server said, in the same words.
fn said(response: &Response) -> String {
    let body = response.json();
    match response.status {
        200 => format!("200 {} by {}", text(&body["auth"]["login_id"]), text(&body["auth"]["transport"])),
        status => format!("{status} {}", text(&body["code"])),
    }
}

/// {no, another, good, bad header} × {no, good, bad access token} × {no, good, bad session id} × {one, two users}.
async fn assert_table(route: Option<Mode>, path: &str) {
    let server = TestServer::start().await;
    for owner in ["ada", "grace"] {
        server.user(owner).await;
    }
    let good = async |pair, owner| Credential::good(&server, pair, owner).await;
    let authorizations = [
        Authorization::Absent,
        Authorization::AnotherScheme,
        Authorization::Bearer(good(Pair::SESSION_BEARER, "ada").await),
        Authorization::Bearer(good(Pair::JWT_BEARER, "ada").await),
        Authorization::Bearer(Credential::dead(&server, Pair::SESSION_BEARER).await),
        Authorization::Bearer(Credential::dead(&server, Pair::JWT_BEARER).await),
        Authorization::Bearer(Credential::nonsense(Mode::Session, "invalid_token")),
        Authorization::Bearer(Credential::nonsense(Mode::Jwt, "invalid_token")),
    ];
    let access_tokens = [
        None,
        Some(good(Pair::JWT_COOKIE, "ada").await),
        Some(good(Pair::JWT_COOKIE, "grace").await),
        Some(Credential::dead(&server, Pair::JWT_COOKIE).await),
        Some(Credential::nonsense(Mode::Jwt, "invalid_token")),
    ];
    let sessionids = [
        None,
        Some(good(Pair::SESSION_COOKIE, "ada").await),
        Some(good(Pair::SESSION_COOKIE, "grace").await),
        Some(Credential::dead(&server, Pair::SESSION_COOKIE).await),
        Some(Credential::nonsense(Mode::Session, "session_expired")),
    ];

    let mut differences = BTreeMap::new();
    for authorization in &authorizations {
        for access_token in &access_tokens {
            for sessionid in &sessionids {
                let (request, case) = combine(path, authorization, access_token.as_ref(), sessionid.as_ref());
                let response = server.send(request).await;
                let expected = verdict(route, authorization, access_token.as_ref(), sessionid.as_ref());
                if said(&response) != expected {
                    differences.insert(case, (expected, said(&response)));
                }
            }
        }
    }
    assert!(differences.is_empty(), "{path}: {differences:#?}");
}

fn combine(
    path: &str,
    authorization: &Authorization,
    access_token: Option<&Credential>,
    sessionid: Option<&Credential>,
) -> (Request, String) {
    let mut request = Request::get(path);
    let mut case = match authorization {
        Authorization::Absent => "no header".to_owned(),
        Authorization::AnotherScheme => {
            request = request.header("Authorization", "Basic YWRhOmdyYWNl");
            "Basic".to_owned()
        }
        Authorization::Bearer(token) => {
            request = request.bearer(&token.secret);
            format!("Bearer {}", token.name)
        }
    };
    let mut cookies = Vec::new();
    // The one that is looked at last comes first.
    for (name, cookie) in [("sessionid", sessionid), ("access_token", access_token)] {
        if let Some(cookie) = cookie {
            cookies.push(format!("{name}={}", cookie.secret));
            case += &format!(", {name} {}", cookie.name);
        }
    }
    if !cookies.is_empty() {
        request = request.header("Cookie", cookies.join("; "));
    }
    (request, case)
}

#[tokio::test]
async fn a_shared_route_takes_bearer_then_access_token_then_sessionid() {
    assert_table(None, "/profile").await;
}

#[tokio::test]
async fn a_session_route_takes_a_session_only() {
    assert_table(Some(Mode::Session), "/session/profile").await;
}

#[tokio::test]
async fn a_jwt_route_takes_a_jwt_only() {
    assert_table(Some(Mode::Jwt), "/jwt/profile").await;
}

/// One client of each kind, and the three routes that want one.
struct Everyone {
    server: TestServer,
    session_cookie: Client,
    session_bearer: Client,
    jwt_cookie: Client,
    jwt_bearer: Client,
}

impl Everyone {
    async fn with(settings: &[(&str, &str)]) -> Self {
        let server = TestServer::with(settings).await;
        server.user("ada").await;
        Self {
            session_cookie: Client::signed_in(&server, Pair::SESSION_COOKIE, "ada").await,
            session_bearer: Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await,
            jwt_cookie: Client::signed_in(&server, Pair::JWT_COOKIE, "ada").await,
            jwt_bearer: Client::signed_in(&server, Pair::JWT_BEARER, "ada").await,
            server,
        }
    }

    async fn signed_in() -> Self {
        Self::with(&[]).await
    }

    /// Asks for a profile with these headers.
    async fn ask(&self, path: &str, headers: &[(&str, &[u8])]) -> Response {
        let request =
            headers.iter().fold(Request::get(path), |request, &(name, value)| request.header(name, value));
        self.server.send(request).await
    }

    async fn ask_with_cookies(&self, path: &str, cookies: impl AsRef<[u8]>) -> Response {
        self.ask(path, &[("Cookie", cookies.as_ref())]).await
    }
}

/// Asserts that the server took this client's login.
async fn assert_taken(response: Response, client: &Client) {
    let login = client.login_id().await;
    assert_eq!(text(&response.ok()["auth"]["login_id"]), login);
}

#[tokio::test]
async fn the_scheme_is_bearer_in_any_letter_case() {
    let all = Everyone::signed_in().await;
    for client in [&all.session_bearer, &all.jwt_bearer] {
        for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
            let value = format!("{scheme} {}", client.credential());
            let response = all.ask("/profile", &[("authorization", value.as_bytes())]).await;
            assert_taken(response, client).await;
        }
    }
}

#[tokio::test]
async fn another_scheme_leaves_the_cookies_to_be_looked_at() {
    let all = Everyone::signed_in().await;
    let token = all.jwt_bearer.credential();
    for client in [&all.session_cookie, &all.jwt_cookie] {
        let cookies = client.jar.header_for("/profile").expect("cookies");
        for value in [
            "Basic YWRhOmdyYWNl",
            "Digest username=\"ada\"",
            "Negotiate abc",
            "Bearertoken",
            &format!("DPoP {token}"),
            &format!("Token {token}"),
        ] {
            let headers = [("Authorization", value.as_bytes()), ("Cookie", cookies.as_bytes())];
            assert_taken(all.ask("/profile", &headers).await, client).await;

            let response = all.ask("/profile", &headers[..1]).await;
            response.problem(401, "not_authenticated");
        }
    }
}

#[tokio::test]
async fn a_bearer_that_is_none_is_malformed() {
    let all = Everyone::signed_in().await;
    for client in [&all.session_cookie, &all.jwt_cookie] {
        let token = client.credential();
        let cookies = client.jar.header_for("/profile").expect("cookies");
        for value in [
            &b"Bearer"[..],
            b"Bearer ",
            b"bearer",
            b"Bearer two words",
            b"Bearer one, two",
            b"Bearer \"quoted\"",
            b"Bearer token=\"x\"",
            b"Bearer \xff",
            "Bearer tok\u{e9}n".as_bytes(),
            format!("Bearer {token}, Bearer {token}").as_bytes(),
        ] {
            for path in ["/profile", &client.path("profile")] {
                let headers = [("Authorization", value), ("Cookie", cookies.as_bytes())];
                let response = all.ask(path, &headers).await;
                response.problem(400, "malformed_request");
            }
        }
    }
}

#[tokio::test]
async fn two_authorization_headers_are_malformed() {
    let all = Everyone::signed_in().await;
    for client in [&all.session_bearer, &all.jwt_bearer] {
        let good = format!("Bearer {}", client.credential());
        for (one, other) in [
            (good.as_str(), good.as_str()),
            (&good, "Bearer nonsense"),
            (&good, "Basic YWRhOmdyYWNl"),
            ("Basic YWRhOmdyYWNl", &good),
            ("Basic YWRhOmdyYWNl", "Basic YWRhOmdyYWNl"),
        ] {
            for path in ["/profile", &client.path("profile")] {
                let headers = [("Authorization", one.as_bytes()), ("Authorization", other.as_bytes())];
                let response = all.ask(path, &headers).await;
                response.problem(400, "malformed_request");
            }
        }
    }
}

#[tokio::test]
async fn an_empty_cookie_counts_as_absent() {
    let all = Everyone::signed_in().await;
    let session = all.session_cookie.credential();

    let cookies = format!("access_token=; sessionid={session}");
    let response = all.ask_with_cookies("/profile", cookies).await;
    assert_taken(response, &all.session_cookie).await;

    for (path, cookies) in [
        ("/profile", "access_token=; sessionid="),
        ("/session/profile", "sessionid="),
        ("/jwt/profile", "access_token="),
    ] {
        let response = all.ask_with_cookies(path, cookies).await;
        response.problem(401, "not_authenticated");
    }
}

#[tokio::test]
async fn several_cookie_headers_count_as_one() {
    let all = Everyone::signed_in().await;
    let session = format!("sessionid={}", all.session_cookie.credential());
    let token = format!("access_token={}", all.jwt_cookie.credential());
    let three =
        [("Cookie", &b"theme=dark"[..]), ("Cookie", session.as_bytes()), ("Cookie", token.as_bytes())];

    let response = all.ask("/session/profile", &three).await;
    assert_taken(response, &all.session_cookie).await;
    let response = all.ask("/profile", &three).await;
    assert_taken(response, &all.jwt_cookie).await;
}

#[tokio::test]
async fn a_cookie_twice_is_malformed_when_it_is_looked_at_and_differs() {
    let all = Everyone::signed_in().await;
    let session = format!("sessionid={}", all.session_cookie.credential());
    let token = format!("access_token={}", all.jwt_cookie.credential());
    for (client, good, bad) in
        [(&all.session_cookie, &session, "sessionid=evil"), (&all.jwt_cookie, &token, "access_token=evil")]
    {
        let path = client.path("profile");
        for (one, other) in [(good.as_str(), bad), (bad, good)] {
            for path in ["/profile", &path] {
                let in_one = all.ask_with_cookies(path, format!("{one}; {other}")).await;
                in_one.problem(400, "malformed_request");
                let headers = [("Cookie", one.as_bytes()), ("Cookie", other.as_bytes())];
                let in_two = all.ask(path, &headers).await;
                in_two.problem(400, "malformed_request");
            }
        }
        let same = all.ask_with_cookies(&path, format!("{good}; {good}")).await;
        assert_taken(same, client).await;
    }

    // Twice, and not looked at.
    let cookies = format!("{session}; sessionid=evil; {token}");
    for path in ["/profile", "/jwt/profile"] {
        let response = all.ask_with_cookies(path, &cookies).await;
        assert_taken(response, &all.jwt_cookie).await;
    }
    let cookies = format!("{session}; {token}; access_token=evil");
    let response = all.ask_with_cookies("/session/profile", &cookies).await;
    assert_taken(response, &all.session_cookie).await;
}

#[tokio::test]
async fn a_refresh_token_cookie_twice_is_malformed() {
    let all = Everyone::signed_in().await;
    let csrf = all.jwt_cookie.csrf_token.clone().expect("a CSRF token");
    let cookies = format!("refresh_token={}; refresh_token=evil", all.jwt_cookie.renewal());
    let request = Request::post("/jwt/refresh").header("Cookie", cookies).header("X-CSRF-Token", csrf);
    let response = all.server.send(request).await;
    response.problem(400, "malformed_request");
}

#[tokio::test]
async fn a_pair_that_is_no_cookie_is_skipped_alone() {
    let all = Everyone::signed_in().await;
    for (client, name) in [(&all.session_cookie, "sessionid"), (&all.jwt_cookie, "access_token")] {
        let good = format!("{name}={}", client.credential());
        // What actix-web's own reader gives up on, and takes for something else.
        for foreign in [b"theme=\xff".as_slice(), b"novalue", b"theme=da\"rk", b"theme=%zz"] {
            let before = [foreign, b"; ", good.as_bytes()].concat();
            let after = [good.as_bytes(), b"; ", foreign].concat();
            for cookies in [before, after] {
                let response = all.ask_with_cookies("/profile", &cookies).await;
                assert_taken(response, client).await;
            }
        }
    }
}

#[tokio::test]
async fn a_malformed_cookie_of_a_name_we_know_is_absent() {
    let all = Everyone::signed_in().await;
    let session = format!("sessionid={}", all.session_cookie.credential());

    let cookies = [b"access_token=\xff; ", session.as_bytes()].concat();
    let response = all.ask_with_cookies("/profile", cookies).await;
    assert_taken(response, &all.session_cookie).await;
    let cookies = [session.as_bytes(), b"\xff"].concat();
    let response = all.ask_with_cookies("/profile", cookies).await;
    response.problem(401, "not_authenticated");
}

#[tokio::test]
async fn a_cookies_name_is_exact() {
    let https = [("PUBLIC_URL", "https://auth.example.org")];
    let all = Everyone::with(&https).await;
    let server = &all.server;
    for (pair, name) in [(Pair::SESSION_COOKIE, "sessionid"), (Pair::JWT_COOKIE, "access_token")] {
        let victim = Client::signed_in(server, pair, "ada").await;
        // A fake holds what its maker may have: a good credential of their own.
        let evil = Client::signed_in(server, pair, "ada").await.credential();
        let good = format!("__Host-{name}={}", victim.credential());
        for fake in [
            format!("%5F%5FHost-{name}={evil}"),
            format!("\u{2000}__Host-{name}={evil}"),
            format!("{name}={evil}"),
        ] {
            for cookies in [format!("{fake}; {good}"), format!("{good}; {fake}")] {
                let response = all.ask_with_cookies("/profile", cookies).await;
                assert_taken(response, &victim).await;
            }
            let response = all.ask_with_cookies("/profile", fake).await;
            response.problem(401, "not_authenticated");
        }
    }
}

#[tokio::test]
async fn spaces_and_tabs_around_a_cookie_do_not_count() {
    let all = Everyone::signed_in().await;
    let session = all.session_cookie.credential();
    let cookies = format!("theme=dark;\tsessionid={session} \t; last=x");
    let response = all.ask_with_cookies("/profile", cookies).await;
    assert_taken(response, &all.session_cookie).await;
}

#[tokio::test]
async fn a_sessions_cookie_and_its_bearer_token_do_not_replace_each_other() {
    let all = Everyone::signed_in().await;
    for path in ["/profile", "/session/profile"] {
        // Whether what is in the cookie has a token's form at all is the server's own affair.
        let request = Request::get(path).bearer(&all.session_cookie.credential());
        let response = all.server.send(request).await;
        match response.status {
            400 => response.problem(400, "malformed_request"),
            _ => response.problem(401, "invalid_token"),
        };

        let cookie = format!("sessionid={}", all.session_bearer.credential());
        let response = all.ask_with_cookies(path, cookie).await;
        response.problem(401, "session_expired");
    }
}

#[tokio::test]
async fn an_access_token_is_the_same_by_either_way() {
    let all = Everyone::signed_in().await;
    for path in ["/profile", "/jwt/profile"] {
        let request = Request::get(path).bearer(&all.jwt_cookie.credential());
        let profile = all.server.send(request).await.ok();
        assert_eq!(profile["auth"]["transport"], "bearer");

        let cookie = format!("access_token={}", all.jwt_bearer.credential());
        let profile = all.ask_with_cookies(path, cookie).await.ok();
        assert_eq!(profile["auth"]["transport"], "cookie");
    }
}

#[tokio::test]
async fn the_csrf_duty_follows_the_way_a_token_came() {
    let all = Everyone::signed_in().await;
    let cookie = format!("access_token={}", all.jwt_bearer.credential());
    let by_cookie = Request::post("/jwt/logout").header("Cookie", &cookie);
    let response = all.server.send(by_cookie.clone()).await;
    response.problem(403, "csrf_failed");

    let csrf = all.ask_with_cookies("/jwt/csrf", &cookie).await.ok();
    let by_cookie = by_cookie.header("X-CSRF-Token", text(&csrf["csrf_token"]));
    all.server.send(by_cookie).await.expect(204);
    all.jwt_bearer.assert_refused("token_revoked").await;

    let by_bearer = Request::post("/jwt/logout").bearer(&all.jwt_cookie.credential());
    all.server.send(by_bearer).await.expect(204);
    all.jwt_cookie.assert_refused("token_revoked").await;
}
