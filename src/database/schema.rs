//! Checks whether a database's schema fits this program, without changing anything.

use sqlx::PgConnection;
use sqlx::migrate::Migration;

use super::migrations::MIGRATOR;
use super::rights::{self, MissingGrants};

/// The version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why this program can't use a schema.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The database can't be reached, or a statement failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A migration failed.
    #[error("migration {version} failed: {error}")]
    Migration {
        /// Its number.
        version: i64,
        /// The cause.
        error: sqlx::Error,
    },
    /// Other transactions hold locks on tables that must be changed.
    #[error("timed out waiting for table locks (see pg_stat_activity): {0}")]
    Locked(sqlx::Error),
    /// A migration that ran here has another content than the one with this number in this program.
    #[error(
        "migration {0} was applied with another content than this version has: run the version that created the schema, or a later one"
    )]
    Altered(i64),
    /// A migration is marked as unfinished. Ours commit together with their row, so something else has left it.
    #[error("migration {0} failed half way: correct its row in dualauth._sqlx_migrations manually")]
    Unfinished(i64),
    /// The schema no longer supports this version.
    #[error("the schema requires dualauth {oldest} or later, and this is {VERSION}: run a later version")]
    TooOld {
        /// The oldest version that the schema supports.
        oldest: String,
    },
    /// The tables must be moved to another schema, but older nodes are using them.
    #[error(
        "the tables must be moved from the schema {schema} to dualauth, where older versions don't find them, but nodes \
         of an older version are connected ({connections} connections): stop them all, then start this one. No later \
         upgrade requires this"
    )]
    OlderNodes {
        /// The schema with the tables.
        schema: String,
        /// Number of the older nodes' connections.
        connections: i64,
    },
    /// Migrations are pending, and the role lacks the privileges to run them.
    #[error(
        "pending migrations: {pending}, and this role lacks the privileges to run them. Run `dualauth migrate` as a role \
         that has them, or: {grants}"
    )]
    MayNotMigrate {
        /// Their number.
        pending: usize,
        /// The missing privileges.
        grants: MissingGrants,
    },
    /// The role lacks privileges that the program needs.
    #[error("the database role lacks privileges. Run as the owner of the tables: {0}")]
    MayNot(MissingGrants),
}

impl SchemaError {
    /// [`SchemaError::Locked`] if this is a lock timeout, else unchanged.
    pub(super) fn or_locked(self) -> Self {
        match self {
            Self::Database(error) | Self::Migration { error, .. } if is_lock_timeout(&error) => {
                Self::Locked(error)
            }
            error => error,
        }
    }
}

/// By SQLSTATE: `lock_not_available`.
fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "55P03")
}

/// The state of a schema that this program can use or migrate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// Up to date for this program.
    Ready {
        /// Number of further migrations, by a later version.
        later: usize,
    },
    /// Number of pending migrations: all of them if there is no schema.
    Pending(usize),
    /// An older version has created the tables in the schema of this name.
    Elsewhere(String),
}

impl SchemaState {
    /// Reads the state. Changes nothing.
    ///
    /// # Errors
    /// When this program can't use the schema, or the database can't be reached.
    pub async fn read(connection: &mut PgConnection) -> Result<Self, SchemaError> {
        if !exists(connection, "_sqlx_migrations").await? {
            let before = before(connection).await?;
            return Ok(before.map_or(Self::Pending(MIGRATOR.iter().count()), Self::Elsewhere));
        }
        let missing = rights::missing_on_tables(connection, &rights::TO_CHECK_SCHEMA).await?;
        if !missing.is_empty() {
            return Err(SchemaError::MayNot(missing));
        }
        check_version(connection).await?;
        let applied = applied(connection).await?;
        check(&applied)?;
        let known = applied.iter().filter(|applied| known(applied.version).is_some()).count();
        Ok(match MIGRATOR.iter().count() - known {
            0 => Self::Ready { later: applied.len() - known },
            pending => Self::Pending(pending),
        })
    }

    /// Number of migrations that this program would run.
    pub(super) fn pending(&self) -> usize {
        match self {
            Self::Ready { .. } => 0,
            Self::Pending(pending) => *pending,
            Self::Elsewhere(_) => MIGRATOR.iter().filter(|migration| migration.version >= OWN_SCHEMA).count(),
        }
    }
}

/// The migration that introduced the schema `dualauth`. Tables in other schemas have run only earlier ones.
pub(super) const OWN_SCHEMA: i64 = 15;

