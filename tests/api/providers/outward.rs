//! Providers that are away, slow, or say nonsense: what they may cost, and where they can't send us.

use chrono::TimeDelta;
use dualauth::clock::Clock;
use dualauth::factors::provider::AuthorizationRequest;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{SECRET, Trial, provider_file, provider_of, reason};
use crate::support::{
    HOUR, MINUTE, eventually,
    server::beginning,
    signer::Role,
    stub_provider::{StubAnswer, StubProvider, published, signer},
};

const DISCOVERY: &str = "/.well-known/openid-configuration";

/// What comes of it when the discovery document is this.
async fn refused(answer: impl FnOnce(&StubProvider) -> StubAnswer) -> String {
    let trial = Trial::new().await;
    trial.stub.answer(DISCOVERY, answer(&trial.stub));
    reason(trial.provider.authorization(AuthorizationRequest::default()).await)
}

fn changed(name: &'static str, value: Value) -> impl Fn(&StubProvider) -> StubAnswer {
    move |stub| StubAnswer::Json(crate::support::with(stub.discovery(), name, value.clone()))
}

#[tokio::test]
async fn a_discovery_document_that_lies_is_refused() {
    for (name, value, told) in [
        ("issuer", json!("https://evil.example"), "another issuer"),
        ("issuer", json!(""), "another issuer"),
        ("issuer", Value::Null, "members"),
        ("authorization_endpoint", json!("http://evil.example/"), "authorization_endpoint is not https"),
        ("token_endpoint", json!("http://evil.example/token"), "token_endpoint is not https"),
        ("token_endpoint", json!("http://10.0.0.1/token"), "token_endpoint is not https"),
        ("jwks_uri", json!("file:///etc/passwd"), "jwks_uri is not https"),
        ("jwks_uri", json!("/keys"), "members"),
        ("jwks_uri", Value::Null, "members"),
        ("userinfo_endpoint", json!("ftp://evil.example/"), "userinfo_endpoint is not https"),
    ] {
        let told_here = refused(changed(name, value.clone())).await;
        let told = if told == "another issuer" { "not of" } else { told };
        assert!(told_here.contains(told), "{name} {value}: {told_here}");
    }
}

#[tokio::test]
async fn an_answer_that_is_none_costs_five_seconds_at_most() {
    let huge = || {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n".to_vec();
        StubAnswer::Raw([head, vec![b' '; 70_000]].concat())
    };
    let endless_head = || {
        let header = format!("X: {}\r\n", "x".repeat(1_000));
        StubAnswer::Raw([b"HTTP/1.1 200 OK\r\n".to_vec(), header.repeat(100).into_bytes()].concat())
    };
    let raw = |text: &str| StubAnswer::Raw(text.as_bytes().to_vec());
    let table: Vec<(&str, StubAnswer, &str)> = vec![
        ("silence", StubAnswer::Silence, "no answer in time"),
        ("a byte now and then", StubAnswer::Drip, "no answer in time"),
        ("an endless body", StubAnswer::Endless, "too large"),
        ("a huge body", huge(), "too large"),
        ("an endless head", endless_head(), "discovery"),
        ("a connection that ends", StubAnswer::HangUp, "discovery"),
        ("no HTTP", raw("hello"), "discovery"),
        ("half a body", raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), "discovery"),
        ("no JSON", raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), "no JSON"),
        ("another JSON", StubAnswer::Json(json!([])), "members"),
        ("an error", StubAnswer::Status(503, json!({})), "status 503"),
        ("nothing there", StubAnswer::Status(404, json!({})), "status 404"),
    ];
    // At once, since two of them take their time.
    join_all(table.into_iter().map(async |(what, answer, expected)| {
        let told = refused(|_| answer).await;
        assert!(told.contains(expected), "{what}: {told}");
    }))
    .await;
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let elsewhere = StubProvider::start().await;
    let told = refused(|_| StubAnswer::Redirect(format!("{}{DISCOVERY}", elsewhere.url()))).await;
    assert!(told.contains("status 302"), "{told}");
    assert!(elsewhere.requests().is_empty());

    let trial = Trial::new().await;
    let begun = trial.begin().await;
    trial.stub.answer("/token", StubAnswer::Redirect(format!("{}/token", elsewhere.url())));
    assert!(reason(trial.come_back(&begun, None).await).contains("status 302"));
    assert!(elsewhere.requests().is_empty(), "it would have had the code and the secret");
}

#[tokio::test]
async fn a_provider_can_t_send_us_to_an_address_that_is_not_public() {
    for host in [
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[fd00::1]",
        "[64:ff9b::a00:1]",
        "127.0.0.2",
        "0x7f.2",
        "localhost",
    ] {
        let trial = Trial::new().await;
        let endpoint = json!(format!("https://{host}:1/token"));
        trial.stub.answer(DISCOVERY, changed("token_endpoint", endpoint)(&trial.stub));
        let begun = trial.begin().await;
        let told = reason(trial.come_back(&begun, None).await);
        assert!(told.contains("no public address"), "{host}: {told}");
    }
}

