//! The schema and the role's rights on it.

use sqlx::PgConnection;

use crate::commands::doctor::Finding;
use crate::database::{Schema, SchemaError, rights};

/// What is to be said of the schema and of rights, and whether what is in it can be looked at.
pub(super) async fn check(backend: &mut PgConnection) -> Result<([Finding; 2], bool), sqlx::Error> {
    let schema = Schema::read(backend).await;
    let is_ready = matches!(schema, Ok(Schema::Ready { .. }));
    Ok(([check_schema(&schema, backend).await?, check_rights(backend, is_ready).await?], is_ready))
}

async fn check_schema(
    schema: &Result<Schema, SchemaError>,
    backend: &mut PgConnection,
) -> Result<Finding, sqlx::Error> {
    let schema = match schema {
        Ok(schema) => schema,
        Err(error) => return Ok(unusable(error)),
    };
    let (what, advice) = match schema {
        Schema::Ready { later: 0 } => return Ok(Finding::ok("the schema is up to date")),
        Schema::Ready { later } => {
            return Ok(Finding::ok(format!(
                "the schema is a later version's, and this one can use it (migrations that it does not know: {later})"
            )));
        }
        Schema::Pending(count) => (
            format!("Migrations that have not run yet: {count}."),
            "They run when the service starts, or with `dualauth migrate`.",
        ),
        Schema::Elsewhere(schema) => (
            format!("The tables are in the schema {schema}, where versions of before have made them."),
            "Stop every node of an older version: the next start moves them to the schema dualauth.",
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

fn unusable(error: &SchemaError) -> Finding {
    match error {
        SchemaError::MayNot(missing) => {
            Finding::problem("Which migrations have run can't be read.", format!("As its owner: {missing};"))
        }
        error => Finding::problem(
            format!("The schema can't be used: {error}."),
            "Nothing is downgraded, and nothing was changed.",
        ),
    }
}

/// What the role may not do that the service has to.
async fn check_rights(backend: &mut PgConnection, is_ready: bool) -> Result<Finding, sqlx::Error> {
    let missing = rights::missing_to_serve(backend).await?;
    Ok(match missing.is_empty() {
        true if is_ready => Finding::ok("the role has the rights that it needs"),
        true => Finding::skipped("rights on tables", "Not all of them are there yet."),
        false => {
            Finding::problem("The role lacks rights.", format!("As the owner of the tables: {missing};"))
        }
    })
}
