//! Tokens that are not quite ours: every one is refused, by either transport, whatever jsonwebtoken would say to it.

use std::collections::BTreeSet;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::{
    SECOND, assert_members,
    client::{Client, Pair},
    http::Request,
    server::{ONE_NAME, TestServer, beginning},
    text, with, without,
};

/// The server's own key.
const KEY: &[u8] = b"a key of thirty-two bytes, and more";

/// Somebody with a good token, and with the server's own key: what is refused to them is refused for what it says.
struct Forger {
    server: TestServer,
    key: hmac::Key,
    client: Client,
    header: Value,
    claims: Value,
}

impl Forger {
    async fn new() -> Self {
        let file = std::env::temp_dir().join(format!("dualauth-{}.key", uuid::Uuid::new_v4()));
        std::fs::write(&file, KEY).expect("a key file");
        let server = TestServer::with(&[("JWT_KEY_FILE", &file.to_string_lossy())]).await;
        std::fs::remove_file(&file).expect("the file is read at start");
        let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
        let forger = Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, KEY),
            header: part(&client.credential(), 0),
            claims: part(&client.credential(), 1),
            server,
            client,
        };
        let good = forger.client.credential();
        let (signed, _) = good.rsplit_once('.').expect("a signature");
        assert_eq!(forger.sign(signed), good, "the key is not the server's");
        forger
    }

    /// A token whose signature is as good as the server's own.
    fn token(&self, header: &impl ToString, claims: &impl ToString) -> String {
        let [header, claims] = [header.to_string(), claims.to_string()].map(|it| URL_SAFE_NO_PAD.encode(it));
        self.sign(&format!("{header}.{claims}"))
    }

    fn sign(&self, signed: &str) -> String {
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    async fn assert_accepted(&self, token: &str) {
        let request = Request::get("/jwt/profile").bearer(token);
        self.server.send(request).await.ok();
    }

    async fn assert_refused(&self, token: &str, code: &str) {
        for path in ["/jwt/profile", "/profile"] {
            let request = Request::get(path).bearer(token);
            let response = self.server.send(request).await;
            assert_eq!(response.status, 401, "{response} for {}", self.read(token));
            response.problem(401, code).blames_a_token(true);
            let request = Request::get(path).header("Cookie", format!("access_token={token}"));
            self.server.send(request).await.problem(401, code);
        }
    }

    /// A token as a person reads it, as far as it can be read.
    fn read(&self, token: &str) -> String {
        let parts = token.split('.').take(2).map(|part| URL_SAFE_NO_PAD.decode(part).unwrap_or_default());
        parts.map(|json| String::from_utf8_lossy(&json).into_owned()).collect()
    }

    async fn assert_header_refused(&self, header: impl ToString) {
        let token = self.token(&header, &self.claims);
        self.assert_refused(&token, "invalid_token").await;
    }

    async fn assert_claims_refused(&self, claims: impl ToString) {
        let token = self.token(&self.header, &claims);
        self.assert_refused(&token, "invalid_token").await;
    }
}

/// A part of a token, read.
fn part(token: &str, number: usize) -> Value {
    let part = token.split('.').nth(number).expect("three parts");
    let json = URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&json).expect("JSON")
}

#[tokio::test]
async fn a_token_says_exactly_what_the_contract_says() {
    let server = TestServer::start().await;
    let id = server.user("ada").await;
    let mut ids = BTreeSet::new();
    for pair in [Pair::JWT_COOKIE, Pair::JWT_BEARER] {
        let mut client = Client::new(&server, pair);
        let body = client.login(&pair.credentials("ada")).await.ok();
        let token = client.credential();

        let header = part(&token, 0);
        assert_members(&header, &["alg", "typ", "kid"]);
        assert_eq!(header["alg"], "HS256");
        assert_eq!(header["typ"], "at+jwt");
        assert!(!text(&header["kid"]).is_empty());

        let claims = part(&token, 1);
        assert_members(&claims, &["iss", "aud", "sub", "iat", "exp", "jti", "sid", "username", "roles"]);
        let this_server = format!("http://{}", server.address());
        assert_eq!(claims["iss"], this_server);
        assert_eq!(claims["aud"], this_server);
        assert_eq!(claims["sub"], id);
        assert_eq!(claims["iat"], beginning().timestamp());
        assert_eq!(claims["exp"], beginning().timestamp() + 900);
        assert_eq!(claims["sid"], body["login"]["id"]);
        assert_eq!(claims["username"], "ada");
        assert_eq!(claims["roles"], body["user"]["roles"]);
        ids.insert(text(&claims["jti"]).to_owned());

        client.refresh().await.ok();
        ids.insert(text(&part(&client.credential(), 1)["jti"]).to_owned());
    }
    assert_eq!(ids.len(), 4, "every token has an id of its own");
}

