//! What a request is answered with, by both frameworks' parts.

use std::convert::Infallible;

use actix_web::web::Data;
use actix_web::{App, HttpResponse, test, web};
use axum::body::{Body, to_bytes};
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_layer::Layer;

use super::{claims_of, ready, until};
use crate::Verifier;
use crate::actix::Authenticated;
use crate::testing::{Dualauth, TestKey, with};
use crate::tower::VerifyLayer;

/// Status, challenge, `Retry-After`, media type and body of an answer.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    challenge: Option<String>,
    retry_after: Option<String>,
    body: Value,
}

/// What axum's router would get.
async fn through_tower(verifier: &Verifier, sent: &[&str]) -> Answer {
    let handler = tower::service_fn(|request: http::Request<()>| async move {
        let claims = request.extensions().get::<std::sync::Arc<crate::Claims>>().expect("the claims");
        Ok::<_, Infallible>(http::Response::new(Body::from(json!(claims.username).to_string())))
    });
    let mut request = http::Request::builder();
    for value in sent {
        request = request.header("authorization", *value);
    }
    let request = request.body(()).expect("a request");
    let response =
        VerifyLayer::new(verifier.clone()).layer(handler).oneshot(request).await.expect("it answers");
    let header = |name| response.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
    let (status, challenge, retry_after) =
        (response.status().as_u16(), header("www-authenticate"), header("retry-after"));
    if status != 200 {
        assert_eq!(header("content-type").as_deref(), Some("application/problem+json"));
    }
    let body = to_bytes(response.into_body(), 10_000).await.expect("a body");
    Answer { status, challenge, retry_after, body: serde_json::from_slice(&body).expect("JSON") }
}

async fn through_actix(verifier: &Verifier, sent: &[&str]) -> Answer {
    let me = |user: Authenticated| async move { HttpResponse::Ok().json(&user.username) };
    let app = App::new().app_data(Data::new(verifier.clone())).route("/", web::get().to(me));
    let app = test::init_service(app).await;
    let mut request = test::TestRequest::get();
    for value in sent {
        request = request.append_header(("authorization", *value));
    }
    let response = test::call_service(&app, request.to_request()).await;
    let header = |name| response.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
    let (status, challenge, retry_after) =
        (response.status().as_u16(), header("www-authenticate"), header("retry-after"));
    if status != 200 {
        assert_eq!(header("content-type").as_deref(), Some("application/problem+json"));
    }
    let body = test::read_body(response).await;
    Answer { status, challenge, retry_after, body: serde_json::from_slice(&body).expect("JSON") }
}

/// Both frameworks give the same answer: this one.
#[track_caller]
fn assert_answers<'a>(
    verifier: &'a Verifier,
    sent: &'a [&'a str],
    expected: (u16, &'a str, Option<&'a str>),
) -> impl Future<Output = ()> + 'a {
    let place = std::panic::Location::caller();
    async move {
        let answers = (through_tower(verifier, sent).await, through_actix(verifier, sent).await);
        assert_eq!(answers.0, answers.1, "{sent:?} at {place}");
        let Answer { status, challenge, body, retry_after } = answers.0;
        let code = body["code"].as_str().or_else(|| body.as_str()).expect("a code or a name");
        assert_eq!((status, code, challenge.as_deref()), expected, "{sent:?} at {place}");
        assert_eq!(retry_after.as_deref(), (status == 503).then_some("1"));
        if status != 200 {
            assert_eq!((&body["status"], &body["type"]), (&json!(status), &json!("about:blank")));
            assert!(body["title"].is_string() && body["detail"].is_string(), "{body}");
        }
    }
}

const BEARER: Option<&str> = Some("Bearer");
const INVALID: Option<&str> = Some("Bearer error=\"invalid_token\"");

#[actix_web::test]
async fn a_request_with_a_good_token_is_let_through() {
    let dualauth = Dualauth::start();
    let verifier = ready(&dualauth).await;
    let token = dualauth.key.token(&claims_of(1));
    for header in [format!("Bearer {token}"), format!("bEARER {token}"), format!("Bearer   {token} ")] {
        assert_answers(&verifier, &[&header], (200, "ada", None)).await;
    }
}

