//! What is in an answer: each kind of revocation, once.

use dualauth::audit::Actor;
use serde_json::{Value, json};

use super::Follower;
use crate::keys::operator;
use crate::nodes::{GENEROUS, sql};
use crate::support::{
    PASSWORD, SECOND, assert_members,
    client::{Client, Pair},
    eventually,
    http::Request,
    server::{ONE_NAME, TestServer},
    time,
};

/// Asserts that an answer has nothing new.
fn assert_no_news(answer: &Value) {
    for (member, nothing) in
        [("anew", json!(false)), ("ended", json!([])), ("roles", json!([])), ("keys_changed", json!(false))]
    {
        assert_eq!(answer[member], nothing, "{answer}");
    }
}

#[tokio::test]
async fn the_first_answer_has_every_revocation_and_the_next_ones_what_is_new() {
    let server = TestServer::with(&[GENEROUS]).await;
    let ada = server.user("ada").await;
    let mut client = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    let login = client.login_id().await;
    client.logout().await.expect(204);
    sql(&server, "update users set roles = '{user,editor}'").await;

    let mut follower = Follower::of(&server).await;
    let first = follower.asks(&server).await;
    for (member, value) in [("anew", true), ("more", false), ("keys_changed", true)] {
        assert_eq!(first[member], value, "{first}");
    }
    assert!(first["age_ms"].as_u64().expect("a number") <= 60_000, "{first}");
    assert_eq!(follower.ended.keys().collect::<Vec<_>>(), [&login]);
    assert_members(&first["ended"][0], &["sid", "until"]);
    assert!(time(&first["ended"][0]["until"]) >= server.clock.now() + 10 * 60 * SECOND);
    assert_members(&first["roles"][0], &["sub", "username", "roles", "until"]);
    assert_eq!(follower.roles[&ada], json!(["user", "editor"]));
    assert_no_news(&follower.asks(&server).await);

    let mut another = Client::signed_in(&server, Pair::JWT_COOKIE, "ada").await;
    let login = another.login_id().await;
    another.logout().await.expect(204);
    let news = follower.asks(&server).await;
    assert_eq!(news["anew"], false);
    assert_eq!(news["ended"].as_array().map(Vec::len), Some(1), "{news}");
    assert_eq!(news["ended"][0]["sid"], login);
    assert_no_news(&follower.asks(&server).await);
}

#[tokio::test]
async fn whatever_ends_a_login_is_told_at_once() {
    let server = TestServer::with(&[GENEROUS]).await;
    let mut follower = Follower::up_to_date(&server).await;
    let password = json!({ "current_password": PASSWORD, "new_password": "a slow heron beneath the weir" });
    for (name, path, body, status) in [
        ("logout", "/jwt/logout", None, 204),
        ("everywhere", "/jwt/logout-all", None, 204),
        ("password", "/account/password", Some(password), 204),
    ] {
        let client = Client::of_new_user(&server, Pair::JWT_BEARER, name).await;
        let other = Client::signed_in(&server, Pair::JWT_COOKIE, name).await;
        let logins = [client.login_id().await, other.login_id().await];
        let request = client.request("POST", path);
        let request = if let Some(body) = &body { request.json(body) } else { request };
        server.send(request).await.expect(status);
        follower.asks(&server).await;
        let told = logins.map(|login| follower.ended.contains_key(&login));
        // A logout ends the one, a changed password the others.
        assert_eq!(told, [name != "password", name != "logout"], "{name}");
    }
}

#[tokio::test]
async fn what_is_done_past_the_server_is_told() {
    let server = TestServer::with(&[GENEROUS]).await;
    let mut follower = Follower::up_to_date(&server).await;
    for (name, change) in [
        (
            "ended",
            "update logins set ended_at = now() where user_id = (select id from users where username = 'ended')",
        ),
        ("disabled", "update users set disabled_at = now() where username = 'disabled'"),
        ("deleted", "delete from users where username = 'deleted'"),
    ] {
        let client = Client::of_new_user(&server, Pair::JWT_BEARER, name).await;
        let login = client.login_id().await;
        sql(&server, change).await;
        follower.hears_of(&server, &login).await;
    }
}

/// Each change of a user's roles is told, also to who was told of another one: the first is back in the end.
#[tokio::test]
async fn changed_roles_and_names_are_told_as_they_are_now() {
    let server = TestServer::with(&[GENEROUS]).await;
    let ada = server.user("ada").await;
    let client = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    let mut follower = Follower::up_to_date(&server).await;
    for roles in [json!(["admin", "user"]), json!(["user"])] {
        let set = roles.to_string().replace(['[', ']', '"'], "");
        sql(&server, &format!("update users set roles = '{{{set}}}'")).await;
        let answer = follower.waits(&server).await;
        assert_eq!(answer["roles"][0]["sub"], ada);
        assert_eq!(follower.roles[&ada], roles);
    }
    sql(&server, "update users set username = 'lovelace'").await;
    let answer = follower.waits(&server).await;
    assert_eq!(
        answer["roles"],
        json!([{
            "sub": ada, "username": "lovelace", "roles": ["user"], "until": answer["roles"][0]["until"],
        }])
    );
    assert_eq!(time(&answer["roles"][0]["until"]), server.clock.now() + 15 * 60 * SECOND);
    client.get("/jwt/profile").await.problem(401, "token_revoked");
}

/// Whoever was told by one node may ask another one, which does not know yet.
#[tokio::test]
async fn changed_keys_are_told_and_a_set_that_must_be_current_has_them_on_every_node() {
    let server = TestServer::with(&[GENEROUS, ONE_NAME, ("JWT_ALGORITHM", "EdDSA")]).await;
    let (behind, proxy) = server.another_node_behind_a_proxy(&[]).await;
    let set = Request::get("/.well-known/jwks.json");
    let current = Request::get("/.well-known/jwks.json?current=1795254300000");
    let old = behind.send(set.clone()).await.ok();
    let mut follower = Follower::up_to_date(&server).await;
    proxy.go_away();
    proxy.cut().await;

    operator(&server).rotate(None, &Actor::OPERATOR).await.expect("a rotation");
    let answer = follower.waits(&server).await;
    assert_eq!((&answer["anew"], &answer["keys_changed"]), (&json!(false), &json!(true)));
    assert_eq!(behind.send(set.clone()).await.ok(), old, "who only verifies is served in an outage");
    behind.send(current.clone()).await.problem(503, "unavailable");
    proxy.come_back();
    eventually("a node that is back", async || behind.send(current.clone()).await.status == 200).await;
    assert_eq!(behind.send(current).await.header("cache-control"), Some("no-store"));
    assert_eq!(behind.send(set.clone()).await.ok(), server.send(set).await.ok());
    assert_no_news(&follower.asks(&server).await);
}

/// The service's own requests cost Postgres nothing: a node answers from its memory.
#[tokio::test]
async fn a_request_runs_no_sql() {
    let (server, proxy) = TestServer::behind_a_proxy(&[GENEROUS]).await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let mut follower = Follower::up_to_date(&server).await;
    server.send(client.request("POST", "/jwt/logout")).await.expect(204);
    proxy.take_statements();
    for wait in ["0", "0.1"] {
        let response = server.send(follower.request(wait)).await;
        follower.learns(response);
    }
    assert_eq!(proxy.take_statements().of_requests(), Vec::<&str>::new());
}
