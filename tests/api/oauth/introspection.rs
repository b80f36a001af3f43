//! What a service is told of a token.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dualauth::tokens::OpaqueToken;
use serde_json::{Value, json};

use super::{INTROSPECT, Service, handle_in_cookie, inactive, stage};
use crate::nodes::GENEROUS;
use crate::support::{
    MINUTE, SECOND, assert_members,
    client::{Client, Mode, Pair},
    http::Request,
    server::{ONE_NAME, TestServer},
    time, with,
};

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("claims");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

#[tokio::test]
async fn of_an_access_token_a_service_is_told_all_its_claims() {
    let (server, service) = stage(&[]).await;
    for pair in [Pair::JWT_COOKIE, Pair::JWT_BEARER] {
        let client = Client::signed_in(&server, pair, "ada").await;
        let token = client.credential();
        let mut expected = claims(&token);
        for (member, value) in
            [("active", json!(true)), ("token_type", json!("Bearer")), ("mode", json!("jwt"))]
        {
            expected = with(expected, member, value);
        }
        assert_eq!(service.is_told(&server, &token).await, expected, "{pair:?}");
        let names =
            "active token_type mode iss aud sub iat exp jti sid client_id auth_time acr amr username roles";
        assert_members(&expected, &names.split(' ').collect::<Vec<_>>());
        assert_eq!(expected["sid"], client.login_id().await);
    }
}

#[tokio::test]
async fn of_a_session_token_a_service_is_told_whose_it_is_and_until_when() {
    let (server, service) = stage(&[("JWT_ISSUER", "https://issuer.example.org")]).await;
    let client = Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await;
    let profile = client.profile().await.ok();
    let expected = json!({
        "active": true, "token_type": "Bearer", "mode": "session", "iss": "https://issuer.example.org",
        "sub": profile["user_id"], "username": "ada", "roles": ["user"], "sid": profile["auth"]["login_id"],
        "exp": time(&profile["auth"]["expires_at"]).timestamp(),
        "auth_time": time(&profile["auth"]["auth_time"]).timestamp(), "acr": "aal1", "amr": ["pwd"],
    });
    assert_eq!(service.is_told(&server, &client.credential()).await, expected);
}

#[tokio::test]
async fn to_ask_about_a_session_is_to_use_it() {
    let (server, service) = stage(&[]).await;
    let asked = Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await;
    let left = Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await;
    for _ in 0..4 {
        server.clock.advance(20 * MINUTE);
        let told = service.is_told(&server, &asked.credential()).await;
        assert_eq!(told["exp"], (server.clock.now() + 30 * MINUTE).timestamp());
    }
    asked.profile().await.ok();
    assert_eq!(service.is_told(&server, &left.credential()).await, inactive());
}

