//! Doctor: checks whether the schema is up to date, or can be migrated.

use sqlx::PgConnection;

use crate::commands::doctor::Finding;
use crate::database::{SchemaError, SchemaState, rights};

/// Checks the version of the schema.
pub(super) async fn check_schema(
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
