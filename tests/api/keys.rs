//! The keys that tokens are signed with: they change, on every node, and no good token is refused for it.

mod drill;
mod file;
mod rotation;
mod secret;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use dualauth::{
    audit::Trail,
    config::Config,
    crypto::AppSecret,
    database::{RequestAndBackgroundPools, UsualAndDirectRoutes},
    jwt::{KeyState, Keys, ListedKey},
};
use serde_json::Value;
use url::Url;

use crate::support::{
    client::Client,
    http::Request,
    server::{APP_SECRET, TestServer},
    text,
};

/// Connections of somebody's own to this Postgres.
fn pools(url: &Url) -> RequestAndBackgroundPools {
    RequestAndBackgroundPools::new(
        UsualAndDirectRoutes::direct_to(&url.as_str().into(), "test").expect("a URL of a Postgres"),
        10,
    )
}

/// What an operator has: the keys of a server's database, by the server's clock.
pub fn operator(server: &TestServer) -> Keys {
    operator_with(server, APP_SECRET)
}

fn operator_with(server: &TestServer, secret: &str) -> Keys {
    let config = Config::from_vars(|_| None).expect("the defaults");
    let secret = AppSecret::new(secret.as_bytes().to_vec()).expect("a long secret");
    let (pool, clock) = (pools(server.database_url()).upkeep, server.clock.clone());
    let trail = Trail::new(pool.clone(), clock.clone());
    Keys::new(&config, pool, &secret, clock, trail).expect("keys")
}

async fn list(keys: &Keys) -> Vec<ListedKey> {
    keys.list().await.expect("a list")
}

/// The one key in this state.
async fn the(keys: &Keys, state: KeyState) -> ListedKey {
    let mut found = list(keys).await;
    found.retain(|key| key.state == state);
    assert_eq!(found.len(), 1, "{state:?}: {found:?}");
    found.remove(0)
}

/// What the header of a token says.
fn header(token: &str) -> Value {
    let header = token.split('.').next().expect("a part");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).expect("base64url")).expect("JSON")
}

fn kid(client: &Client) -> String {
    text(&header(&client.credential())["kid"]).to_owned()
}

fn algorithm(client: &Client) -> String {
    text(&header(&client.credential())["alg"]).to_owned()
}

/// The keys that a server publishes.
async fn published(server: &TestServer) -> Vec<Value> {
    let set = server.send(Request::get("/.well-known/jwks.json")).await.ok();
    set["keys"].as_array().expect("a set").clone()
}

async fn published_kids(server: &TestServer) -> Vec<String> {
    published(server).await.iter().map(|key| text(&key["kid"]).to_owned()).collect()
}

/// Whole seconds later by the server's clock.
fn later(server: &TestServer, seconds: i64) -> DateTime<Utc> {
    server.clock.now() + chrono::Duration::seconds(seconds)
}
