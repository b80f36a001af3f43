//! What was deleted in Postgres, by whomever: nothing of it is served on.

use crate::support::{
    client::{Client, Mode, Pair},
    eventually,
    server::{ONE_NAME, TestServer},
};

promises! { of every pair:
    a_deleted_users_logins_are_dead,
    a_deleted_login_is_dead,
}

/// What a credential is refused with when its login is gone without a trace.
fn refusals(pair: Pair) -> (&'static str, &'static str) {
    match pair {
        Pair::SESSION_COOKIE => ("session_expired", "session_expired"),
        Pair::SESSION_BEARER => ("invalid_token", "invalid_token"),
        _ => ("token_revoked", "token_expired"),
    }
}

async fn assert_dead(client: &Client) {
    let (credential, renewal) = refusals(client.pair);
    eventually("a refusal", async || client.profile().await.status == 401).await;
    for path in [&client.path("profile"), "/profile", "/verify", "/account", "/account/logins"] {
        client.get(path).await.problem(401, credential);
    }
    client.clone().refresh().await.problem(401, renewal);
}

async fn execute(server: &TestServer, sql: &'static str, id: &str) {
    let id: uuid::Uuid = id.parse().expect("an id");
    let changed = sqlx::query(sql).bind(id).execute(&mut server.sql().await).await.expect("a change");
    assert_eq!(changed.rows_affected(), 1);
}

async fn a_deleted_users_logins_are_dead(pair: Pair) {
    let server = TestServer::with(&[ONE_NAME]).await;
    let node = server.another_node().await;
    let id = server.user("ada").await;
    let client = Client::signed_in(&server, pair, "ada").await;
    let living = Client::of_new_user(&server, pair, "grace").await;
    for server in [&server, &node] {
        client.at(server).profile().await.ok();
    }
    if pair.mode == Mode::Session {
        let value = client.request("PUT", "/session/data/theme").json(&serde_json::json!("dark"));
        server.send(value).await.expect(204);
    }

    execute(&server, "delete from users where id = $1", &id).await;

    for server in [&server, &node] {
        assert_dead(&client.at(server)).await;
        living.at(server).profile().await.ok();
    }
    let again = Client::new(&server, pair).login(&pair.credentials("ada")).await;
    again.problem(401, "invalid_credentials");
}

async fn a_deleted_login_is_dead(pair: Pair) {
    let server = TestServer::with(&[ONE_NAME]).await;
    let node = server.another_node().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let living = Client::signed_in(&server, pair, "ada").await;
    for server in [&server, &node] {
        client.at(server).profile().await.ok();
    }

    execute(&server, "delete from logins where id = $1", &client.login_id().await).await;

    for server in [&server, &node] {
        assert_dead(&client.at(server)).await;
    }
    living.assert_goes_on().await;
}

#[tokio::test]
async fn a_login_that_was_ended_by_hand_is_dead() {
    let server = TestServer::with(&[ONE_NAME]).await;
    let node = server.another_node().await;
    server.user("ada").await;
    for client in Client::in_every_way(&server, "ada").await {
        client.at(&node).profile().await.ok();

        execute(&server, "update logins set ended_at = now() where id = $1", &client.login_id().await).await;

        for server in [&server, &node] {
            let client = client.at(server);
            eventually("a refusal", async || client.profile().await.status == 401).await;
            client.assert_refused(client.pair.mode.ended()).await;
        }
    }
}
