//! How a token is made: what it may be, and what is told of it.

use std::time::Duration;

use serde_json::{Value, json};

use super::{CREATE, invitation, invitation_of, rows, stage};
use crate::nodes::sql;
use crate::support::{assert_members, http::Request, server::beginning, text, time, with, without};

#[tokio::test]
async fn a_token_is_shown_once_and_only_its_hash_is_kept() {
    let (server, service) = stage().await;
    let made = server.send(service.creation(&invitation())).await.expect(201).not_stored().json();
    assert_members(&made, &["id", "token", "expires_at"]);
    let token = text(&made["token"]);
    let secret = token.strip_prefix("dat_").expect("a token of its kind");
    assert_eq!(secret.len(), 43, "256 bits");
    assert_eq!(time(&made["expires_at"]), beginning() + Duration::from_secs(3_600));

    let rows = rows(&server).await;
    assert_eq!(rows.len(), 1);
    let hash: String =
        dualauth::crypto::sha256(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(rows[0].contains(&hash), "{rows:?}");
    assert!(!rows[0].contains(&secret[..12]), "{rows:?}");
}

#[tokio::test]
async fn two_tokens_are_never_the_same() {
    let (server, service) = stage().await;
    let one = service.creates(&server, &invitation()).await;
    let other = service.creates(&server, &invitation()).await;
    assert_ne!((&one.id, &one.token), (&other.id, &other.token));
}

#[tokio::test]
async fn a_token_is_whatever_is_within_its_bounds() {
    let (server, service) = stage().await;
    for (member, values) in [
        ("purpose", [json!("a"), json!("A-z_0.9"), json!("x".repeat(64))]),
        ("expires_in", [json!(1), json!(60.0), json!(2_592_000)]),
        ("uses", [json!(1.0), json!(1_000), json!(null)]),
        (
            "user_id",
            [json!(null), json!(server.user("ada").await), json!(server.user("bob").await.to_uppercase())],
        ),
        ("data", [json!(null), json!(0), json!({ "a": [null, true, "", {}] })]),
    ] {
        for value in values {
            let body = with(invitation(), member, value.clone());
            let made = server.send(service.creation(&body)).await.expect(201).json();
            let seconds = body["expires_in"].as_f64().expect("a number");
            assert_eq!(
                time(&made["expires_at"]),
                beginning() + Duration::from_secs_f64(seconds),
                "{member} {value}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_out_of_bounds_is_pointed_at() {
    let (server, service) = stage().await;
    let big = u64::MAX;
    for (member, values) in [
        (
            "purpose",
            vec![
                json!(""),
                json!("x".repeat(65)),
                json!("a b"),
                json!("é"),
                json!("a/b"),
                json!("a\0"),
                json!(1),
            ],
        ),
        (
            "expires_in",
            vec![
                json!(0),
                json!(-1),
                json!(2_592_001),
                json!(big),
                json!(i64::MIN),
                json!(1e300),
                json!(1.5),
                json!("60"),
                json!(true),
            ],
        ),
        (
            "uses",
            vec![
                json!(0),
                json!(-1),
                json!(1_001),
                json!(4_294_967_297_u64),
                json!(big),
                json!(0.5),
                json!("1"),
                json!([1]),
            ],
        ),
        ("user_id", vec![json!(""), json!("ada"), json!(7), json!("0199f0a4-5d11-7a02-8c3e-7d1b2f4e6a90")]),
        ("other", vec![json!(1), json!(null)]),
    ] {
        for value in values {
            let body = with(invitation(), member, value);
            server.send(service.creation(&body)).await.points_at(&[&format!("/{member}")]);
        }
    }
    for member in ["purpose", "expires_in"] {
        server
            .send(service.creation(&without(invitation(), member)))
            .await
            .points_at(&[&format!("/{member}")]);
    }
    assert_eq!(rows(&server).await, Vec::<String>::new());
}

#[tokio::test]
async fn all_that_is_out_of_bounds_is_pointed_at_at_once() {
    let (server, service) = stage().await;
    let data = "x".repeat(4_095);
    let body = json!({ "purpose": "", "expires_in": 0, "uses": 0, "user_id": "x", "data": data });
    let response = server.send(service.creation(&body)).await;
    response.points_at(&["/data", "/expires_in", "/purpose", "/user_id", "/uses"]);
}

#[tokio::test]
async fn a_body_that_is_no_object_of_json_is_refused() {
    let (server, service) = stage().await;
    let request = || Request::post(CREATE).basic(&service.id, &service.secret);
    for (body, status, code) in [
        ("", 400, "malformed_request"),
        ("{", 400, "malformed_request"),
        (r#"{"purpose": "a", "expires_in": 60, "data": 1e999}"#, 400, "malformed_request"),
        (r#"{"purpose": "a", "expires_in": 60, "data": tru}"#, 400, "malformed_request"),
    ] {
        server.send(request().body("application/json", body)).await.oauth_problem(status, code);
    }
    server
        .send(request().form(&[("purpose", "a"), ("expires_in", "60")]))
        .await
        .oauth_problem(415, "unsupported_media_type");
    let big = with(invitation(), "data", "x".repeat(16 * 1024));
    server.send(request().json(&big)).await.oauth_problem(413, "payload_too_large");
    server.send(request().body("application/json", "[]")).await.points_at(&[""]);
    for (body, pointer) in [
        (r#"{"purpose": "a", "purpose": "a", "expires_in": 60}"#, "/purpose"),
        (r#"{"purpose": "a", "expires_in": 60, "data": 1, "data": 1}"#, "/data"),
        (r#"{"purpose": "a", "expires_in": 60, "data": {"x": 1, "x": 2}}"#, "/data/x"),
        (r#"{"purpose": "a", "expires_in": 60, "data": "\u0000"}"#, "/data"),
        (r#"{"purpose": "a", "expires_in": 60, "data": [["\u0000"]]}"#, "/data/0/0"),
        (r#"{"purpose": "a", "expires_in": 60, "data": {"\u0000": 1}}"#, "/data/\0"),
    ] {
        server.send(request().body("application/json", body)).await.points_at(&[pointer]);
    }
}

#[tokio::test]
async fn data_has_four_kibibytes_of_json_at_most_without_its_white_space() {
    let (server, service) = stage().await;
    let fitting = |length: usize| {
        with(invitation(), "data", json!({ "note": "x".repeat(length - r#"{"note":""}"#.len()) }))
    };
    server.send(service.creation(&fitting(4_096))).await.expect(201);
    server.send(service.creation(&fitting(4_097))).await.points_at(&["/data"]);
    // Of a character, its bytes are counted.
    server.send(service.creation(&with(invitation(), "data", "é".repeat(2_047)))).await.expect(201);
    server.send(service.creation(&with(invitation(), "data", "é".repeat(2_048)))).await.points_at(&["/data"]);
    let spaced =
        with(invitation(), "data", vec![Value::Null; 800]).to_string().replace("null", " \r\n\tnull ");
    assert!(spaced.len() > 4_096);
    let request = Request::post(CREATE).basic(&service.id, &service.secret).body("application/json", &spaced);
    server.send(request).await.expect(201);
}

#[tokio::test]
async fn nobody_gets_a_token_who_could_not_redeem_it() {
    let (server, service) = stage().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    sql(&server, "update users set disabled_at = now() where username = 'ada'; delete from users where username = 'bob'").await;
    for user in [&ada, &bob] {
        server.send(service.creation(&invitation_of(user))).await.points_at(&["/user_id"]);
    }
    sql(&server, "update users set disabled_at = null").await;
    server.send(service.creation(&invitation_of(&ada))).await.expect(201);
}
