//! The committed OpenAPI document: what the code says, to the letter.

use std::path::Path;

use dualauth::{app, config::Config};
use serde_json::{Value, json};

use crate::support::{http::Request, server::TestServer, text};

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
async fn a_status_has_every_code_that_comes_with_it() {
    let document: Value = serde_json::from_str(&document()).expect("JSON");
    let of_a_challenge = &["invalid_code", "challenge_expired"][..];
    for (path, codes) in [
        ("/account/password/reset", of_a_challenge),
        ("/account/email", &["invalid_code", "challenge_expired", "not_authenticated", "invalid_token"]),
        ("/session/register", of_a_challenge),
        ("/jwt/register", of_a_challenge),
        ("/session/login", &["invalid_code", "challenge_expired", "invalid_credentials"]),
        ("/jwt/login", &["invalid_code", "challenge_expired", "invalid_credentials"]),
    ] {
        let refusal = &document["paths"][path]["post"]["responses"]["401"];
        for code in codes {
            let example = &refusal["content"]["application/problem+json"]["examples"][code];
            assert!(example.is_object(), "{path} says nothing of {code}");
            let description = refusal["description"].as_str().unwrap_or_default();
            assert!(description.contains(&format!("`{code}`")), "{path}: {description}");
        }
    }
}

#[tokio::test]
async fn the_ways_to_show_a_credential_are_declared() {
    let document: Value = serde_json::from_str(&document()).expect("JSON");
    let schemes = document["components"]["securitySchemes"].as_object().expect("schemes");
    let names: Vec<&str> = schemes.keys().map(String::as_str).collect();
    let expected =
        ["access_token_cookie", "bearer", "client_basic", "refresh_token_cookie", "session_cookie"];
    assert_eq!(names, expected);
    for (name, operation) in operations(&document) {
        for scheme in taken(&operation) {
            assert!(schemes.contains_key(&scheme), "{name}: {scheme}");
        }
    }
}

/// The security schemes that an operation takes.
fn taken(operation: &Value) -> Vec<String> {
    let requirements = operation["security"].as_array().expect("every operation says what it takes");
    let requirements = requirements.iter().map(|it| it.as_object().expect("a requirement"));
    requirements.flat_map(|it| it.keys().cloned()).collect()
}

#[tokio::test]
async fn a_public_route_takes_no_credential() {
    let document: Value = serde_json::from_str(&document()).expect("JSON");
    let public = operations(&document).into_iter().filter(|(_, operation)| taken(operation).is_empty());
    let public: Vec<String> = public.map(|(name, _)| name).collect();
    let is_public = |name: &str| {
        let public =
            ["/register", "/login", "/openapi.json", "/health/", "/.well-known/", "/playground/mails"];
        public.iter().any(|part| name.contains(part) && !name.contains("/account/"))
            || ["get /providers", "post /account/password/reset", "post /account/handoff/inspect"]
                .contains(&name)
            || name.ends_with(" /providers/{name}/callback")
    };
    for (name, _) in operations(&document) {
        assert_eq!(public.contains(&name), is_public(&name), "{name}");
    }
}

#[tokio::test]
async fn what_a_cookie_may_change_takes_the_csrf_header() {
    let document: Value = serde_json::from_str(&document()).expect("JSON");
    let csrf = &document["components"]["parameters"]["CsrfToken"];
    assert_eq!((&csrf["name"], &csrf["in"]), (&json!("X-CSRF-Token"), &json!("header")));
    assert_eq!(csrf["required"], false, "a Bearer token needs none");
    for (name, operation) in operations(&document) {
        let may_change =
            !name.starts_with("get ") && taken(&operation).iter().any(|it| it.ends_with("cookie"));
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let takes_it = parameters.contains(&json!({"$ref": "#/components/parameters/CsrfToken"}));
        assert_eq!(takes_it, may_change, "{name}");
    }
}

#[tokio::test]
async fn a_refusal_says_which_headers_it_has() {
    let document: Value = serde_json::from_str(&document()).expect("JSON");
    let declared = document["components"]["headers"].as_object().expect("headers");
    for (name, operation) in operations(&document) {
        for (status, expected) in [
            ("401", &["WWW-Authenticate"][..]),
            ("429", &["RateLimit", "RateLimit-Policy", "Retry-After"]),
            ("503", &["Retry-After"]),
        ] {
            let Some(response) = operation["responses"].get(status) else { continue };
            let headers: Vec<&str> =
                response["headers"].as_object().expect("headers").keys().map(String::as_str).collect();
            assert_eq!(headers, expected, "{name}, {status}");
            assert!(headers.iter().all(|header| declared.contains_key(*header)), "{name}, {status}");
        }
    }
}

