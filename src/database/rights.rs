//! Checks the role's privileges, and lists missing ones as GRANT statements.

use std::fmt;

use sqlx::PgConnection;

use super::schema::SchemaState;

/// Tables, each with the privileges that the program needs.
type Tables = [(&'static str, &'static [&'static str])];

/// Needed to check the state of a schema.
pub(super) const TO_CHECK_SCHEMA: [(&str, &[&str]); 2] =
    [("_sqlx_migrations", &["select"]), ("compatibility", &["select"])];

/// Needed to serve requests. None of them creates or alters a table.
const TO_SERVE: [(&str, &[&str]); 23] = [
    ("_sqlx_migrations", &["select"]),
    ("compatibility", &["select"]),
    ("users", &["select", "insert", "update"]),
    ("logins", &["select", "insert", "update", "delete"]),
    ("revocations", &["select", "insert", "update", "delete"]),
    ("history", &["select", "insert"]),
    ("secrets", &["select", "insert", "delete"]),
    ("session_data", &["select", "insert", "update", "delete"]),
    ("signing_keys", &["select", "insert", "update", "delete"]),
    ("key_ring", &["select", "insert", "update"]),
    ("clients", &["select", "insert", "delete"]),
    ("custom_tokens", &["select", "insert", "update", "delete"]),
    ("guesses", &["select", "insert", "update", "delete"]),
    ("guessers", &["select", "insert", "update", "delete"]),
    ("audit_events", &["select", "insert", "delete"]),
    ("mails", &["select", "insert", "update", "delete"]),
    ("mail_quotas", &["select", "insert", "update", "delete"]),
    ("challenges", &["select", "insert", "update", "delete"]),
    ("passkeys", &["select", "insert", "update", "delete"]),
    ("totp", &["select", "insert", "update", "delete"]),
    ("recovery_codes", &["select", "insert", "update", "delete"]),
    ("identities", &["select", "insert", "update", "delete"]),
    ("handoffs", &["select", "insert", "update", "delete"]),
];

/// GRANT statements for missing privileges.
#[derive(Debug, PartialEq, Eq)]
pub struct MissingGrants(Vec<String>);

impl MissingGrants {
    /// Whether no privilege is missing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for MissingGrants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

/// The privileges missing to serve requests, on the existing tables.
///
/// # Errors
/// When the database gives no answer.
pub async fn missing_to_serve(connection: &mut PgConnection) -> Result<MissingGrants, sqlx::Error> {
    let MissingGrants(mut grants) = missing_on_tables(connection, &TO_SERVE).await?;
    let query = "select format('grant execute on all functions in schema dualauth to %I', current_user)
                 where exists (select from pg_proc where pronamespace = (select oid from pg_namespace where nspname = 'dualauth')
                     and not has_function_privilege(oid, 'execute'))
                 union all
                 select format('grant execute on function pg_control_system() to %I', current_user)
                 where not has_function_privilege('pg_control_system()', 'execute')";
    grants.extend(sqlx::query_scalar(query).persistent(false).fetch_all(connection).await?);
    Ok(MissingGrants(grants))
}

/// The privileges missing on these tables. Tables that do not exist are ignored.
pub(super) async fn missing_on_tables(
    connection: &mut PgConnection,
    tables: &Tables,
) -> Result<MissingGrants, sqlx::Error> {
    let pairs = tables.iter().flat_map(|(table, rights)| rights.iter().map(move |right| (*table, *right)));
    let (tables, rights): (Vec<&str>, Vec<&str>) = pairs.unzip();
    let query = "with ours as (select oid from pg_namespace where nspname = 'dualauth')
                 select format('grant usage on schema dualauth to %I', current_user) from ours
                 where not has_schema_privilege(oid, 'usage')
                 union all
                 select format('grant %s on dualauth.%I to %I', string_agg(needed.privilege, ', ' order by place),
                               c.relname, current_user)
                 from unnest($1::text[], $2::text[]) with ordinality as needed (name, privilege, place)
                 join pg_class c on c.relname = needed.name and c.relnamespace = (select oid from ours)
                 where not has_table_privilege(c.oid, needed.privilege)
                 group by c.relname";
    let query = sqlx::query_scalar(query).persistent(false).bind(tables).bind(rights);
    query.fetch_all(connection).await.map(MissingGrants)
}

/// The privileges missing to read another schema's migrations.
pub(super) async fn missing_to_read(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<MissingGrants, sqlx::Error> {
    let query = "select format('grant select on %I._sqlx_migrations to %I', n.nspname, current_user)
                 from pg_class c join pg_namespace n on n.oid = c.relnamespace
                 where n.nspname = $1 and c.relname = '_sqlx_migrations' and not has_table_privilege(c.oid, 'select')";
    sqlx::query_scalar(query).persistent(false).bind(schema).fetch_all(connection).await.map(MissingGrants)
}

/// The privileges missing to migrate this schema.
///
/// # Errors
/// When the database gives no answer.
pub async fn missing_to_migrate(
    connection: &mut PgConnection,
    schema: &SchemaState,
) -> Result<MissingGrants, sqlx::Error> {
    let of_before = match schema {
        SchemaState::Ready { .. } => return Ok(MissingGrants(Vec::new())),
        SchemaState::Pending(_) => None,
        SchemaState::Elsewhere(schema) => Some(schema),
    };
    let query = "select format('grant create on database %I to %I', current_database(), current_user)
                 where not exists (select from pg_namespace where nspname = 'dualauth')
                   and not has_database_privilege(current_database(), 'create')
                 union all
                 select format('grant usage, create on schema dualauth to %I', current_user) from pg_namespace
                 where nspname = 'dualauth'
                   and not (has_schema_privilege(oid, 'usage') and has_schema_privilege(oid, 'create'))
                 union all
                 select distinct format('grant %I to %I', pg_get_userbyid(c.relowner), current_user)
                 from pg_class c join pg_namespace n on n.oid = c.relnamespace
                 where (n.nspname = 'dualauth' and c.relkind = 'r' or n.nspname = $1 and c.relname = '_sqlx_migrations')
                   and not pg_has_role(c.relowner, 'usage')";
    sqlx::query_scalar(query).persistent(false).bind(of_before).fetch_all(connection).await.map(MissingGrants)
}