#[tokio::test]
async fn of_what_is_no_good_a_service_is_told_that_only() {
    let (server, service) = stage(&[]).await;
    let elsewhere =
        TestServer::with(&[("APP_SECRET", "another service's secret of 32 bytes and more"), ONE_NAME]).await;
    let stranger = Client::of_new_user(&elsewhere, Pair::JWT_BEARER, "ada").await;
    let by_cookie = Client::signed_in(&server, Pair::SESSION_COOKIE, "ada").await;
    let mut jwt = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    let jwt_by_cookie = Client::signed_in(&server, Pair::JWT_COOKIE, "ada").await;
    let mut session = Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await;
    let token = jwt.credential();
    let (message, signature) = token.rsplit_once('.').expect("a signature");
    let replaced = session.credential();
    session.refresh().await.ok();
    let renewed = jwt.renewal();
    jwt.refresh().await.ok();
    server.clock.advance(30 * SECOND);

    for bad in [
        "nothing",
        " ",
        "eyJ",
        "dus_",
        OpaqueToken::generate("dus_").reveal(),
        &service.secret,
        &stranger.credential(),
        &format!("{message}."),
        &format!("{message}.{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]),
        &format!("{token} "),
        &format!("Bearer {token}"),
        // A refresh token is for this service alone.
        &renewed,
        &jwt.renewal(),
        &jwt_by_cookie.renewal(),
        // A session's cookie is no token, nor is what it carries.
        &by_cookie.credential(),
        &handle_in_cookie(&by_cookie),
        // Another has taken its place, and its grace is over.
        &replaced,
        by_cookie.csrf_token.as_deref().expect("a CSRF token"),
    ] {
        assert_eq!(service.is_told(&server, bad).await, inactive(), "{bad}");
    }
    // They were none the worse for it.
    for client in [by_cookie, jwt, jwt_by_cookie, session] {
        client.assert_goes_on().await;
    }
}

#[tokio::test]
async fn a_token_that_ended_or_ran_out_is_not_active() {
    let (server, service) = stage(&[]).await;
    for pair in [Pair::SESSION_BEARER, Pair::JWT_BEARER, Pair::JWT_COOKIE] {
        let mut client = Client::signed_in(&server, pair, "ada").await;
        let left = Client::signed_in(&server, pair, "ada").await;
        for client in [&client, &left] {
            assert_eq!(service.is_told(&server, &client.credential()).await["active"], true);
        }
        let token = client.credential();
        client.logout().await.expect(204);
        assert_eq!(service.is_told(&server, &token).await, inactive(), "{pair:?}");

        let life = if pair.mode == Mode::Session { 30 * MINUTE } else { 15 * MINUTE };
        server.clock.advance(life - SECOND);
        assert_eq!(service.is_told(&server, &left.credential()).await["active"], true, "{pair:?}");
        server.clock.advance(life);
        assert_eq!(service.is_told(&server, &left.credential()).await, inactive(), "{pair:?}");
    }
}

#[tokio::test]
async fn a_token_with_roles_that_changed_is_not_active_and_a_session_has_the_new_ones() {
    let (server, service) = stage(&[]).await;
    let session = Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await;
    let mut jwt = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    for client in [&session, &jwt] {
        assert_eq!(service.is_told(&server, &client.credential()).await["roles"], json!(["user"]));
    }
    crate::nodes::sql(&server, "update users set roles = '{user,editor}'").await;
    crate::support::eventually("the new roles", async || {
        service.is_told(&server, &session.credential()).await["roles"] == json!(["user", "editor"])
    })
    .await;
    assert_eq!(service.is_told(&server, &jwt.credential()).await, inactive());
    jwt.refresh().await.ok();
    assert_eq!(service.is_told(&server, &jwt.credential()).await["roles"], json!(["user", "editor"]));
}

#[tokio::test]
async fn a_token_that_ended_on_one_node_is_not_active_on_the_other() {
    let (server, node) = crate::nodes::two_nodes(&[]).await;
    server.user("ada").await;
    let service = Service::registered(&server).await;
    for pair in [Pair::SESSION_BEARER, Pair::JWT_BEARER, Pair::JWT_COOKIE] {
        let client = Client::signed_in(&server, pair, "ada").await;
        assert_eq!(service.is_told(&node, &client.credential()).await["active"], true);
        client.clone().logout().await.expect(204);
        crate::nodes::assert_refused_in_time(&client.at(&node), std::time::Instant::now()).await;
        for node in [&node, &server] {
            assert_eq!(service.is_told(node, &client.credential()).await, inactive(), "{pair:?}");
        }
    }
}

#[tokio::test]
async fn a_token_is_told_of_without_sql() {
    let (server, proxy) = TestServer::behind_a_proxy(&[GENEROUS]).await;
    server.user("ada").await;
    let service = Service::registered(&server).await;
    for (pair, first) in [(Pair::JWT_BEARER, 0), (Pair::JWT_COOKIE, 0), (Pair::SESSION_BEARER, 1)] {
        service.is_told(&server, "nothing").await;
        let client = Client::signed_in(&server, pair, "ada").await;
        let cost = async || {
            proxy.take_statements();
            assert_eq!(service.is_told(&server, &client.credential()).await["active"], true);
            proxy.take_statements().of_requests().into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let statements = cost().await;
        assert_eq!(statements.len(), first, "{pair:?}: {statements:#?}");
        for _ in 0..50 {
            assert_eq!(cost().await, Vec::<String>::new(), "{pair:?}");
        }
    }
}

#[tokio::test]
async fn a_hint_changes_nothing() {
    let (server, service) = stage(&[]).await;
    for pair in [Pair::SESSION_BEARER, Pair::JWT_BEARER] {
        let client = Client::signed_in(&server, pair, "ada").await;
        for hint in ["access_token", "refresh_token", "session", "urn:x", ""] {
            let form = [("token", client.credential()), ("token_type_hint", hint.to_owned())];
            let form = form.each_ref().map(|(name, value)| (*name, value.as_str()));
            let request = Request::post(INTROSPECT).basic(&service.id, &service.secret).form(&form);
            assert_eq!(server.send(request).await.ok()["active"], true, "{hint}");
        }
    }
}
