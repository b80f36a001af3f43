//! Runs the migrations: on an empty database, or one that an older version has left.
//!
//! All in one transaction with unnamed statements, so that they apply completely or not at all, and leave no session
//! state on a pooler's connection.

use std::borrow::Cow;
use std::time::Duration;

use sqlx::migrate::Migration;
use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};

use super::NODE;
use super::rights;
use super::schema::{self, OWN_SCHEMA, SchemaError, SchemaState};

/// The migrations, compiled in. They may omit the schema's name: the search_path is set when they run.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// Key of the advisory lock that is held during migrations.
const LOCK: i64 = i64::from_be_bytes(*b"migrates");

/// Number of attempts when other transactions block the migrations, and the pause between them.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(500);

/// Objects that older versions created in a schema shared with others, each with the migration that created it.
const BEFORE: [(i64, &str, &str); 23] = [
    (1, "table", "users"),
    (2, "table", "logins"),
    (3, "table", "revocations"),
    (4, "table", "secrets"),
    (5, "function", "note_revoked_login()"),
    (5, "function", "end_logins(uuid, uuid, timestamptz)"),
    (5, "function", "note_changed_user()"),
    (5, "function", "ring()"),
    (6, "table", "session_data"),
    (7, "table", "signing_keys"),
    (7, "table", "key_ring"),
    (7, "function", "note_reload()"),
    (8, "table", "clients"),
    (9, "table", "guesses"),
    (9, "table", "guessers"),
    (9, "function", "network_of(text)"),
    (9, "function", "admit_try(bytea, text, boolean, timestamptz, integer, interval, integer, interval)"),
    (9, "function", "forget_guesses_here()"),
    (9, "function", "forget_guesses()"),
    (10, "table", "audit_events"),
    (12, "table", "history"),
    (12, "function", "on_primary()"),
    (12, "function", "current_history()"),
];

