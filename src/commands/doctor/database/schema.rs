//! Doctor: checks of the schema's version and of the role's privileges.

use sqlx::PgConnection;

use crate::commands::doctor::Finding;
use crate::database::{SchemaError, SchemaState, rights};

/// Checks the schema and the privileges. The `bool` is `true` if the tables can be read by further checks.
pub(super) async fn check(backend: &mut PgConnection) -> Result<([Finding; 2], bool), sqlx::Error> {
    let schema = SchemaState::read(backend).await;
    let is_ready = matches!(schema, Ok(SchemaState::Ready { .. }));
    Ok(([check_schema(&schema, backend).await?, check_privileges(backend, is_ready).await?], is_ready))
}

async fn check_schema(
    schema: &Result<SchemaState, SchemaError>,
    backend: &mut PgConnection,
) -> Result<Finding, sqlx::Error> {
    let schema = match schema {
        Ok(schema) => schema,
        Err(error) => return Ok(unusable_schema(error)),
    };
    let (what, advice) = match schema {
        SchemaState::Ready { later: 0 } => return Ok(Finding::ok("the schema is up to date")),
        SchemaState::Ready { later } => {
            return Ok(Finding::ok(format!(
                "the schema is that of a later version, and compatible with this one (migrations unknown to it: {later})"
            )));
        }
        SchemaState::Pending(count) => (
            format!("Migrations pending: {count}."),
            "They run when the service starts, or with `dualauth migrate`.",
        ),
        SchemaState::Elsewhere(schema) => (
            format!("The tables are in the schema {schema}, where earlier versions created them."),
            "Stop every node of an older version; the next start moves the tables to the schema dualauth.",
        ),
    };
    let missing = rights::missing_to_migrate(backend, schema).await?;
    Ok(match missing.is_empty() {
        true => Finding::warning(what, advice),
        false => Finding::problem(
            format!("{what} This role may not run them."),
            format!("Run `dualauth migrate` as a role that may, or: {missing};"),
        ),
    })
}

fn unusable_schema(error: &SchemaError) -> Finding {
    match error {
        SchemaError::MayNot(missing) => Finding::problem(
            "The list of migrations can't be read.",
            format!("As the owner of the table, run: {missing};"),
        ),
        error => Finding::problem(
            format!("The schema can't be used: {error}."),
            "The service never downgrades a schema. Nothing was changed.",
        ),
    }
}

/// Checks that the role has the privileges that the service needs.
async fn check_privileges(backend: &mut PgConnection, is_ready: bool) -> Result<Finding, sqlx::Error> {
    let missing = rights::missing_to_serve(backend).await?;
    Ok(match missing.is_empty() {
        true if is_ready => Finding::ok("the role has the rights that it needs"),
        true => Finding::skipped("rights on tables", "Not all tables exist yet."),
        false => {
            Finding::problem("The role lacks rights.", format!("As the owner of the tables, run: {missing};"))
        }
    })
}
