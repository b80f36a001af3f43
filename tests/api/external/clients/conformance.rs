//! Each example service judges each token alike, and as the server's own routes do.

use serde_json::{Value, json};

use super::{ASYMMETRIC, Issuer, forged, services::Service};
use crate::support::{
    client::{Client, Pair},
    http::Request,
    signer::{Role, Signer, key, part},
    text, with, without,
};

/// Seconds that no service misses on a busy machine.
pub const LONG_BOUND: (&str, &str) = ("DUALAUTH_STALENESS_BOUND", "10");

/// A request for a protected route, and how it is answered.
struct Row {
    what: &'static str,
    headers: Vec<(&'static str, String)>,
    status: u16,
    /// Of the problem; empty with 200.
    code: &'static str,
}

impl Row {
    fn request(&self, path: &str) -> Request {
        self.headers.iter().fold(Request::get(path), |request, (name, value)| request.header(name, value))
    }
}

fn row(what: &'static str, authorization: &[&str], status: u16, code: &'static str) -> Row {
    let headers = authorization.iter().map(|value| ("Authorization", (*value).to_owned())).collect();
    Row { what, headers, status, code }
}

/// A token that is good.
fn good(what: &'static str, token: &str) -> Row {
    row(what, &[&format!("Bearer {token}")], 200, "")
}

/// A token that is refused.
fn bad(what: &'static str, token: &str) -> Row {
    row(what, &[&format!("Bearer {token}")], 401, "invalid_token")
}

/// By whom the tokens of the table are signed, and what the server's own say.
struct Forger<'a> {
    key: &'a Signer,
    header: Value,
    claims: Value,
}

impl Forger<'_> {
    fn with_header(&self, member: &str, value: impl Into<Value>) -> String {
        self.key.token(&with(self.header.clone(), member, value), &self.claims)
    }

    fn with_claim(&self, claim: &str, value: impl Into<Value>) -> String {
        self.key.token(&self.header, &with(self.claims.clone(), claim, value))
    }

    /// Headers that lead elsewhere, or say more than ours.
    fn headers(&self) -> Vec<Row> {
        let header = self.header.to_string();
        let rest = header.strip_prefix('{').expect("an object");
        let own = self.key.jwk().map_or(json!({}), |jwk| json!(jwk));
        let respelt = header.replacen("\"alg\"", "\"\\u0061lg\"", 1);
        vec![
            good("a header in another spelling", &self.key.token(&format!("{respelt}\n"), &self.claims)),
            bad("an unknown key", &self.with_header("kid", "A".repeat(43))),
            bad("a key's address", &self.with_header("jku", "http://127.0.0.1:9/keys.json")),
            bad("a certificate's address", &self.with_header("x5u", "http://127.0.0.1:9/key.pem")),
            bad("a key of its own", &self.with_header("jwk", own)),
            bad("an extension", &self.with_header("crit", json!(["exp"]))),
            bad("an unknown member", &self.with_header("x", 1)),
            bad("no type", &self.key.token(&without(self.header.clone(), "typ"), &self.claims)),
            bad("a type in capitals", &self.with_header("typ", "AT+JWT")),
            bad("a type with its tree", &self.with_header("typ", "application/at+jwt")),
            bad("alg twice", &self.key.token(&format!("{{\"alg\":\"none\",{rest}"), &self.claims)),
            bad(
                "alg twice, escaped",
                &self.key.token(&format!("{{\"\\u0061lg\":\"none\",{rest}"), &self.claims),
            ),
        ]
    }

    fn claims(&self) -> Vec<Row> {
        let claims = self.claims.to_string();
        let rest = claims.strip_prefix('{').expect("an object");
        let twice = |member: &str| self.key.token(&self.header, &format!("{{{member},{rest}"));
        let (now, aud) = (self.claims["iat"].as_i64().expect("a time"), &self.claims["aud"]);
        vec![
            good("an unknown claim", &self.with_claim("scope", json!({ "roles": ["admin"] }))),
            good("several audiences", &self.with_claim("aud", json!(["https://other.example.org", aud]))),
            good("no client_id", &self.key.token(&self.header, &without(self.claims.clone(), "client_id"))),
            bad("one audience as an array", &self.with_claim("aud", json!([aud]))),
            bad("other audiences", &self.with_claim("aud", json!(["a", "b"]))),
            bad("an issuer with a slash", &self.with_claim("iss", format!("{}/", text(&self.claims["iss"])))),
            bad("not yet valid", &self.with_claim("nbf", now + 600)),
            bad("not yet issued", &self.with_claim("iat", now + 600)),
            bad("no user id", &self.with_claim("sub", "ada")),
            bad("no login", &self.key.token(&self.header, &without(self.claims.clone(), "sid"))),
            bad("roles that are no list", &self.with_claim("roles", "admin")),
            bad("a null", &self.with_claim("client_id", Value::Null)),
            bad("a fraction of a second", &self.with_claim("exp", 4_000_000_000.5)),
            bad("roles twice", &twice("\"roles\":[\"admin\"]")),
            bad("roles twice, escaped", &twice("\"r\\u006fles\":[\"admin\"]")),
            bad("an unknown claim twice", &twice("\"x\":1,\"x\":1")),
            bad("no object", &self.key.token(&self.header, &json!([self.claims]))),
        ]
    }

    fn spellings(&self) -> Vec<Row> {
        let token = self.key.token(&self.header, &self.claims);
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("{} parts", parts.len()) };
        let padded = self.key.sign(&format!("{header}.{claims}=="));
        vec![
            bad("a padded signature", &format!("{token}==")),
            bad("a signature with other unused bits", &with_another_last_bit(&token)),
            bad("four parts", &format!("{token}.{signature}")),
            bad("two parts", &format!("{header}.{claims}")),
            row("padded claims", &[&format!("Bearer {padded}")], 400, "malformed_request"),
            row("a space in it", &[&format!("Bearer {header} .{claims}")], 400, "malformed_request"),
        ]
    }
}