/// An applied migration.
#[derive(sqlx::FromRow)]
pub(super) struct AppliedMigration {
    pub(super) version: i64,
    checksum: Vec<u8>,
    success: bool,
}

impl AppliedMigration {
    fn is_ours(&self) -> bool {
        known(self.version).is_some_and(|known| *known.checksum == *self.checksum)
    }
}

fn known(version: i64) -> Option<&'static Migration> {
    MIGRATOR.iter().find(|migration| migration.version == version)
}

/// The migrations that ran in this schema.
pub(super) async fn applied(connection: &mut PgConnection) -> Result<Vec<AppliedMigration>, sqlx::Error> {
    let query = "select version, checksum, success from dualauth._sqlx_migrations order by version";
    sqlx::query_as(query).persistent(false).fetch_all(connection).await
}

/// Checks the applied migrations. Unknown ones are from a later version; if they are incompatible, [`check_version`]
/// fails.
fn check(applied: &[AppliedMigration]) -> Result<(), SchemaError> {
    if let Some(unfinished) = applied.iter().find(|applied| !applied.success) {
        return Err(SchemaError::Unfinished(unfinished.version));
    }
    let altered = applied.iter().find(|applied| known(applied.version).is_some() && !applied.is_ours());
    altered.map_or(Ok(()), |altered| Err(SchemaError::Altered(altered.version)))
}

async fn check_version(connection: &mut PgConnection) -> Result<(), SchemaError> {
    // The table does not exist before its migration has run.
    if !exists(connection, "compatibility").await? {
        return Ok(());
    }
    let query = sqlx::query_scalar("select oldest_version from dualauth.compatibility");
    let oldest: Option<String> = query.persistent(false).fetch_optional(connection).await?;
    match oldest {
        Some(oldest) if !may_use(VERSION, &oldest) => Err(SchemaError::TooOld { oldest }),
        _ => Ok(()),
    }
}

/// Whether `version` is `oldest` or later. False if `oldest` can't be parsed: a later version has written it.
fn may_use(version: &str, oldest: &str) -> bool {
    numbers(oldest).is_some_and(|oldest| numbers(version) >= Some(oldest))
}

fn numbers(version: &str) -> Option<[u64; 3]> {
    let release = version.split(['-', '+']).next()?;
    let numbers: Result<Vec<u64>, _> = release.split('.').map(str::parse).collect();
    numbers.ok()?.try_into().ok()
}

/// Whether the schema has this table. Needs no privilege on it.
async fn exists(connection: &mut PgConnection, table: &str) -> Result<bool, sqlx::Error> {
    let query = "select exists (select from pg_class where relname = $1
                     and relnamespace = (select oid from pg_namespace where nspname = 'dualauth'))";
    sqlx::query_scalar(query).persistent(false).bind(table).fetch_one(connection).await
}

/// The schema in which an older version has created its tables: the first one in its search_path. It may also contain
/// another program's migrations table, or only that.
async fn before(connection: &mut PgConnection) -> Result<Option<String>, SchemaError> {
    let query = "select n.nspname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
                 where c.oid = to_regclass('_sqlx_migrations')
                   and to_regprocedure(format('%I.note_revoked_login()', n.nspname)) is not null";
    let schema: Option<String> =
        sqlx::query_scalar(query).persistent(false).fetch_optional(&mut *connection).await?;
    let Some(schema) = schema else { return Ok(None) };
    let missing = rights::missing_to_read(connection, &schema).await?;
    if !missing.is_empty() {
        return Err(SchemaError::MayNot(missing));
    }
    let query = "select version, checksum, success from _sqlx_migrations order by version";
    let applied: Vec<AppliedMigration> =
        sqlx::query_as(query).persistent(false).fetch_all(connection).await?;
    Ok(applied.iter().all(AppliedMigration::is_ours).then_some(schema))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (version, oldest) in [
            ("1.2.3", "1.2.3"),
            ("1.2.10", "1.2.9"),
            ("2.0.0", "1.99.99"),
            ("1.2.3-rc.1", "1.2.3"),
            ("0.1.0+x", "0.1.0"),
        ] {
            assert!(may_use(version, oldest), "{version} {oldest}");
        }
        for (version, oldest) in
            [("1.2.3", "1.2.4"), ("1.9.0", "1.10.0"), ("0.1.0", "1.0.0"), ("0.1.0", "soon"), ("0.1.0", "")]
        {
            assert!(!may_use(version, oldest), "{version} {oldest}");
        }
        assert!(numbers(VERSION).is_some());
    }
}
