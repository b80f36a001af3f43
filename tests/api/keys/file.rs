//! Keys that are kept elsewhere.

use aws_lc_rs::signature::Ed25519KeyPair;
use dualauth::{
    audit::Actor,
    jwt::{KeyState, KeysError},
};
use pem::Pem;

use super::{algorithm, kid, list, operator, published_kids, the};
use crate::support::{
    SECOND,
    client::{Client, Pair},
    program::{folder, program, run, text},
    server::{CHEAP, ONE_NAME, TestServer},
    signer::KeyFile,
};

fn new_key() -> String {
    let pair = Ed25519KeyPair::generate().expect("a pair of keys");
    pem::encode(&Pem::new("PRIVATE KEY", pair.to_pkcs8v1().expect("PKCS #8").as_ref()))
}

const EDDSA: (&str, &str) = ("JWT_ALGORITHM", "EdDSA");

async fn private_halves(server: &TestServer) -> i64 {
    sqlx::query_scalar("select count(*) from signing_keys where private_key is not null")
        .fetch_one(&mut server.sql().await)
        .await
        .expect("a number")
}

#[tokio::test]
async fn a_key_of_a_file_signs_and_its_private_half_stays_there() {
    let file = KeyFile::of(&[&new_key(), &new_key()]);
    let server = TestServer::with(&[ONE_NAME, EDDSA, file.setting()]).await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    client.profile().await.ok();
    let operator = operator(&server);
    assert_eq!(kid(&client), the(&operator, KeyState::Active).await.kid);
    assert_eq!(published_kids(&server).await.len(), 2, "the second is published ahead");
    assert_eq!(private_halves(&server).await, 0);
    let rotation = operator.rotate(None, &Actor::OPERATOR).await.expect_err("it is not in the database");
    assert!(matches!(rotation, KeysError::FromFile), "{rotation}");
}

#[tokio::test]
async fn a_file_takes_the_place_of_another_and_of_the_database_node_by_node() {
    let (one, two) = (new_key(), new_key());
    let files = [KeyFile::of(&[&one, &two]), KeyFile::of(&[&two])];
    let mut server = TestServer::with(&[ONE_NAME]).await;
    server.user("ada").await;
    let mut clients = vec![Client::signed_in(&server, Pair::JWT_BEARER, "ada").await];
    let none = ("JWT_KEY_FILE", "");
    let steps = [
        [EDDSA, files[0].setting()],
        [EDDSA, files[1].setting()],
        [EDDSA, none],
        [("JWT_ALGORITHM", ""), none],
    ];
    for settings in steps {
        server.clock.advance(SECOND);
        let node = server.another_node_with(&settings).await;
        // Both are up for a while, and both sign.
        for signing in [&server, &node] {
            clients.push(Client::signed_in(signing, Pair::JWT_BEARER, "ada").await);
        }
        for client in &clients {
            for server in [&server, &node] {
                client.at(server).profile().await.ok();
            }
        }
        server.stop().await;
        server = node;
    }
    let kids: std::collections::BTreeSet<String> = clients.iter().map(kid).collect();
    assert_eq!(kids.len(), 5, "the database's, the files', and the database's again, twice");
    assert_eq!(algorithm(clients.last().expect("a client")), "HS256");
    assert!(list(&operator(&server)).await.len() > 5);
}

#[tokio::test]
async fn a_symmetric_key_of_a_file_signs_what_nodes_without_the_file_accept() {
    let file = KeyFile::of(&["a key of thirty-two bytes, and more\n"]);
    let server = TestServer::with(&[ONE_NAME, file.setting()]).await;
    let node = server.another_node_with(&[EDDSA, ("JWT_KEY_FILE", "")]).await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    assert_eq!(algorithm(&client), "HS256");
    client.at(&node).profile().await.ok();
}

#[tokio::test]
async fn a_file_without_a_key_for_the_algorithm_keeps_the_service_from_starting() {
    let server = TestServer::start().await;
    let url = server.database_url().as_str();
    let folder = folder();
    let (pem, bytes) = (KeyFile::of(&[&new_key()]), KeyFile::of(&["too short"]));
    for settings in [
        &[pem.setting()][..],
        &[pem.setting(), ("JWT_ALGORITHM", "RS256")],
        &[bytes.setting()],
        &[bytes.setting(), EDDSA],
        &[("JWT_KEY_FILE", "/nowhere/at/all")],
        &[pem.setting(), EDDSA, ("KEY_ROTATION", "30d")],
    ] {
        let own = [CHEAP, &[("DATABASE_URL", url)], settings].concat();
        let output = run(program(&folder, &own), "").await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("JWT_KEY_FILE") && !told.contains("too short"), "{told}");
    }
    std::fs::remove_dir(&folder).expect("an empty folder");
}