#[tokio::test]
async fn every_kind_of_login_is_a_schema_that_its_kind_tells_from_the_others() {
    let document: Value = serde_json::from_str(&document()).expect("JSON");
    let schemas = &document["components"]["schemas"];
    let kinds = [
        ("session_cookie", "SessionByCookie", &["kind", "user", "login", "csrf_token"][..]),
        ("session_bearer", "SessionByBearer", &["kind", "user", "login", "session_token", "token_type"]),
        ("jwt_cookie", "JwtByCookie", &["kind", "user", "login", "csrf_token", "expires_in"]),
        (
            "jwt_bearer",
            "JwtByBearer",
            &[
                "kind",
                "user",
                "login",
                "access_token",
                "token_type",
                "expires_in",
                "refresh_token",
                "refresh_expires_in",
            ],
        ),
    ];
    for (kind, schema, members) in kinds {
        let of_mode = if kind.starts_with("jwt") { "JwtBody" } else { "SessionBody" };
        let discriminator = &schemas[of_mode]["discriminator"];
        assert_eq!(discriminator["propertyName"], "kind");
        assert_eq!(discriminator["mapping"][kind], format!("#/components/schemas/{schema}"));
        let schema = &schemas[schema];
        assert_eq!(schema["properties"]["kind"]["enum"], json!([kind]));
        assert_eq!(schema["required"], json!(members), "each member is there, and in this order");
        let declared: Vec<&String> = schema["properties"].as_object().expect("members").keys().collect();
        assert_eq!(declared, members);
    }
}

#[tokio::test]
async fn what_has_few_values_is_an_enum() {
    let document: Value = serde_json::from_str(&document()).expect("JSON");
    let schemas = &document["components"]["schemas"];
    let mut modes = schemas["Mode"]["enum"].as_array().expect("modes").clone();
    modes.sort_by_key(Value::to_string);
    assert_eq!(json!(modes), json!(["jwt", "session"]));
    assert_eq!(schemas["Transport"]["enum"], json!(["cookie", "bearer"]));
    assert_eq!(schemas["TokenType"]["enum"], json!(["Bearer"]));
    for (schema, schema_of_it) in
        [("LoginBody", "Mode"), ("ListedLoginBody", "Mode"), ("CredentialBody", "Mode")]
    {
        let mode = &schemas[schema]["properties"]["mode"]["$ref"];
        assert_eq!(mode, &format!("#/components/schemas/{schema_of_it}"), "{schema}");
    }
    assert_eq!(schemas["Problem"]["properties"]["code"]["$ref"], "#/components/schemas/Code");
    assert!(schemas["Code"]["enum"].as_array().expect("codes").contains(&json!("csrf_failed")));
}

#[tokio::test]
async fn members_are_in_the_order_in_which_they_are_declared() {
    let document: Value = serde_json::from_str(&document()).expect("JSON");
    let members = |schema: &str| {
        let properties = document["components"]["schemas"][schema]["properties"].as_object();
        properties.expect("members").keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(members("RegisterRequest"), ["username", "email", "password", "challenge", "code"]);
    assert_eq!(
        members("LoginRequest"),
        [
            "username",
            "password",
            "challenge",
            "code",
            "passkey",
            "id_token",
            "handoff",
            "remember_me",
            "transport",
            "device_name"
        ]
    );
    assert_eq!(members("Problem")[..5], ["type", "title", "status", "detail", "code"]);
}

#[tokio::test]
async fn routes_are_in_the_order_of_a_visit() {
    let document: Value = serde_json::from_str(&document()).expect("JSON");
    let tags: Vec<&str> =
        document["tags"].as_array().expect("tags").iter().map(|it| text(&it["name"])).collect();
    assert_eq!(tags[..3], ["session", "jwt", "account"]);
    let all = operations(&document);
    let of_tag = |tag: &str| {
        let of_it = all.iter().filter(|(_, it)| it["tags"][0] == tag);
        of_it.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let mut listed: Vec<&str> = all.iter().map(|(_, it)| text(&it["tags"][0])).collect();
    listed.dedup();
    assert_eq!(listed, tags, "one tag after the other");
    let session = of_tag("session");
    assert_eq!(session[..3], ["post /session/register", "post /session/login", "get /session/profile"]);
    assert!(session.ends_with(&["post /session/logout".to_owned(), "post /session/logout-all".to_owned()]));
    let jwt = [
        "post /jwt/register",
        "post /jwt/login",
        "get /jwt/profile",
        "get /jwt/csrf",
        "post /jwt/refresh",
        "post /jwt/step-up",
        "post /jwt/logout",
        "post /jwt/logout-all",
    ];
    assert_eq!(of_tag("jwt"), jwt);
}

#[tokio::test]
async fn the_comparison_has_a_document_of_its_own() {
    assert!(!document().contains("Compar"), "whoever generates a client has no use for it");
    let server = TestServer::start().await;
    let document = server.send(Request::get("/compare/openapi.json")).await.expect(200).json();
    let paths: Vec<&String> = document["paths"].as_object().expect("paths").keys().collect();
    assert_eq!(paths, ["/compare.json", "/compare/openapi.json"]);
    let found = &document["paths"]["/compare.json"]["get"]["responses"]["200"]["content"]["application/json"];
    assert_eq!(found["schema"]["$ref"], "#/components/schemas/Comparison");
    for path in paths {
        server.send(Request::post(path)).await.problem(405, "method_not_allowed");
    }
}