/// A signature of 64 or 256 bytes leaves four bits of its last character unused.
fn with_another_last_bit(token: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (but_last, last) = token.split_at(token.len() - 1);
    let value = ALPHABET.find(last).expect("base64url");
    assert_eq!(value % 16, 0, "unused bits are unset");
    format!("{but_last}{}", &ALPHABET[value + 1..=value + 1])
}

/// What is no access token, and how a request may not carry one.
async fn requests(issuer: &Issuer) -> Vec<Row> {
    let token = issuer.client.credential();
    let mut session = Client::at_address(issuer.server.address(), Pair::SESSION_BEARER);
    session.login(&Pair::SESSION_BEARER.credentials("ada")).await.ok();
    let own = format!("Bearer {token}");
    let cookie = vec![("Cookie", format!("access_token={token}"))];
    vec![
        row("the scheme in small letters", &[&format!("bearer  {token} ")], 200, ""),
        bad("a refresh token", &issuer.client.renewal()),
        bad("a session token", &session.credential()),
        row("no credential", &[], 401, "not_authenticated"),
        row("another scheme", &["Basic YWRhOnNlY3JldA=="], 401, "not_authenticated"),
        Row { headers: cookie, ..row("a cookie", &[], 401, "not_authenticated") },
        row("an empty Bearer", &["Bearer"], 400, "malformed_request"),
        row("two headers", &[&own, &own], 400, "malformed_request"),
    ]
}

async fn table(issuer: &Issuer, key: &Signer) -> Vec<Row> {
    let token = issuer.client.credential();
    let forger = Forger { key, header: part(&token, 0), claims: part(&token, 1) };
    let mut rows = vec![good("the server's own", &token)];
    rows.extend(forged(issuer, key).iter().map(|(what, token)| {
        let code = if *what == "it has expired" { "token_expired" } else { "invalid_token" };
        Row { code, ..bad(what, token) }
    }));
    rows.extend(forger.headers().into_iter().chain(forger.claims()).chain(forger.spellings()));
    rows.extend(requests(issuer).await);
    rows
}

#[tokio::test]
async fn each_example_judges_each_token_as_the_server_does() {
    for algorithm in ASYMMETRIC {
        let key = key(algorithm, Role::Active);
        let issuer = Issuer::with_key(key).await;
        let services = Service::all(&issuer, &[LONG_BOUND]).await;
        for row in table(&issuer, key).await {
            let what = format!("{}, {algorithm:?}", row.what);
            // A cookie is for the server's own origin.
            if row.headers.iter().all(|(name, _)| *name == "Authorization") {
                let answer = row.request("/jwt/profile").send(issuer.server.address()).await;
                assert_eq!(answer.status, row.status, "{what}: {answer}");
            }
            for service in &services {
                let answer = service.send(row.request("/me")).await;
                assert_eq!(answer.status, row.status, "{:?}, {what}: {answer}", service.framework);
                if row.status == 200 {
                    service.assert_is_of(&answer, &issuer.client.credential());
                } else {
                    let blames = row.status == 401 && row.code != "not_authenticated";
                    answer.problem(row.status, row.code).blames_a_token(blames);
                }
            }
        }
        for service in services {
            service.terminate().await;
        }
        issuer.stop().await;
    }
}
