//! A user is renamed by SQL, and somebody else takes the name.

use std::time::Instant;

use super::{BOUND, PAIRS, assert_accepted, sql, two_nodes};
use crate::support::{
    client::{Client, Mode},
    eventually, text,
};

#[tokio::test]
async fn nobody_goes_by_a_name_that_somebody_else_has_now() {
    let (server, elsewhere) = two_nodes(&[]).await;
    server.user("ada").await;
    let mut clients = Vec::new();
    for pair in PAIRS {
        let client = Client::signed_in(&server, pair, "ada").await;
        assert_accepted(&client).await;
        assert_accepted(&client.at(&elsewhere)).await;
        clients.push(client);
    }

    sql(&server, "update users set username = 'grace', email = 'grace@example.org'").await;
    let renamed = Instant::now();
    server.user("ada").await;

    for client in &clients {
        for node in [&server, &elsewhere] {
            let there = client.at(node);
            eventually("an answer that knows the name", async || {
                let asked = Instant::now();
                let response = there.get("/verify").await;
                let name = response.header("x-auth-username").map(str::to_owned);
                assert!(name.as_deref() != Some("ada") || asked <= renamed + BOUND, "{response}");
                match client.pair.mode {
                    Mode::Session => name.as_deref() == Some("grace"),
                    Mode::Jwt => response.status == 401,
                }
            })
            .await;
        }
        if client.pair.mode == Mode::Jwt {
            client.profile().await.problem(401, "token_revoked");
            let mut client = client.clone();
            let body = client.refresh().await.ok();
            assert_eq!(text(&body["user"]["username"]), "grace");
            assert_accepted(&client.at(&elsewhere)).await;
        }
    }
}