#[tokio::test]
async fn who_a_token_is_from_and_for_are_settings() {
    let public = ("PUBLIC_URL", "https://auth.example.org");
    for (settings, issuer, audience) in [
        (&[public][..], "https://auth.example.org", "https://auth.example.org"),
        (
            &[public, ("JWT_ISSUER", "https://id.example.org"), ("JWT_AUDIENCE", "the api")],
            "https://id.example.org",
            "the api",
        ),
    ] {
        let server = TestServer::with(settings).await;
        let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
        let claims = part(&client.credential(), 1);
        assert_eq!((&claims["iss"], &claims["aud"]), (&json!(issuer), &json!(audience)));
        client.profile().await.ok();
    }
}

#[tokio::test]
async fn a_token_for_another_audience_is_refused() {
    let server = TestServer::with(&[ONE_NAME, ("JWT_AUDIENCE", "this api")]).await;
    let other = TestServer::with(&[ONE_NAME, ("JWT_AUDIENCE", "that api")]).await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;

    let response = client.at(&other).profile().await;

    response.problem(401, "invalid_token");
}

#[tokio::test]
async fn a_token_that_was_changed_is_refused() {
    let forger = Forger::new().await;
    let good = forger.client.credential();
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        panic!("a token of {} parts", parts.len());
    };
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());

    for (claim, value) in [
        ("roles", json!(["admin"])),
        ("username", json!("grace")),
        ("sub", json!(uuid::Uuid::nil())),
        ("sid", json!(uuid::Uuid::nil())),
        ("exp", json!(beginning().timestamp() + 90_000)),
    ] {
        let claims = encode(with(forger.claims.clone(), claim, value));
        let token = format!("{header}.{claims}.{signature}");
        forger.assert_refused(&token, "invalid_token").await;
    }
    for position in [0, 1, signature.len() / 2, signature.len() - 2] {
        let mut changed = signature.as_bytes().to_vec();
        changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).expect("ASCII");
        let token = format!("{header}.{claims}.{changed}");
        forger.assert_refused(&token, "invalid_token").await;
    }
    for token in [
        format!("{header}.{claims}"),
        format!("{header}.{claims}."),
        format!("{header}..{signature}"),
        format!(".{claims}.{signature}"),
        format!("{header}.{claims}.{signature}."),
        format!("{header}.{claims}.{signature}.{signature}"),
        format!("{header}.{claims}.{}", &signature[1..]),
        format!("{header}.{claims}.{}", &signature[..signature.len() - 1]),
        format!("{header}.{claims}.{claims}"),
        format!("{claims}.{header}.{signature}"),
    ] {
        forger.assert_refused(&token, "invalid_token").await;
    }
    forger.assert_accepted(&good).await;
}

#[tokio::test]
async fn a_token_has_one_spelling() {
    let forger = Forger::new().await;
    let good = forger.client.credential();

    // The last character of a signature has two bits that say nothing: all but one way to set them are refused.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (but_last, last) = good.split_at(good.len() - 1);
    for character in alphabet.chars().filter(|&it| !last.contains(it)) {
        let token = format!("{but_last}{character}");
        forger.assert_refused(&token, "invalid_token").await;
    }
    for token in [format!("{good}="), format!("{good}=="), format!("{good}A")] {
        forger.assert_refused(&token, "invalid_token").await;
    }
    // The other alphabet, where the two differ.
    let token = (0..50)
        .map(|number| with(forger.claims.clone(), "jti", uuid::Uuid::from_u128(number).to_string()))
        .map(|claims| forger.token(&forger.header, &claims))
        .find(|token| token.contains('-') && token.contains('_'))
        .expect("one of fifty signatures has such characters");
    forger.assert_accepted(&token).await;
    for respelt in [token.replace('-', "+"), token.replace('_', "/")] {
        forger.assert_refused(&respelt, "invalid_token").await;
    }
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused() {
    let forger = Forger::new().await;
    let good = forger.client.credential();
    let (_, signature) = good.rsplit_once('.').expect("a signature");
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let header = with(forger.header.clone(), "alg", alg);
        let signed = forger.token(&header, &forger.claims);
        let (unsigned, _) = signed.rsplit_once('.').expect("a signature");
        for token in
            [format!("{unsigned}."), unsigned.to_owned(), format!("{unsigned}.{signature}"), signed.clone()]
        {
            forger.assert_refused(&token, "invalid_token").await;
        }
    }
}

