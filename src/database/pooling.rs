//! Whose the backends behind a way to the database are: found out by asking.

use std::time::Duration;

use sqlx::Error;
use tokio::time::timeout;

use super::OpenError;
use super::connection::{DatabaseConnection, Pooling, StatementLimits};
use super::endpoints::{Servers, is_full};

/// How many connections are compared at most. A pooler may be several processes behind one address, each with backends of
/// its own.
const CONNECTIONS: usize = 4;

/// Questions that are answered at once.
const QUESTIONS: StatementLimits = StatementLimits { statement: "5s", lock: "2s", settings: &[] };

/// How long one waits for a further connection. A pooler that has no backend left lets wait instead of refusing.
const PATIENCE: Duration = Duration::from_secs(1);

/// What pgbouncer says to a transaction in statement mode.
const NO_TRANSACTIONS: &str = "statement pooling";

/// Asks over several connections at once. Two that have one backend, or one that has two, share them with others.
pub(super) async fn find_out(servers: &Servers) -> Result<Pooling, OpenError> {
    let mut connections: Vec<DatabaseConnection> = Vec::new();
    while connections.len() < CONNECTIONS {
        let connecting = connect(servers);
        let mut connection = match connections.is_empty() {
            true => connecting.await?,
            // Those that there are have to do when no other one is granted.
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
        // They were there for this alone.
        let _ = connection.close().await;
    }
    Ok(Pooling::Session)
}

/// As if backends were shared: nothing is left behind on one.
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
