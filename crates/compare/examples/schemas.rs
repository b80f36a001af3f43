//! Prints the shape of `comparison.json`, as it is kept in `openapi/comparison.schemas.json`.

use std::io::{Write, stdout};

fn main() -> std::io::Result<()> {
    let schemas = serde_json::to_string_pretty(&dualauth_compare::report::schemas()?)?;
    writeln!(stdout(), "{schemas}")
}
