//! Registering services on the command line, while nodes answer them.

use std::sync::Arc;
use std::time::Instant;

use dualauth::crypto::sha256;
use sqlx::Connection;
use uuid::Uuid;

use super::{INTROSPECT, REVOKE, Service, inactive};
use crate::nodes::BOUND;
use crate::support::{
    cluster::Database,
    eventually,
    program::CommandLine,
    server::{ONE_NAME, TestServer},
};

/// Two nodes and the program on one database.
struct Stage {
    database: Arc<Database>,
    nodes: [TestServer; 2],
    commands: CommandLine,
}

impl Stage {
    async fn set() -> Self {
        let database = Arc::new(Database::migrated().await);
        let server = TestServer::on(database.clone(), &[ONE_NAME]).await;
        let node = server.another_node().await;
        let commands = CommandLine::on(&database);
        Self { database, nodes: [server, node], commands }
    }

    async fn creates(&self, name: &str) -> Service {
        let told = self.commands.does(&["client", "create", name]).await;
        let lines: Vec<_> = told.lines().collect();
        let [id, secret] = lines.as_slice() else { panic!("two lines were expected, not {told:?}") };
        Service {
            id: id.strip_prefix("client_id: ").expect("an id").to_owned(),
            secret: secret.strip_prefix("client_secret: ").expect("a secret").to_owned(),
        }
    }
}

#[tokio::test]
async fn a_service_is_known_on_every_node_as_soon_as_it_is_registered() {
    let stage = Stage::set().await;
    for number in 0..4 {
        let service = stage.creates("gateway").await;
        assert!(service.secret.starts_with("duc_"));
        // Nobody waits until the nodes know of it.
        for node in [number % 2, 1 - number % 2] {
            assert_eq!(service.is_told(&stage.nodes[node], "nothing").await, inactive());
        }
    }
}

#[tokio::test]
async fn a_service_that_was_deleted_is_refused_on_every_node() {
    let stage = Stage::set().await;
    let (service, other) = (stage.creates("gateway").await, stage.creates("gateway").await);
    for node in &stage.nodes {
        assert_eq!(service.is_told(node, "nothing").await, inactive());
    }

    let told = stage.commands.does(&["client", "delete", &service.id]).await;
    let acknowledged = Instant::now();

    assert!(told.contains(&service.id), "{told}");
    for node in &stage.nodes {
        eventually("a refusal", async || {
            let sent = Instant::now();
            let response = service.asks(node, "nothing").await;
            assert!(response.status != 200 || sent <= acknowledged + BOUND, "{response}");
            response.status == 401
        })
        .await;
        for path in [INTROSPECT, REVOKE] {
            let response = node.send(service.request(path, "nothing")).await;
            response.oauth_problem(401, "invalid_credentials");
        }
        assert_eq!(other.is_told(node, "nothing").await, inactive());
    }
}

#[tokio::test]
async fn the_list_tells_who_is_registered_and_no_secret() {
    let stage = Stage::set().await;
    assert_eq!(stage.commands.does(&["client", "list"]).await, "");
    let longest = "\u{1f4e6}".repeat(64);
    let (first, second) = (stage.creates("API gateway").await, stage.creates(&longest).await);

    let told = stage.commands.does(&["client", "list"]).await;

    let lines: Vec<Vec<&str>> = told.lines().map(|line| line.split('\t').collect()).collect();
    for (line, (service, name)) in lines.iter().zip([(&first, "API gateway"), (&second, &longest)]) {
        assert_eq!(line[..2], [&service.id, name]);
        assert!(line[2].ends_with('Z') && line.len() == 3, "{line:?}");
    }
    assert_eq!(lines.len(), 2);
    assert!(!told.contains("duc_"), "{told}");

    stage.commands.does(&["client", "delete", &first.id]).await;
    assert_eq!(stage.commands.does(&["client", "list"]).await.lines().count(), 1);
}

#[tokio::test]
async fn the_database_knows_a_hash_of_the_secret_only() {
    let stage = Stage::set().await;
    let service = stage.creates("gateway").await;
    let mut connection = stage.database.connect().await;
    let (row, hash): (String, Vec<u8>) = sqlx::query_as("select clients::text, secret_hash from clients")
        .fetch_one(&mut connection)
        .await
        .expect("a client");
    connection.close().await.expect("a connection that can be closed");
    assert_eq!(hash, sha256(service.secret.as_bytes()));
    assert!(!row.contains("duc_"), "{row}");
}

#[tokio::test]
async fn what_is_no_name_or_no_client_is_said() {
    let stage = Stage::set().await;
    for name in ["", " ", " gateway", "gateway ", "a\nb", "a\tb", "a\u{202e}b", &"x".repeat(65)] {
        let told = stage.commands.refuses(&["client", "create", name]).await;
        assert!(told.contains("name") && told.contains("64"), "{told}");
    }
    let nobody = Uuid::now_v7().to_string();
    for id in [nobody.as_str(), "gateway", ""] {
        let told = stage.commands.refuses(&["client", "delete", id]).await;
        assert!(told.contains("no client") && told.contains(id), "{told}");
    }
    let service = stage.creates("gateway").await;
    stage.commands.does(&["client", "delete", &service.id]).await;
    stage.commands.refuses(&["client", "delete", &service.id]).await;
    assert_eq!(stage.commands.does(&["client", "list"]).await, "");
}