#[actix_web::test]
async fn a_request_without_a_token_is_told_to_send_one() {
    let dualauth = Dualauth::start();
    let verifier = ready(&dualauth).await;
    assert_answers(&verifier, &[], (401, "not_authenticated", BEARER)).await;
    for header in ["Basic YWRhOnB3", "", "Bearertoken", "Digest Bearer"] {
        assert_answers(&verifier, &[header], (401, "not_authenticated", BEARER)).await;
    }
}

#[actix_web::test]
async fn a_request_with_a_malformed_header_or_several_is_malformed() {
    let dualauth = Dualauth::start();
    let verifier = ready(&dualauth).await;
    let good = format!("Bearer {}", dualauth.key.token(&claims_of(1)));
    for header in ["Bearer", "Bearer ", "Bearer\ta", "Bearer a b", "Bearer a,b", "Bearer =", "Bearer \"a\""] {
        assert_answers(&verifier, &[header], (400, "malformed_request", None)).await;
    }
    assert_answers(&verifier, &[&good, &good], (400, "malformed_request", None)).await;
    assert_answers(&verifier, &["Basic YWRhOnB3", &good], (400, "malformed_request", None)).await;
}

#[actix_web::test]
async fn a_request_with_a_bad_token_is_told_why_it_is_bad() {
    let dualauth = Dualauth::start();
    let verifier = ready(&dualauth).await;
    let header = |token: String| format!("Bearer {token}");
    let invalid = [
        header("nonsense".to_owned()),
        header("dur_AAAA".to_owned()),
        header(TestKey::new("EdDSA").token(&claims_of(1))),
        header(dualauth.key.token(&with(claims_of(1), "aud", "https://api.example.org"))),
    ];
    for invalid in &invalid {
        assert_answers(&verifier, &[invalid], (401, "invalid_token", INVALID)).await;
    }
    let expired = header(dualauth.key.token(&with(claims_of(1), "exp", 1)));
    assert_answers(&verifier, &[&expired], (401, "token_expired", INVALID)).await;
    dualauth.end(&claims_of(1));
    let revoked = dualauth.key.token(&claims_of(1));
    super::becomes(&verifier, &revoked, Err(crate::VerifyError::TokenRevoked)).await;
    assert_answers(&verifier, &[&header(revoked)], (401, "token_revoked", INVALID)).await;
    // Asked about first, which takes the other way through the code.
    dualauth.set_roles(&claims_of(2), &["admin"]);
    let demoted = dualauth.key.token(&claims_of(2));
    super::becomes(&verifier, &demoted, Err(crate::VerifyError::TokenRevoked)).await;
    assert_answers(&verifier, &[&header(demoted)], (401, "token_revoked", INVALID)).await;
    let promoted = header(dualauth.key.token(&with(claims_of(2), "roles", json!(["admin"]))));
    assert_answers(&verifier, &[&promoted], (200, "ada", None)).await;
}

#[actix_web::test]
async fn a_request_that_can_t_be_judged_is_told_to_try_again() {
    let mut dualauth = Dualauth::start();
    let verifier = ready(&dualauth).await;
    dualauth.stop();
    verifier.clock().pass(super::LONG);
    until(|| !verifier.is_fresh()).await;
    let good = format!("Bearer {}", dualauth.key.token(&claims_of(1)));
    assert_answers(&verifier, &[&good], (503, "unavailable", None)).await;
    assert_answers(&verifier, &[], (401, "not_authenticated", BEARER)).await;
}

#[actix_web::test]
async fn without_a_verifier_in_its_data_an_app_lets_nobody_through() {
    let me = |user: Authenticated| async move { user.username.clone() };
    let app = test::init_service(App::new().route("/", web::get().to(me))).await;
    let response = test::call_service(&app, test::TestRequest::get().to_request()).await;
    assert_eq!(response.status().as_u16(), 500);
}