#[tokio::test]
async fn a_token_with_another_header_is_refused() {
    let forger = Forger::new().await;
    let header = || forger.header.clone();
    forger.assert_accepted(&forger.token(&forger.header, &forger.claims)).await;

    for member in ["alg", "typ", "kid"] {
        forger.assert_header_refused(without(header(), member)).await;
        for value in [json!(null), json!(1), json!([]), json!("")] {
            forger.assert_header_refused(with(header(), member, value)).await;
        }
        let array = json!([forger.header[member]]);
        forger.assert_header_refused(with(header(), member, array)).await;
        let twice = format!("{{\"{member}\":{},{}", forger.header[member], &forger.header.to_string()[1..]);
        forger.assert_header_refused(twice).await;
    }
    for alg in ["HS384", "HS512", "RS256", "ES256", "EdDSA", "hs256"] {
        forger.assert_header_refused(with(header(), "alg", alg)).await;
    }
    for typ in ["JWT", "jwt", "at-jwt", "rt+jwt", "at+jwt "] {
        forger.assert_header_refused(with(header(), "typ", typ)).await;
    }
    for (member, value) in [
        ("kid", json!("another")),
        ("kid", json!("../../dev/null")),
        ("crit", json!(["b64"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("jku", json!("https://evil.example.org/jwks.json")),
        ("x5u", json!("https://evil.example.org/cert.pem")),
        ("x5c", json!(["MIIB"])),
        ("jwk", json!({ "kty": "oct", "k": "AAAA" })),
        ("cty", json!("JWT")),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
        ("unknown", json!(null)),
    ] {
        forger.assert_header_refused(with(header(), member, value)).await;
    }
    for nonsense in ["", "null", "[]", "{", "\"HS256\""] {
        forger.assert_header_refused(nonsense).await;
    }
}

#[tokio::test]
async fn a_token_with_other_claims_is_refused() {
    let forger = Forger::new().await;
    let claims = || forger.claims.clone();
    let now = beginning().timestamp();

    for claim in ["iss", "aud", "sub", "iat", "exp", "jti", "sid", "username", "roles"] {
        forger.assert_claims_refused(without(claims(), claim)).await;
        for value in [json!(null), json!(true), json!({})] {
            forger.assert_claims_refused(with(claims(), claim, value)).await;
        }
        if claim != "roles" {
            let array = json!([forger.claims[claim]]);
            forger.assert_claims_refused(with(claims(), claim, array)).await;
        }
        let rest = &forger.claims.to_string()[1..];
        let twice = format!("{{\"{claim}\":{},{rest}", forger.claims[claim]);
        forger.assert_claims_refused(twice).await;
    }
    // The name of a claim can be spelt in several ways too.
    let rest = &forger.claims.to_string()[1..];
    let hidden = format!("{{\"r\\u006fles\":[\"admin\"],{rest}");
    forger.assert_claims_refused(hidden).await;

    for (claim, value) in [
        ("nbf", json!(now)),
        ("nbf", json!(now + 600)),
        ("scope", json!("admin")),
        ("cnf", json!({})),
        ("iss", json!("https://evil.example.org")),
        ("iss", json!(format!("{}/", text(&forger.claims["iss"])))),
        ("aud", json!("https://evil.example.org")),
        ("aud", json!("")),
        ("sub", json!("ada")),
        ("sub", json!("")),
        ("sid", json!("1")),
        ("iat", json!(now + 60)),
        ("iat", json!(now.to_string())),
        ("exp", json!((now + 900).to_string())),
        ("exp", json!(1e30)),
        ("roles", json!("admin")),
        ("roles", json!([1])),
        ("roles", json!([["admin"]])),
        ("username", json!(1)),
    ] {
        forger.assert_claims_refused(with(claims(), claim, value)).await;
    }
    for nonsense in ["", "null", "[]", "{", "{}", "\"ada\""] {
        forger.assert_claims_refused(nonsense).await;
    }
    let array: Vec<&Value> = forger.claims.as_object().expect("claims").values().collect();
    forger.assert_claims_refused(json!(array)).await;
}

#[tokio::test]
async fn a_token_is_over_when_its_time_is() {
    let forger = Forger::new().await;
    let now = beginning().timestamp();
    let expiring = |exp: i64| {
        let claims = with(forger.claims.clone(), "exp", exp);
        forger.token(&forger.header, &claims)
    };
    forger.assert_accepted(&expiring(now + 1)).await;
    for exp in [now, now - 1, now - 60] {
        forger.assert_refused(&expiring(exp), "token_expired").await;
    }
    forger.server.clock.advance(SECOND);
    forger.assert_refused(&expiring(now + 1), "token_expired").await;
}
