//! OpenAPI schemas of `comparison.json`, kept in `openapi/comparison.schemas.json`.

use serde_json::Value;
use utoipa::OpenApi;

use super::Report;

#[derive(OpenApi)]
#[openapi(components(schemas(Report)))]
struct OpenApiRoot;

/// The schemas by name. `Comparison` is that of the file.
///
/// # Errors
/// When they can't be serialised.
pub fn schemas() -> serde_json::Result<Value> {
    let mut document = serde_json::to_value(OpenApiRoot::openapi())?;
    Ok(document.pointer_mut("/components/schemas").map(Value::take).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_schemas_are_those_of_a_report() {
        let committed: Value =
            serde_json::from_str(include_str!("../../../../openapi/comparison.schemas.json")).expect("JSON");
        let renewed = "cargo run -q -p dualauth-compare --example schemas > openapi/comparison.schemas.json";
        assert!(schemas().expect("schemas") == committed, "renew them: {renewed}");
        assert!(committed["Comparison"]["properties"]["variants"].is_object());
    }
}
