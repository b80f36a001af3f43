//! Opens a database: connects, runs pending migrations, and checks the role's privileges.

use std::time::Duration;

use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use super::connection_string::UrlError;
use super::migrations::migrate;
use super::request_and_background_pools::RequestAndBackgroundPools;
use super::schema::SchemaError;
use super::usual_and_direct_routes::{DirectUrl, UsualAndDirectRoutes};
use super::{COMMAND, NODE, rights};

/// Time limit for the first connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a database can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Connecting or a statement failed.
    #[error("can't open the database: {0}")]
    Connect(#[from] sqlx::Error),
    /// The schema is not compatible, or migrating it failed.
    #[error("can't open the database: {0}")]
    Schema(#[from] SchemaError),
    /// The URL is invalid.
    #[error("can't open the database: {0}")]
    Url(#[from] UrlError),
    /// The encoding can't represent every name.
    #[error(
        "the database's encoding is not UTF-8 and can't represent every name: create one with ENCODING 'UTF8'"
    )]
    Encoding,
    /// The pooler uses statement mode, without transactions.
    #[error(
        "DATABASE_URL leads to a pooler in statement mode, which does not support transactions: use transaction or \
         session pooling (pgbouncer: pool_mode)"
    )]
    StatementPooling,
}

/// Connects to `url` with this application name and number of connections for requests, and runs pending migrations.
///
/// # Errors
/// When the database can't be reached, or the schema can't be used.
pub async fn open(
    url: &SecretString,
    direct: &DirectUrl,
    connections: u32,
    name: &str,
) -> Result<RequestAndBackgroundPools, OpenError> {
    let routes =
        timeout(CONNECT_TIMEOUT, UsualAndDirectRoutes::find(url, direct, name)).await.map_err(late)??;
    if let Some(advice) = routes.advice() {
        tracing::warn!("{advice}");
    }
    migrate_as(name, routes.most_direct().servers.options()).await?;
    Ok(RequestAndBackgroundPools::new(routes, connections))
}

fn late(_: tokio::time::error::Elapsed) -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::other("Postgres does not respond"))
}

/// Uses a connection of its own, since a migration may take longer than any request, with the application name of a
/// command, so that it is not counted as a running node.
async fn migrate_as(name: &str, options: &PgConnectOptions) -> Result<(), OpenError> {
    let options = options.clone().application_name(COMMAND);
    let connecting = PgConnection::connect_with(&options);
    let mut connection = timeout(CONNECT_TIMEOUT, connecting).await.map_err(late)??;
    migrate(&mut connection).await?;
    if name == NODE {
        // In a transaction, since a pooler may give each statement another backend.
        let mut transaction = connection.begin_with("begin isolation level read committed").await?;
        let missing = rights::missing_to_serve(&mut transaction).await?;
        transaction.rollback().await?;
        if !missing.is_empty() {
            return Err(SchemaError::MayNot(missing).into());
        }
    }
    Ok(connection.close().await?)
}
