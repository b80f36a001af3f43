//! The headers that many routes take or answer with, each declared once.

use serde_json::{Value, json};
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Components, Ref, RefOr, Required};

use crate::auth::CSRF_HEADER;

/// The name of the parameter that is the CSRF header.
const CSRF_PARAMETER: &str = "CsrfToken";

/// Declares them.
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

/// Declares the CSRF header, where there are routes that take it.
pub(super) fn declare_csrf(components: &mut Components) {
    let csrf = ParameterBuilder::new()
        .name(CSRF_HEADER)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "The login's CSRF token, as it came with the login or from `csrf`. A request that a cookie authenticates \
             needs it; one by Bearer token does not.",
        ))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
    components.parameters.insert(CSRF_PARAMETER.to_owned(), csrf.build().into());
}

/// The CSRF header, for a route's parameters.
pub(super) fn csrf() -> RefOr<Parameter> {
    RefOr::Ref(Ref::new(format!("#/components/parameters/{CSRF_PARAMETER}")))
}

/// Those that a problem with this status has, by name.
pub(super) fn problem_headers(status: u16) -> impl Iterator<Item = (&'static str, RefOr<Header>)> {
    let names: &[&str] = match status {
        401 => &["WWW-Authenticate"],
        429 => &["Retry-After", "RateLimit", "RateLimit-Policy"],
        503 => &["Retry-After"],
        _ => &[],
    };
    names.iter().map(|name| (*name, RefOr::Ref(Ref::new(format!("#/components/headers/{name}")))))
}

fn www_authenticate() -> Header {
    let description = "Which scheme to use, and whether a token was sent that is no good (RFC 6750, section 3), or not enough (RFC 9470, section 3).";
    header(Type::String, description, json!(r#"Bearer error="invalid_token""#))
}

fn retry_after() -> Header {
    header(Type::Integer, "When to try again, in seconds (RFC 9110, section 10.2.3).", json!(2))
}

fn rate_limit() -> Header {
    let description = "What is left of the limit, and in how many seconds there is more \
                       (draft-ietf-httpapi-ratelimit-headers-10).";
    header(Type::String, description, json!(r#""login";r=0;t=12"#))
}

fn rate_limit_policy() -> Header {
    let description = "The limit: so many in so many seconds (draft-ietf-httpapi-ratelimit-headers-10).";
    header(Type::String, description, json!(r#""login";q=60;w=60"#))
}

fn header(of_type: Type, description: &str, example: Value) -> Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(of_type)))
        .description(Some(description))
        .example(Some(example))
        .build()
}
