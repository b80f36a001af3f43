//! Detects poolers: whether connections have dedicated backends.

use std::time::Duration;

use sqlx::Error;
use tokio::time::timeout;

use super::OpenError;
use super::pooler_safe_connection::{DatabaseConnection, Pooling, StatementLimits};
use super::usual_and_direct_routes::{Servers, is_full};

/// Maximum number of connections to compare. A pooler may consist of several processes behind one address, each with
/// its own backends.
const CONNECTIONS: usize = 4;

/// Limits for queries that return at once.
const QUESTIONS: StatementLimits = StatementLimits { statement: "5s", lock: "2s", settings: &[] };

/// Time limit for each further connection. A pooler without free backends makes clients wait instead of refusing
/// them.
const PATIENCE: Duration = Duration::from_secs(1);

/// Part of pgbouncer's error for transactions in statement mode.
const NO_TRANSACTIONS: &str = "statement pooling";

/// Compares the backends of concurrent transactions. If two connections have the same backend, or one connection gets
/// two, a pooler shares them (transaction mode).
pub(super) async fn detect(servers: &Servers) -> Result<Pooling, OpenError> {
    let mut connections: Vec<DatabaseConnection> = Vec::new();
    while connections.len() < CONNECTIONS {
        let connecting = connect(servers);
        let mut connection = match connections.is_empty() {
            true => connecting.await?,
            // Continue with fewer connections if no other is granted.
            false => match timeout(PATIENCE, connecting).await {
                Ok(Err(error)) if is_full(&error) => break,
                Err(_) => break,
                Ok(connection) => connection?,
            },
        };
        if !connection.backend().is_utf8 {
            return Err(OpenError::Encoding);
        }
        let first = connection.backend_pid();
        let again = backend_of_transaction(&mut connection).await?;
        if first != again || connections.iter().any(|other| other.backend_pid() == first) {
            return Ok(Pooling::Transaction);
        }
        connections.push(connection);
    }
    for connection in connections {
        // They served only this test.
        let _ = connection.close().await;
    }
    Ok(Pooling::Session)
}

/// Connects as if backends were shared, so that no session state is left on one.
async fn connect(servers: &Servers) -> Result<DatabaseConnection, Error> {
    servers.connect(Pooling::Transaction, &QUESTIONS).await
}

async fn backend_of_transaction(connection: &mut DatabaseConnection) -> Result<i32, OpenError> {
    connection.try_transaction().await.map_err(|error| {
        let message = error.as_database_error().map(|error| error.message().to_owned());
        match message.is_some_and(|message| message.contains(NO_TRANSACTIONS)) {
            true => OpenError::StatementPooling,
            false => OpenError::Connect(error),
        }
    })?;
    Ok(connection.backend_pid())
}