#[tokio::test]
async fn the_host_of_the_settings_may_be_anywhere() {
    for issuer in ["https://127.0.0.1:1", "https://localhost:1", "https://[::1]:1"] {
        let provider = provider_of(&provider_file(issuer, SECRET, ""), &Clock::manual(beginning()));
        let told = reason(provider.check().await);
        assert!(!told.contains("public"), "{issuer}: {told}");
    }
}

#[tokio::test]
async fn a_provider_that_failed_is_left_alone_for_a_minute() {
    let trial = Trial::new().await;
    let good = trial.stub.discovery();
    trial.stub.answer(DISCOVERY, StubAnswer::Status(500, json!({})));
    let ask = async || trial.provider.authorization(AuthorizationRequest::default()).await;
    assert!(reason(ask().await).contains("status 500"));
    trial.stub.json(DISCOVERY, good);
    assert!(reason(ask().await).contains("less than a minute ago"));
    assert_eq!(trial.stub.asked(DISCOVERY), 1);
    trial.clock.advance(MINUTE);
    ask().await.expect("it is back");
    ask().await.expect("it is remembered");
    assert_eq!(trial.stub.asked(DISCOVERY), 2);
    trial.clock.advance(HOUR);
    ask().await.expect("it is asked again");
    assert_eq!(trial.stub.asked(DISCOVERY), 3);
    // What was known of it goes on for a while.
    trial.stub.answer(DISCOVERY, StubAnswer::HangUp);
    trial.clock.advance(HOUR);
    ask().await.expect("what was known");
    trial.clock.advance(24 * HOUR);
    assert!(ask().await.is_err());
}

#[tokio::test]
async fn many_who_sign_in_at_once_ask_for_the_document_once() {
    let trial = Trial::new().await;
    let asked =
        join_all((0..20).map(|_| trial.provider.authorization(AuthorizationRequest::default()))).await;
    assert!(asked.iter().all(Result::is_ok));
    assert_eq!(trial.stub.asked(DISCOVERY), 1);
}

#[tokio::test]
async fn a_provider_that_is_away_holds_neither_more_than_its_threads_nor_another_provider() {
    let (slow, other) = (Trial::new().await, Trial::new().await);
    let begun = slow.begin().await;
    slow.stub.answer("/token", StubAnswer::Silence);
    let waiting = join_all((0..30).map(|_| slow.come_back(&begun, None)));
    let meanwhile = async {
        eventually("its threads are taken", async || slow.stub.asked("/token") == 8).await;
        other.sign_in(|_| ()).await.expect("the other provider is there");
    };
    let (outcomes, ()) = futures_util::future::join(waiting, meanwhile).await;
    assert!(outcomes.into_iter().all(|outcome| reason(outcome).contains("no answer in time")));
    assert_eq!(slow.stub.asked("/token"), 8, "whoever waited in vain is not asked for later");
    slow.sign_in(|_| ()).await.expect("its threads are free again");
}

#[tokio::test]
async fn sign_ins_that_hang_keep_neither_the_document_nor_the_keys_from_being_loaded() {
    let trial = Trial::new().await;
    let begun = trial.begin().await;
    let good = trial.stub.discovery();
    trial.stub.answer("/token", StubAnswer::Silence);
    let hanging = join_all((0..20).map(|_| trial.come_back(&begun, None)));
    let meanwhile = async {
        eventually("its threads are taken", async || trial.stub.asked("/token") == 8).await;
        trial.clock.advance(HOUR);
        trial.stub.json(
            DISCOVERY,
            crate::support::with(good, "authorization_endpoint", json!("http://127.0.0.1:1/new")),
        );
        let asked = trial.provider.authorization(AuthorizationRequest::default()).await.expect("a URL");
        assert_eq!(asked.url.path(), "/new", "not the stale one");
        assert!(trial.provider.verify_id_token(&unknown_key(), "n").await.is_err());
        assert_eq!((trial.stub.asked(DISCOVERY), trial.stub.asked("/keys")), (2, 2));
    };
    let (outcomes, ()) = futures_util::future::join(hanging, meanwhile).await;
    assert!(outcomes.into_iter().all(|outcome| reason(outcome).contains("no answer in time")));
}

/// An ID token of a key that nobody has published.
fn unknown_key() -> String {
    signer().token(
        &json!({ "alg": "ES256", "kid": "unknown" }),
        &json!({ "iss": "x", "sub": "x", "aud": "x", "exp": 1, "iat": 1 }),
    )
}