/// Applies pending migrations. A concurrent call waits and then finds nothing to do. The check alone needs no
/// privilege to create anything, and writes nothing if the schema is up to date, so that the service's role needs no
/// more in daily operation.
///
/// # Errors
/// When this program is not compatible with the schema, lacks privileges, or the database can't be reached.
pub async fn migrate(connection: &mut PgConnection) -> Result<(), SchemaError> {
    for _ in 1..TRIES {
        match attempt(connection).await {
            Err(SchemaError::Locked(error)) => {
                tracing::warn!(%error, "migrations are blocked by other transactions; will retry");
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
    attempt(connection).await
}

async fn attempt(connection: &mut PgConnection) -> Result<(), SchemaError> {
    // Regardless of the role's default isolation: after waiting for the lock, the other's changes must be visible.
    let mut transaction = connection.begin_with("begin isolation level read committed").await?;
    match apply_pending(&mut transaction).await {
        Ok(()) => Ok(transaction.commit().await?),
        Err(error) => {
            // The attempt has failed already; a lost connection adds nothing.
            let _ = transaction.rollback().await;
            Err(error.or_locked())
        }
    }
}

async fn apply_pending(transaction: &mut PgConnection) -> Result<(), SchemaError> {
    if let SchemaState::Ready { .. } = SchemaState::read(transaction).await? {
        return Ok(());
    }
    // Another node's migrations may take as long as they need.
    execute(transaction, format!("set local lock_timeout = 0; set local statement_timeout = 0; select pg_advisory_xact_lock({LOCK})")).await?;
    let found = SchemaState::read(transaction).await?;
    if let SchemaState::Ready { .. } = found {
        return Ok(());
    }
    let grants = rights::missing_to_migrate(transaction, &found).await?;
    if !grants.is_empty() {
        return Err(SchemaError::MayNotMigrate { pending: found.pending(), grants });
    }
    // Much shorter than the lock timeout of requests, so that requests queued behind this one are still served. Also
    // shorter than Postgres' deadlock_timeout: this transaction gives up before a request is cancelled because of it.
    execute(transaction, "set local lock_timeout = '200ms'").await?;
    make_schema(transaction).await?;
    if let SchemaState::Elsewhere(before) = &found {
        move_tables_from(transaction, before).await?;
    }
    run(transaction).await
}

async fn make_schema(transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
    let exists = "select exists (select from pg_namespace where nspname = 'dualauth')";
    // Even `if not exists` needs the privilege to create a schema.
    if !sqlx::query_scalar(exists).persistent(false).fetch_one(&mut *transaction).await? {
        execute(transaction, "create schema dualauth").await?;
    }
    execute(transaction, include_str!("migrations_table.sql")).await
}

/// Moves the objects of an older version from another schema, and nothing else.
async fn move_tables_from(transaction: &mut PgConnection, before: &str) -> Result<(), SchemaError> {
    let quoted = format!("\"{}\"", before.replace('"', "\"\""));
    // An older node that starts now waits here, and then reads the row that stops it.
    execute(transaction, format!("lock table {quoted}._sqlx_migrations in access exclusive mode")).await?;
    refuse_while_older_nodes_run(transaction, before).await?;
    let columns = "version, description, installed_on, success, checksum, execution_time";
    let copy = format!(
        "insert into dualauth._sqlx_migrations ({columns}) select {columns} from {quoted}._sqlx_migrations"
    );
    execute(transaction, copy).await?;
    let applied = schema::applied(transaction).await?;
    for (_, kind, name) in
        BEFORE.iter().filter(|(version, ..)| applied.iter().any(|applied| applied.version == *version))
    {
        execute(transaction, format!("alter {kind} {quoted}.{name} set schema dualauth")).await?;
    }
    // Without this row an older version would find no tables, and would create new, empty ones.
    let gone = format!(
        "insert into {quoted}._sqlx_migrations (version, description, success, checksum, execution_time)
         values ({OWN_SCHEMA}, 'moved to the schema dualauth', true, '', 0)"
    );
    execute(transaction, gone).await?;
    tracing::info!(from = before, "tables moved to the schema dualauth");
    Ok(())
}

/// Fails while older nodes are connected: moving the tables is the one step that they don't survive.
async fn refuse_while_older_nodes_run(
    transaction: &mut PgConnection,
    before: &str,
) -> Result<(), SchemaError> {
    let query = "select count(*) from pg_stat_activity
                 where datname = current_database() and application_name = $1 and pid <> pg_backend_pid()";
    let connections: i64 =
        sqlx::query_scalar(query).persistent(false).bind(NODE).fetch_one(transaction).await?;
    match connections {
        0 => Ok(()),
        _ => Err(SchemaError::OlderNodes { schema: before.to_owned(), connections }),
    }
}

async fn run(transaction: &mut PgConnection) -> Result<(), SchemaError> {
    execute(transaction, "set local search_path = dualauth, pg_temp").await?;
    let applied = schema::applied(transaction).await?;
    for migration in MIGRATOR.iter() {
        if applied.iter().all(|applied| applied.version != migration.version) {
            let outcome = apply(transaction, migration).await;
            outcome.map_err(|error| SchemaError::Migration { version: migration.version, error })?;
        }
    }
    Ok(())
}

async fn apply(transaction: &mut PgConnection, migration: &Migration) -> Result<(), sqlx::Error> {
    raw_sql(migration.sql.clone()).execute(&mut *transaction).await?;
    let insert =
        "insert into dualauth._sqlx_migrations (version, description, success, checksum, execution_time)
                  values ($1, $2, true, $3, 0)";
    let insert = sqlx::query(insert).persistent(false);
    let insert = insert.bind(migration.version).bind(&*migration.description).bind(&*migration.checksum);
    insert.execute(transaction).await.map(drop)
}

async fn execute(
    connection: &mut PgConnection,
    sql: impl Into<Cow<'static, str>>,
) -> Result<(), sqlx::Error> {
    raw_sql(AssertSqlSafe(sql.into().into_owned())).execute(connection).await.map(drop)
}
