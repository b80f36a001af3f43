//! Prints the OpenAPI schemas of `comparison.json`, which are kept in `openapi/comparison.schemas.json`.

use std::io::{Write, stdout};

fn main() -> std::io::Result<()> {
    let schemas = serde_json::to_string_pretty(&dualauth_compare::report::schemas()?)?;
    writeln!(stdout(), "{schemas}")
}
