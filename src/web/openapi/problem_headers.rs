//! The headers of problem responses, each declared once in the OpenAPI document.

use serde_json::{Value, json};
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Components, Ref, RefOr};

/// Declares the response headers.
pub(super) fn declare(components: &mut Components) {
    for (name, header) in [
        ("WWW-Authenticate", www_authenticate()),
        ("Retry-After", retry_after()),
        ("RateLimit", rate_limit()),
        ("RateLimit-Policy", rate_limit_policy()),
    ] {
        components.headers.insert(name.to_owned(), header.into());
    }
}

/// The headers of a problem response with this status, by name.
pub(super) fn of_status(status: u16) -> impl Iterator<Item = (&'static str, RefOr<Header>)> {
    let names: &[&str] = match status {
        401 => &["WWW-Authenticate"],
        429 => &["Retry-After", "RateLimit", "RateLimit-Policy"],
        503 => &["Retry-After"],
        _ => &[],
    };
    names.iter().map(|name| (*name, RefOr::Ref(Ref::new(format!("#/components/headers/{name}")))))
}

fn www_authenticate() -> Header {
    let description = "The scheme to use, and an error code if the token was invalid (RFC 6750, section 3) or the authentication insufficient (RFC 9470, section 3).";
    header(Type::String, description, json!(r#"Bearer error="invalid_token""#))
}

fn retry_after() -> Header {
    header(Type::Integer, "Seconds until the next attempt makes sense (RFC 9110, section 10.2.3).", json!(2))
}

fn rate_limit() -> Header {
    let description = "The remaining quota, and the seconds until there is more \
                       (draft-ietf-httpapi-ratelimit-headers-10).";
    header(Type::String, description, json!(r#""login";r=0;t=12"#))
}

fn rate_limit_policy() -> Header {
    let description = "The limit: a quota per window in seconds (draft-ietf-httpapi-ratelimit-headers-10).";
    header(Type::String, description, json!(r#""login";q=60;w=60"#))
}

fn header(of_type: Type, description: &str, example: Value) -> Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(of_type)))
        .description(Some(description))
        .example(Some(example))
        .build()
}
