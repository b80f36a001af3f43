//! Doctor: checks that the role has the privileges that the service needs.

use sqlx::PgConnection;

use crate::commands::doctor::Finding;
use crate::database::rights;

/// Checks that the role has the privileges that the service needs.
pub(super) async fn check_privileges(
    backend: &mut PgConnection,
    is_ready: bool,
) -> Result<Finding, sqlx::Error> {
    let missing = rights::missing_to_serve(backend).await?;
    Ok(match missing.is_empty() {
        true if is_ready => Finding::ok("the role has the rights that it needs"),
        true => Finding::skipped("rights on tables", "Not all tables exist yet."),
        false => {
            Finding::problem("The role lacks rights.", format!("As the owner of the tables, run: {missing};"))
        }
    })
}
