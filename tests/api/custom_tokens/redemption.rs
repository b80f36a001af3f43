//! What redeeming a token tells, and to whom it tells nothing.

use std::time::Duration;

use dualauth::tokens::OpaqueToken;
use serde_json::{Value, json};

use super::{CREATE, REDEEM, invitation, invitation_of, stage};
use crate::nodes::sql;
use crate::oauth::Service;
use crate::support::{SECOND, assert_members, http::Request, text, with};

#[tokio::test]
async fn a_token_is_good_for_its_uses_and_for_no_more() {
    let (server, service) = stage().await;
    for uses in [1, 3] {
        let body = with(with(invitation(), "uses", uses), "data", json!({ "team": "weir" }));
        let token = service.creates(&server, &body).await;
        for left in (0..uses).rev() {
            let told = service.redeems(&server, &token).await.ok();
            assert_members(&told, &["id", "purpose", "user", "data", "uses_left", "expires_at"]);
            let expected = json!({
                "id": token.id, "purpose": "invitation", "user": null, "data": { "team": "weir" },
                "uses_left": left, "expires_at": token.expires_at,
            });
            assert_eq!(told, expected);
        }
        service.redeems(&server, &token).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn data_comes_back_as_it_was_sent() {
    let (server, service) = stage().await;
    for (sent, kept) in [
        (r#"{ "b" : 1.10, "a": 1e2, "c" :-0.0 }"#, r#"{"b":1.10,"a":1e2,"c":-0.0}"#),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        (r#""\u00e9 \" \\\" { } [ , ] : é""#, r#""\u00e9 \" \\\" { } [ , ] : é""#),
        ("\t[ ]\r\n", "[]"),
        (r#"" null ""#, r#"" null ""#),
        ("null", "null"),
        ("false", "false"),
    ] {
        let body = format!(r#"{{"purpose": "invitation", "data": {sent}, "expires_in": 60}}"#);
        let request =
            Request::post(CREATE).basic(&service.id, &service.secret).body("application/json", body);
        let token = server.send(request).await.expect(201).json();
        let redeemed = server.send(service.redemption(text(&token["token"]), "invitation")).await.expect(200);
        let expected = format!(r#""data":{kept},"uses_left""#);
        assert!(redeemed.text().contains(&expected), "{sent}: {redeemed}");
    }
}

#[tokio::test]
async fn a_users_token_tells_who_that_is_by_now() {
    let (server, service) = stage().await;
    let ada = server.user("ada").await;
    let token = service.creates(&server, &with(invitation_of(&ada), "uses", 2)).await;
    let told = service.redeems(&server, &token).await.ok();
    assert_eq!(told["user"], json!({ "user_id": ada, "username": "ada", "roles": ["user"] }));
    sql(&server, "update users set username = 'Ada.L', roles = '{user,admin}'").await;
    let told = service.redeems(&server, &token).await.ok();
    assert_eq!(told["user"], json!({ "user_id": ada, "username": "Ada.L", "roles": ["user", "admin"] }));
}

#[tokio::test]
async fn a_token_that_is_no_good_is_refused_alike_whatever_the_reason() {
    let (server, service) = stage().await;
    let other = Service::registered(&server).await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let good = service.creates(&server, &invitation()).await;
    let expired = service.creates(&server, &with(invitation(), "expires_in", 1)).await;
    let used = service.creates(&server, &invitation()).await;
    service.redeems(&server, &used).await.expect(200);
    let deleted = service.creates(&server, &invitation()).await;
    server.send(service.deletion(&deleted.id)).await.expect(204);
    let of_ada = service.creates(&server, &invitation_of(&ada)).await;
    let of_bob = service.creates(&server, &invitation_of(&bob)).await;
    sql(&server, "update users set disabled_at = now() where username = 'ada'; delete from users where username = 'bob'").await;
    server.clock.advance(SECOND);

    let unknown = OpaqueToken::generate("dat_");
    let mut refused = Vec::new();
    for (service, token, purpose) in [
        (&service, unknown.reveal(), "invitation"),
        (&service, &expired.token, "invitation"),
        (&service, &used.token, "invitation"),
        (&service, &deleted.token, "invitation"),
        (&service, &of_ada.token, "invitation"),
        (&service, &of_bob.token, "invitation"),
        (&other, &good.token, "invitation"),
        (&service, &good.token, "download"),
        (&service, &good.token, "Invitation"),
        (&service, &good.token[..46], "invitation"),
        (&service, &format!("{} ", good.token), "invitation"),
        (&service, &good.token.replace("dat_", "dus_"), "invitation"),
        (&service, &good.id, "invitation"),
        (&service, "dat_", "invitation"),
        (&service, "", "invitation"),
    ] {
        let response = server.send(service.redemption(token, purpose)).await.not_stored();
        refused.push(response.problem(404, "not_found").but_for_the_date());
    }
    assert!(refused.iter().all(|response| response == &refused[0]), "{refused:#?}");
    // None of this has used anything up.
    service.redeems(&server, &good).await.expect(200);
    sql(&server, "update users set disabled_at = null where username = 'ada'").await;
    assert_eq!(service.redeems(&server, &of_ada).await.ok()["user"]["username"], "ada");
}

#[tokio::test]
async fn a_token_lives_until_it_expires_by_the_nodes_clock() {
    let (server, service) = stage().await;
    let token = service.creates(&server, &with(with(invitation(), "expires_in", 60), "uses", 3)).await;
    server.clock.advance(60 * SECOND - Duration::from_micros(1));
    assert_eq!(service.redeems(&server, &token).await.ok()["uses_left"], 2);
    server.clock.advance(Duration::from_micros(1));
    service.redeems(&server, &token).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_request_to_redeem_is_strict() {
    let (server, service) = stage().await;
    let token = service.creates(&server, &invitation()).await;
    let right = json!({ "token": token.token, "purpose": "invitation" });
    let sent = |body: &Value| Request::post(REDEEM).basic(&service.id, &service.secret).json(body);
    for (member, values) in [
        ("token", [json!(7), json!(null), json!("dat_\0")]),
        ("purpose", [json!(""), json!("a b"), json!("x".repeat(65))]),
        ("uses", [json!(1), json!(null), json!({})]),
    ] {
        for value in values {
            server.send(sent(&with(right.clone(), member, value))).await.points_at(&[&format!("/{member}")]);
        }
    }
    let request = || Request::post(REDEEM).basic(&service.id, &service.secret);
    server.send(request().bytes("")).await.oauth_problem(415, "unsupported_media_type");
    server.send(request().body("application/json", "x")).await.oauth_problem(400, "malformed_request");
    service.redeems(&server, &token).await.expect(200);
}
