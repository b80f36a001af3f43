//! The committed OpenAPI document: what the code says, to the letter.

use std::path::Path;

use dualauth::{app, config::Config};
use serde_json::Value;

fn document() -> String {
    let config = Config::from_vars(|_| None).expect("the defaults");
    app::document(&config).expect("a document")
}

fn operations(document: &Value) -> Vec<(String, Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let named = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("a path item");
        item.iter().map(move |(method, operation)| (format!("{method} {path}"), operation.clone()))
    });
    named.collect()
}

#[tokio::test]
async fn the_committed_document_is_what_the_code_says() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/openapi.json");
    let committed = std::fs::read_to_string(committed).expect("openapi/openapi.json");
    assert!(
        committed.trim_end() == document().trim_end(),
        "openapi/openapi.json is out of date: cargo run -- openapi > openapi/openapi.json"
    );
}

#[tokio::test]
async fn every_operation_has_an_id_a_tag_examples_and_problems_by_their_codes() {
    let document: Value = serde_json::from_str(&document()).expect("JSON");
    assert!(document["openapi"].as_str().expect("a version").starts_with("3.1"));
    let mut ids = std::collections::HashSet::new();
    for (name, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{name} has no id"));
        assert!(ids.insert(id.to_owned()), "{name} shares its id {id}");
        assert!(operation["tags"][0].is_string(), "{name} has no tag");
        let responses = operation["responses"].as_object().expect("responses");
        for (status, response) in responses.iter().filter(|(status, _)| status.as_str() >= "400") {
            let problem = &response["content"]["application/problem+json"];
            assert_eq!(problem["schema"]["$ref"], "#/components/schemas/Problem", "{name}, {status}");
            let examples =
                problem["examples"].as_object().unwrap_or_else(|| panic!("{name}, {status}: no example"));
            for (code, example) in examples {
                assert_eq!(example["value"]["code"], code.as_str(), "{name}, {status}");
                assert_eq!(example["value"]["status"].to_string(), *status, "{name}, {status}");
            }
        }
    }
}

#[tokio::test]
async fn the_ways_to_show_a_credential_are_declared() {
    let document: Value = serde_json::from_str(&document()).expect("JSON");
    let schemes = document["components"]["securitySchemes"].as_object().expect("schemes");
    let names: Vec<&str> = schemes.keys().map(String::as_str).collect();
    let expected = [
        "access_token_cookie",
        "bearer",
        "client_basic",
        "csrf_header",
        "refresh_token_cookie",
        "session_cookie",
    ];
    assert_eq!(names, expected);
    for (name, operation) in operations(&document) {
        let requirements = operation["security"].as_array().cloned().unwrap_or_default();
        for requirement in requirements {
            let used = requirement.as_object().expect("a requirement");
            assert!(used.keys().all(|scheme| schemes.contains_key(scheme)), "{name}: {requirement}");
        }
    }
}
