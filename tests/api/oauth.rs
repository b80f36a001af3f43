//! What other services may rely on: who may ask, what they are told of a token, and what they can end.

mod callers;
mod forms;
mod introspection;
mod metadata;
mod outages;
mod registration;
mod revocation;

use dualauth::tokens::OpaqueToken;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::support::{
    client::Client,
    http::{Request, Response},
    server::TestServer,
};

const INTROSPECT: &str = "/jwt/introspect";
const REVOKE: &str = "/jwt/revoke";
pub const FEED: &str = "/jwt/feed";

/// A service that is registered.
#[derive(Clone)]
pub struct Service {
    pub id: String,
    pub secret: String,
}

impl Service {
    /// Registered past every node, which are not told but by the database.
    pub async fn registered(server: &TestServer) -> Self {
        Self::registered_in(server.sql().await).await
    }

    pub async fn registered_in(mut database: PgConnection) -> Self {
        let (id, secret) = (Uuid::now_v7(), OpaqueToken::generate("duc_"));
        sqlx::query(
            "insert into clients (id, name, secret_hash, created_at) values ($1, 'gateway', $2, now())",
        )
        .bind(id)
        .bind(secret.hash().as_slice())
        .execute(&mut database)
        .await
        .expect("a client");
        database.close().await.expect("a connection that can be closed");
        Self { id: id.to_string(), secret: secret.reveal().to_owned() }
    }

    /// The same, and no bell rings for it: a node finds out when it looks.
    async fn registered_in_silence(server: &TestServer) -> Self {
        crate::nodes::sql(server, "alter table revocations disable trigger revocations_ring").await;
        let service = Self::registered(server).await;
        crate::nodes::sql(server, "alter table revocations enable trigger revocations_ring").await;
        service
    }

    async fn is_deleted(&self, mut database: PgConnection) {
        let id: Uuid = self.id.parse().expect("an id");
        let delete = sqlx::query("delete from clients where id = $1").bind(id);
        delete.execute(&mut database).await.expect("no client");
        database.close().await.expect("a connection that can be closed");
    }

    fn request(&self, path: &str, token: &str) -> Request {
        Request::post(path).basic(&self.id, &self.secret).form(&[("token", token)])
    }

    async fn asks(&self, server: &TestServer, token: &str) -> Response {
        server.send(self.request(INTROSPECT, token)).await
    }

    /// What it is told of a token.
    async fn is_told(&self, server: &TestServer, token: &str) -> Value {
        self.asks(server, token).await.not_stored().ok()
    }

    async fn revokes(&self, server: &TestServer, token: &str) -> Response {
        server.send(self.request(REVOKE, token)).await
    }
}

/// All that is ever said of a token that is no good.
fn inactive() -> Value {
    json!({ "active": false })
}

/// A server, a service that may ask it, and nobody signed in.
async fn stage(settings: &[(&str, &str)]) -> (TestServer, Service) {
    let server = TestServer::with(settings).await;
    server.user("ada").await;
    let service = Service::registered(&server).await;
    (server, service)
}

/// The handle that a session's cookie carries under its signature.
fn handle_in_cookie(client: &Client) -> String {
    let value = client.credential();
    let at = value.find("dus_").expect("a handle");
    value[at..].to_owned()
}