#[tokio::test]
async fn what_a_sign_in_had_no_time_left_for_is_not_held_against_the_provider() {
    let trial = Trial::new().await;
    let begun = trial.begin().await;
    let keys = json!({ "keys": [published(signer())] });
    let late = |seconds, answer| StubAnswer::Late(std::time::Duration::from_secs(seconds), answer);
    let token = signer().token(
        &json!({ "alg": "ES256", "kid": signer().kid() }),
        &trial.claims(begun.nonce.as_deref().expect("one")),
    );
    trial.stub.answer("/token", late(4, json!({ "access_token": "at", "id_token": token })));
    trial.stub.answer("/keys", late(3, keys));
    assert!(reason(trial.come_back(&begun, None).await).contains("no answer in time"));
    trial.sign_in(|_| ()).await.expect("it has done nothing wrong");
    assert_eq!(trial.stub.asked("/keys"), 1, "they came after all");
}

#[tokio::test]
async fn what_a_provider_says_goes_into_the_log_in_short() {
    let long = "https://evil.example/".repeat(2_000);
    let told = refused(changed("issuer", json!(long))).await;
    assert!(told.contains("https://evil.example/https") && told.len() < 500, "{} bytes", told.len());
    let trial = Trial::new().await;
    let begun = trial.begin().await;
    trial.stub.answer("/token", StubAnswer::Status(400, json!({ "error": long })));
    let told = reason(trial.come_back(&begun, None).await);
    assert!(told.contains("https://evil.example/https") && told.len() < 500, "{} bytes", told.len());
}

#[tokio::test]
async fn an_answer_for_a_code_that_is_nonsense_is_refused() {
    let trial = Trial::new().await;
    let begun = trial.begin().await;
    let table: Vec<(StubAnswer, &str)> = vec![
        (StubAnswer::Status(400, json!({ "error": "invalid_grant" })), "invalid_grant"),
        (StubAnswer::Status(401, json!({ "error": "invalid_client" })), "invalid_client"),
        (StubAnswer::Json(json!({ "error": "bad_verification_code" })), "bad_verification_code"),
        (StubAnswer::Status(400, json!({ "error": 5 })), "status 400"),
        (StubAnswer::Status(500, json!({ "access_token": "at", "id_token": "x" })), "status 500"),
        (StubAnswer::Json(json!({ "access_token": "at" })), "no id_token"),
        (StubAnswer::Json(json!({ "access_token": "at", "id_token": "" })), "malformed"),
        (StubAnswer::Json(json!({ "access_token": "at", "id_token": { "hunter": 2 } })), "members"),
        (StubAnswer::Json(json!("text")), "members"),
        (StubAnswer::Endless, "too large"),
    ];
    for (answer, expected) in table {
        trial.stub.answer("/token", answer.clone());
        let told = reason(trial.come_back(&begun, None).await);
        assert!(told.contains(expected), "{answer:?}: {told}");
        assert!(!told.contains("the code") && !told.contains("hunter"), "{told}");
    }
}

#[tokio::test]
async fn keys_that_are_none_are_refused_and_many_are_taken() {
    let trial = Trial::new().await;
    for (answer, expected) in [
        (json!({ "keys": [] }), "no key"),
        (json!({ "keys": [{ "kty": "oct", "k": "AA" }] }), "no key"),
        (json!({ "keys": {} }), "no set of keys"),
        (json!([]), "no set of keys"),
    ] {
        trial.stub.json("/keys", answer.clone());
        let told = reason(trial.sign_in(|_| ()).await);
        assert!(told.contains(expected), "{answer}: {told}");
        trial.clock.advance(MINUTE);
    }
    let strange =
        published(crate::support::signer::key(dualauth::config::JwtAlgorithm::Es256, Role::Strange));
    let many: Vec<Value> = std::iter::repeat_n(strange, 900).chain([published(signer())]).collect();
    let size = json!(many).to_string().len();
    assert!((65_536..262_144).contains(&size), "{size}");
    trial.stub.json("/keys", json!({ "keys": many }));
    trial.sign_in(|_| ()).await.expect("a set that is large, and not too large");
    let check = trial.provider.check().await.expect("an answer");
    assert_eq!((check.keys, check.clock_ahead), (Some(901), Some(-elapsed(&trial.clock))));
}

/// How long after the beginning it is.
fn elapsed(clock: &Clock) -> TimeDelta {
    clock.now() - beginning()
}

#[tokio::test]
async fn tokens_are_dropped_unless_they_are_to_be_stored() {
    assert_eq!(Trial::new().await.sign_in(|_| ()).await.expect("an identity").tokens, None);
    let trial = Trial::with("store_tokens = true").await;
    let identity = trial.sign_in(|_| ()).await.expect("an identity");
    assert_eq!(identity.tokens.as_ref().expect("tokens").reveal(), r#"{"access_token":"at"}"#);
    assert!(!format!("{identity:?}").contains("access_token"));
}
