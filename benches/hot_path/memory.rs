//! What a cached session weighs: a node's memory before and after it has seen many.

use std::iter::repeat_n;

use dualauth::tokens::OpaqueToken;
use sqlx::PgConnection;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::client::{Client, bearer, get};
use crate::cpu;
use crate::database::Database;
use crate::roles::Role;
use crate::server::Server;

/// What every user's name begins with.
const USERNAMES: &str = "somebody_";

/// Requests until a node's buffers and pools are as large as they get.
const WARM_UP: usize = 20_000;

/// No session is noted as seen again while it is measured: that would be writing to Postgres.
const SETTINGS: [(&str, &str); 2] = [("SESSION_LOOKUP", "cached"), ("LAST_SEEN_INTERVAL", "15m")];

pub(crate) fn measure(database: &Database, runtime: &Runtime, sessions: usize) -> anyhow::Result<String> {
    let server = Server::start(Role::Node, &database.url, &SETTINGS)?;
    let tokens: Vec<OpaqueToken> = (0..=sessions).map(|_| OpaqueToken::generate("dus_")).collect();
    runtime.block_on(async { insert(&mut database.connect().await?, &tokens).await })?;
    let requests: Vec<Vec<u8>> =
        tokens.iter().map(|token| get("/session/profile", &bearer(token.reveal()))).collect();
    let mut client = Client::connect(server.address)?;
    let mut requests = requests.iter().map(Vec::as_slice);
    for first in requests.by_ref().take(1) {
        client.send(repeat_n(first, WARM_UP), USERNAMES)?;
    }
    let before = cpu::resident(server.pid())?;
    client.send(requests, USERNAMES)?;
    let after = cpu::resident(server.pid())?;
    let each = (f64::from(after) - f64::from(before)) * 1024.0 / sessions as f64;
    Ok(format!("{sessions} sessions: {before} KiB before, {after} KiB after, {each:.0} bytes each"))
}

/// A session for each token, each of a user of its own.
async fn insert(connection: &mut PgConnection, tokens: &[OpaqueToken]) -> anyhow::Result<()> {
    let ids: Vec<Uuid> = tokens.iter().map(|_| Uuid::now_v7()).collect();
    let hashes: Vec<Vec<u8>> = tokens.iter().map(|token| token.hash().to_vec()).collect();
    sqlx::query(
        "insert into users (id, username, email, password_hash, roles, created_at)
         select id, $2 || number, $2 || number || '@example.com', '-', '{user}', now()
         from unnest($1::uuid[]) with ordinality as new (id, number)",
    )
    .bind(&ids)
    .bind(USERNAMES)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "insert into logins (id, user_id, mode, transport, remember_me, address, user_agent, created_at,
             last_seen_at, idle_expires_at, expires_at, renewed_at, handle_hash, sweep_at)
         select id, id, 'session', 'bearer', false, '127.0.0.1', 'hot_path', now(),
             now(), now() + interval '30 minutes', now() + interval '1 day', now(), hash, now() + interval '30 minutes'
         from unnest($1::uuid[], $2::bytea[]) as new (id, hash)",
    )
    .bind(&ids)
    .bind(&hashes)
    .execute(&mut *connection)
    .await?;
    sqlx::raw_sql("analyze users, logins").execute(&mut *connection).await?;
    Ok(())
}
