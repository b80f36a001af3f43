//! What is kept of second factors, and what becomes of it when `APP_SECRET` changes.

use super::{Authenticator, first_step, second_step, two_step_user};
use crate::support::{
    client::{Client, Pair},
    eventually,
    http::Request,
    server::{APP_SECRET, ONE_NAME, TestServer},
};

const OTHER: &str = "another secret, of 32 bytes and more too";

/// What the database has of authenticators' secrets.
async fn sealed(server: &TestServer) -> Vec<Vec<u8>> {
    let query = sqlx::query_scalar("select secret from totp order by id");
    query.fetch_all(&mut server.sql().await).await.expect("secrets")
}

async fn assert_signs_in(server: &TestServer, name: &str, authenticator: &Authenticator) {
    let body = second_step(&first_step(server, name).await, &authenticator.next_code(server));
    server.send(Request::post("/jwt/login").json(&body)).await.expect(200);
}

#[tokio::test]
async fn secrets_are_sealed_anew_at_the_start_and_at_use_when_the_secret_changes() {
    let mut server = TestServer::with(&[ONE_NAME]).await;
    let (_, ada) = two_step_user(&server, "ada").await;
    let (_, bea) = two_step_user(&server, "bea").await;
    let before = sealed(&server).await;
    let node = server.another_node_with(&[("APP_SECRET", OTHER), ("APP_SECRET_PREVIOUS", APP_SECRET)]).await;
    let after = sealed(&node).await;
    for (before, after) in before.iter().zip(&after) {
        assert_ne!(before, after, "sealed anew at the start");
    }
    // As a node does that has the old secret alone, and goes on for now.
    sqlx::query("update totp set secret = $1 where id = $2::text::uuid")
        .bind(&before[0])
        .bind(&ada.id)
        .execute(&mut server.sql().await)
        .await
        .expect("the secret of before");
    server.stop().await;
    assert_signs_in(&node, "ada", &ada).await;
    let at_use = sealed(&node).await;
    assert!(at_use[0] != before[0] && at_use[1] == after[1], "sealed anew at use");

    let last = node.another_node_with(&[("APP_SECRET", OTHER), ("APP_SECRET_PREVIOUS", "")]).await;
    assert_signs_in(&last, "ada", &ada).await;
    assert_signs_in(&last, "bea", &bea).await;
    assert_eq!(sealed(&last).await, at_use, "there is nothing to be done any more");
}

#[tokio::test]
async fn authenticators_outlive_the_secret_that_was_made() {
    let mut server = TestServer::with(&[ONE_NAME, ("APP_SECRET", "")]).await;
    let (_, ada) = two_step_user(&server, "ada").await;
    server.stop().await;
    let node = server.another_node_with(&[("APP_SECRET", OTHER)]).await;
    assert_signs_in(&node, "ada", &ada).await;
}

#[tokio::test]
async fn neither_secrets_nor_recovery_codes_are_kept_as_they_are() {
    let mut server = TestServer::start().await;
    let (client, ada) = two_step_user(&server, "ada").await;
    let body = second_step(&first_step(&server, "ada").await, &ada.recovery_codes[0]);
    server.send(Request::post("/jwt/login").json(&body)).await.expect(200);
    for path in ["/account/factors", "/account/logins", "/profile", "/account"] {
        let shown = client.get(path).await.expect(200).text();
        assert!(ada.recovery_codes.iter().all(|code| !shown.contains(code)), "{path}");
    }
    // A node that stops has written everything.
    server.stop().await;
    let mut database = server.sql().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class where relnamespace = 'dualauth'::regnamespace and relkind = 'r'",
    )
    .fetch_all(&mut database)
    .await
    .expect("tables");
    assert!(tables.contains(&"recovery_codes".to_owned()), "{tables:?}");
    let secret = ada.secret.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for table in tables {
        let rows = sqlx::AssertSqlSafe(format!("select t::text from {table} t"));
        let rows: Vec<String> = sqlx::query_scalar(rows).fetch_all(&mut database).await.expect("rows");
        for row in rows {
            assert!(!row.contains(&secret), "{table}: {row}");
            for code in &ada.recovery_codes {
                let bytes = code.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
                assert!(!row.contains(code) && !row.contains(&bytes), "{table}: {row}");
            }
        }
    }
}

/// The list says what was used, on the node that was not asked as well.
#[tokio::test]
async fn a_use_shows_in_the_list_on_each_node() {
    let server = TestServer::with(&[ONE_NAME]).await;
    let another = server.another_node().await;
    let (client, ada) = two_step_user(&server, "ada").await;
    assert_signs_in(&another, "ada", &ada).await;
    let client: Client = client.at(&another);
    assert_eq!(client.pair, Pair::SESSION_BEARER);
    eventually("the last use", async || {
        !client.get("/account/factors").await.ok()["totp"]["last_used_at"].is_null()
    })
    .await;
}
