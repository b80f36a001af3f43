//! The code in docs/services.md that protects a route is that of the example services, which are tried.

use std::path::Path;

const DOCS: &str = include_str!("../../../../docs/services.md");

/// Each heading whose code is an excerpt, and of which file.
const EXCERPTS: [(&str, &str); 4] = [
    ("### FastAPI", "clients/python/examples/fastapi_service.py"),
    ("### Django REST framework", "clients/python/examples/django_service.py"),
    ("### Express", "clients/javascript/verify/examples/express.js"),
    ("### Rust", "crates/verify/examples/tower.rs"),
];

#[test]
fn the_code_that_protects_a_route_is_that_of_the_examples() {
    for (heading, file) in EXCERPTS {
        let (_, section) = DOCS.split_once(&format!("{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
        let (section, _) = section.split_once("\n### ").expect("another heading");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let example = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"));
        let blocks: Vec<&str> = section.split("```").skip(1).step_by(2).collect();
        assert!(!blocks.is_empty(), "{heading} has no code");
        for block in blocks {
            let (_, code) = block.split_once('\n').expect("a language");
            assert!(example.contains(code), "{file} does not have:\n{code}");
        }
    }
}
