//! Queries on clients. A trigger notifies all nodes of every change (`migrations/0008_clients.sql`).

use std::collections::HashMap;

use uuid::Uuid;

use crate::database::{ConnectionPool, DatabaseError, answer};

use super::{ClientSecretHash, RegisteredClient};

pub(super) async fn insert(
    pool: &ConnectionPool,
    client: &RegisteredClient,
    hash: &ClientSecretHash,
) -> Result<(), DatabaseError> {
    let insert = sqlx::query!(
        "insert into dualauth.clients (id, name, secret_hash, created_at) values ($1, $2, $3, $4)",
        client.id,
        client.name,
        hash.as_slice(),
        client.created_at,
    );
    answer(insert.execute(pool)).await.map(drop)
}

pub(super) async fn list(pool: &ConnectionPool) -> Result<Vec<RegisteredClient>, DatabaseError> {
    let query = sqlx::query_as!(
        RegisteredClient,
        "select id, name, created_at from dualauth.clients order by created_at, id"
    );
    answer(query.fetch_all(pool)).await
}

/// Deletes a client. `false` when there is none.
pub(super) async fn delete(pool: &ConnectionPool, id: Uuid) -> Result<bool, DatabaseError> {
    let delete = sqlx::query!("delete from dualauth.clients where id = $1", id);
    Ok(answer(delete.execute(pool)).await?.rows_affected() == 1)
}

/// The secret hashes of all clients. One with a wrong length never matches.
pub(super) async fn secret_hashes(
    pool: &ConnectionPool,
) -> Result<HashMap<Uuid, ClientSecretHash>, DatabaseError> {
    let query = sqlx::query!("select id, secret_hash from dualauth.clients");
    let rows = answer(query.fetch_all(pool)).await?.into_iter();
    Ok(rows.filter_map(|row| Some((row.id, row.secret_hash.try_into().ok()?))).collect())
}
