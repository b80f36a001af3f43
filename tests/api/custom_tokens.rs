//! Tokens that a registered client defines for itself: how they are made, who redeems them, how often, and until when.

mod callers;
mod creation;
mod ends;
mod races;
mod redemption;

use serde_json::{Value, json};

use crate::oauth::Service;
use crate::support::{
    http::{Request, Response},
    server::TestServer,
    text, with,
};

const CREATE: &str = "/tokens";
const REDEEM: &str = "/tokens/redeem";

/// What makes a token of one use.
fn invitation() -> Value {
    json!({ "purpose": "invitation", "expires_in": 3_600 })
}

/// The same for somebody.
fn invitation_of(user_id: &str) -> Value {
    with(invitation(), "user_id", user_id)
}

/// A token, as its maker was told of it.
#[derive(Clone)]
struct Token {
    id: String,
    token: String,
    expires_at: String,
}

impl Service {
    fn creation(&self, body: &Value) -> Request {
        Request::post(CREATE).basic(&self.id, &self.secret).json(body)
    }

    fn redemption(&self, token: &str, purpose: &str) -> Request {
        let body = json!({ "token": token, "purpose": purpose });
        Request::post(REDEEM).basic(&self.id, &self.secret).json(&body)
    }

    fn deletion(&self, id: &str) -> Request {
        Request::new("DELETE", &format!("{CREATE}/{id}")).basic(&self.id, &self.secret)
    }

    /// Has a token made.
    async fn creates(&self, server: &TestServer, body: &Value) -> Token {
        let made = server.send(self.creation(body)).await.expect(201).not_stored().json();
        let member = |name: &str| text(&made[name]).to_owned();
        Token { id: member("id"), token: member("token"), expires_at: member("expires_at") }
    }

    async fn redeems(&self, server: &TestServer, token: &Token) -> Response {
        server.send(self.redemption(&token.token, "invitation")).await.not_stored()
    }
}

/// A server, and a service that is registered there.
async fn stage() -> (TestServer, Service) {
    let server = TestServer::start().await;
    let service = Service::registered(&server).await;
    (server, service)
}

async fn rows(server: &TestServer) -> Vec<String> {
    let mut connection = server.sql().await;
    let query = sqlx::query_scalar("select to_jsonb(t)::text from custom_tokens t order by id");
    query.fetch_all(&mut connection).await.expect("the tokens")
}
