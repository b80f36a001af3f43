//! The settings that trade one promise for another: the textbook variants of both modes, and what a node does that
//! can't know better.

use crate::support::{
    MINUTE, SECOND,
    client::{Client, Pair},
    eventually,
    server::{ONE_NAME, TestServer},
    time,
};

const ALWAYS: (&str, &str) = ("SESSION_LOOKUP", "always");
const OFF: (&str, &str) = ("JWT_REVOCATION", "off");
const SESSIONS: [Pair; 2] = [Pair::SESSION_COOKIE, Pair::SESSION_BEARER];
const JWTS: [Pair; 2] = [Pair::JWT_COOKIE, Pair::JWT_BEARER];

async fn give_roles(server: &TestServer, roles: &str) {
    sqlx::query("update users set roles = $1::text::text[]")
        .bind(roles)
        .execute(&mut server.sql().await)
        .await
        .expect("other roles");
}

#[tokio::test]
async fn a_session_that_is_always_looked_up_dies_at_once_on_every_node() {
    let server = TestServer::with(&[ONE_NAME, ALWAYS]).await;
    let node = server.another_node().await;
    server.user("ada").await;
    for pair in SESSIONS {
        let mut client = Client::signed_in(&server, pair, "ada").await;
        let before = client.clone();
        for node in [&server, &node] {
            before.at(node).profile().await.ok();
        }

        client.logout().await.expect(204);

        before.at(&node).assert_refused("session_expired").await;
        before.assert_refused("session_expired").await;
    }
}

#[tokio::test]
async fn a_session_that_is_always_looked_up_shows_other_roles_at_once() {
    let server = TestServer::with(&[ALWAYS]).await;
    server.user("ada").await;
    for pair in SESSIONS {
        let client = Client::signed_in(&server, pair, "ada").await;
        for roles in ["{user,editor}", "{user}"] {
            client.profile().await.ok();
            give_roles(&server, roles).await;
            let shown = client.profile().await.ok()["roles"].to_string();
            assert_eq!(shown.replace('"', ""), roles.replace('{', "[").replace('}', "]"));
        }
    }
}

#[tokio::test]
async fn a_session_that_is_always_looked_up_lives_on_while_it_is_used() {
    let server = TestServer::with(&[ALWAYS, ("LAST_SEEN_INTERVAL", "1h")]).await;
    server.user("ada").await;
    for pair in SESSIONS {
        let client = Client::signed_in(&server, pair, "ada").await;
        for _ in 0..6 {
            server.clock.advance(25 * MINUTE);
            let end = time(&client.profile().await.ok()["auth"]["expires_at"]);
            assert_eq!(end, server.clock.now() + 30 * MINUTE);
        }
        server.clock.advance(30 * MINUTE);
        client.profile().await.problem(401, "session_expired");
    }
}

#[tokio::test]
async fn an_access_token_that_can_not_be_revoked_lives_until_it_runs_out() {
    let server = TestServer::with(&[ONE_NAME, OFF]).await;
    let node = server.another_node().await;
    server.user("ada").await;
    for pair in JWTS {
        for everywhere in [false, true] {
            let client = Client::signed_in(&server, pair, "ada").await;
            let tail = if everywhere { "logout-all" } else { "logout" };
            server.send(client.request("POST", &client.path(tail))).await.expect(204);

            server.clock.advance(15 * MINUTE - SECOND);
            for node in [&server, &node] {
                for path in ["/jwt/profile", "/profile", "/verify"] {
                    client.at(node).get(path).await.expect(200);
                }
                client.at(node).refresh().await.problem(401, "token_revoked");
            }
            // Its login has ended all the same, and is not ended twice.
            let again = server.send(client.request("POST", "/jwt/logout")).await;
            let again = again.problem(401, "token_revoked");
            assert_eq!(again.set_cookies().is_empty(), !pair.by_cookie());

            server.clock.advance(SECOND);
            client.profile().await.problem(401, "token_expired");
        }
    }
}

#[tokio::test]
async fn an_access_token_that_can_not_be_revoked_keeps_its_roles_until_a_refresh() {
    let server = TestServer::with(&[OFF]).await;
    server.user("ada").await;
    for pair in JWTS {
        give_roles(&server, "{user}").await;
        let mut client = Client::signed_in(&server, pair, "ada").await;
        give_roles(&server, "{user,editor}").await;

        assert_eq!(client.profile().await.ok()["roles"], serde_json::json!(["user"]));
        client.refresh().await.ok();
        assert_eq!(client.profile().await.ok()["roles"], serde_json::json!(["user", "editor"]));
    }
}

#[tokio::test]
async fn sessions_die_where_access_tokens_can_not_be_revoked() {
    let server = TestServer::with(&[OFF]).await;
    server.user("ada").await;
    for pair in SESSIONS {
        let client = Client::signed_in(&server, pair, "ada").await;
        client.profile().await.ok();
        server.send(client.request("POST", "/session/logout")).await.expect(204);
        client.assert_refused("session_expired").await;
    }
}

#[tokio::test]
async fn a_node_that_remembers_one_session_serves_many() {
    let server = TestServer::with(&[ONE_NAME, ("SESSION_CACHE_SIZE", "1")]).await;
    let node = server.another_node().await;
    server.user("ada").await;
    let mut clients = Client::in_every_way(&server, "ada").await;
    clients.extend(Client::in_every_way(&server, "ada").await);
    for _ in 0..3 {
        for client in &clients {
            client.profile().await.ok();
            client.at(&node).profile().await.ok();
        }
    }
    let leaving = clients.split_off(4);

    for client in &leaving {
        client.clone().logout().await.expect(204);
        client.assert_refused(client.pair.mode.ended()).await;
    }
    for client in clients {
        client.assert_goes_on().await;
    }
}

#[tokio::test]
async fn a_node_that_may_not_serve_what_it_can_not_know_refuses_until_it_knows() {
    let (server, proxy) = TestServer::behind_a_proxy(&[("JWT_WHEN_STALE", "refuse")]).await;
    server.user("ada").await;
    let clients = Client::in_every_way(&server, "ada").await;

    proxy.go_away();
    for client in &clients {
        for path in [&client.path("profile"), "/profile", "/verify"] {
            eventually("a refusal", async || {
                let response = client.get(path).await;
                response.status != 200 && {
                    response.problem(503, "unavailable");
                    true
                }
            })
            .await;
        }
    }
    proxy.come_back();

    for client in clients {
        eventually("a profile", async || {
            let response = client.profile().await;
            response.status == 200 || {
                response.problem(503, "unavailable");
                false
            }
        })
        .await;
        client.assert_goes_on().await;
    }
}
