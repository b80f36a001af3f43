//! The API's document (OpenAPI 3.1): what the routes say of themselves, and what holds for all of them.

use std::collections::BTreeSet;

use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use serde_json::Value;
use utoipa::OpenApi;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Ref, RefOr, Schema};

use crate::auth::CSRF_HEADER;
use crate::error::{Check, Checks, Code, FieldError, OAuthError, PROBLEM_JSON, Problem};
use crate::http::form::FORM;

use super::SiteFacts;

/// What the routes can't say of themselves.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "dualauth",
        description = "Sessions and JWTs, side by side, over one login record. Each mode travels by cookie or by \
                       `Authorization: Bearer`. Sign in below: cookies ride along by themselves, and so does the CSRF \
                       header; a Bearer token, or a service's id and secret, goes in once, under *Authorize*.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "session", description = "An opaque id that the server looks up."),
        (name = "jwt", description = "Signed claims that the server verifies without a look-up."),
        (name = "oauth", description = "What other services ask, by the standards of OAuth. They show a registered client's id \
                                        and secret, and no user's credential."),
        (name = "account", description = "Routes that take a credential of either mode."),
        (name = "service", description = "The service itself."),
    ),
    components(schemas(Problem, FieldError, Code, OAuthError, Checks, Check)),
)]
pub struct Document;

/// The document as it is served.
#[derive(Clone, Debug)]
pub struct Rendered(pub String);

/// This document.
#[utoipa::path(operation_id = "openapi_json", tag = "service", responses(
    (status = 200, description = "OpenAPI 3.1.", body = Value, content_type = "application/json"),
))]
#[get("/openapi.json")]
pub(super) async fn openapi_json(document: Data<Rendered>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-cache"))
        .body(document.0.clone())
}

// The security schemes, by the names that the routes use.
const BEARER: &str = "bearer";
const SESSION_COOKIE: &str = "session_cookie";
const ACCESS_TOKEN_COOKIE: &str = "access_token_cookie";
const REFRESH_TOKEN_COOKIE: &str = "refresh_token_cookie";
const CSRF: &str = "csrf_header";
const CLIENT_BASIC: &str = "client_basic";

/// Adds what holds for many routes alike: where they are, how credentials travel, and the problems that they answer
/// with.
pub fn complete(document: &mut utoipa::openapi::OpenApi, facts: &SiteFacts) {
    let url = if facts.base_path.is_empty() { "/" } else { &facts.base_path };
    document.servers.iter_mut().flatten().for_each(|server| url.clone_into(&mut server.url));
    add_security_schemes(document, facts);
    for item in document.paths.paths.values_mut() {
        for (is_unsafe, operation) in operations(item) {
            state_optional_body(operation);
            add_problems(is_unsafe, operation);
        }
    }
}

fn add_security_schemes(document: &mut utoipa::openapi::OpenApi, facts: &SiteFacts) {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An access token or a session token: what `login` gave."))
        .build();
    let client = HttpBuilder::new()
        .scheme(HttpAuthScheme::Basic)
        .description(Some("A service's id and secret, as `dualauth client create` printed them."))
        .build();
    let csrf = ApiKeyValue::with_description(
        CSRF_HEADER,
        "The login's CSRF token, with every unsafe request that a cookie authenticates. This page adds it by itself.",
    );
    let cookie = |name: &str| {
        let text = "Rides along by itself. Over https its name has a prefix: `__Host-`, or `__Secure-` where that \
                    can't be. COOKIE_NAME_PREFIX stands after that.";
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(name, text)))
    };
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    components.add_security_scheme(CLIENT_BASIC, SecurityScheme::Http(client));
    components.add_security_scheme(SESSION_COOKIE, cookie(&facts.session_cookie));
    components.add_security_scheme(ACCESS_TOKEN_COOKIE, cookie(&facts.access_token_cookie));
    components.add_security_scheme(REFRESH_TOKEN_COOKIE, cookie(&facts.refresh_token_cookie));
    components.add_security_scheme(CSRF, SecurityScheme::ApiKey(ApiKey::Header(csrf)));
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (bool, &mut Operation)> {
    let PathItem { get, post, put, patch, delete, .. } = item;
    let unsafe_ones = [post, put, patch, delete].into_iter().flatten().map(|operation| (true, operation));
    get.iter_mut().map(|operation| (false, operation)).chain(unsafe_ones)
}

/// A body that may be left out is not `null` instead.
fn state_optional_body(operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    for content in body.content.values_mut() {
        let RefOr::T(content) = content else { continue };
        if let Some(RefOr::T(Schema::OneOf(either))) = &content.schema
            && let [only @ RefOr::Ref(_), RefOr::T(_)] | [RefOr::T(_), only @ RefOr::Ref(_)] = &*either.items
        {
            content.schema = Some(only.clone());
        }
    }
}

/// The problems that a route names itself, by their codes, and those that follow from what else it says: from its
/// credentials, its body and its method.
fn add_problems(is_unsafe: bool, operation: &mut Operation) {
    let mut codes = vec![Code::Internal];
    if is_unsafe {
        codes.push(Code::CrossOrigin);
    }
    if let Some(body) = &operation.request_body {
        codes.extend([
            Code::MalformedRequest,
            Code::UnsupportedMediaType,
            Code::PayloadTooLarge,
            Code::Timeout,
        ]);
        let is_form = matches!(body, RefOr::T(body) if body.content.contains_key(FORM));
        codes.extend((!is_form).then_some(Code::ValidationFailed));
    }
    let schemes = schemes(operation);
    if !schemes.is_empty() {
        codes.extend([Code::MalformedRequest, Code::NotAuthenticated]);
        codes.extend(schemes.iter().flat_map(|scheme| refusals(scheme)));
    }
    let codes: Vec<(u16, Code)> = codes
        .into_iter()
        .map(|code| (code.status().as_u16(), code))
        .chain(named_problems(operation))
        .collect();
    for status in codes.iter().map(|(status, _)| *status).collect::<BTreeSet<_>>() {
        let of_status = codes.iter().filter(|(of, _)| *of == status).map(|(_, code)| *code).collect();
        let problem = problem(status, &of_status, schemes.iter().any(|scheme| scheme == CLIENT_BASIC));
        operation.responses.responses.insert(status.to_string(), RefOr::T(problem));
    }
}

/// A route names a problem by a response whose description is the code. Its status may be another than the code's
/// own.
fn named_problems(operation: &Operation) -> Vec<(u16, Code)> {
    let responses = operation.responses.responses.iter();
    let named = responses.filter_map(|(status, response)| match response {
        RefOr::T(response) => {
            let code = serde_json::from_value(Value::String(response.description.clone())).ok()?;
            Some((status.parse().ok()?, code))
        }
        RefOr::Ref(_) => None,
    });
    named.collect()
}

/// The names of the security schemes that a route takes.
fn schemes(operation: &Operation) -> Vec<String> {
    let requirements = operation.security.iter().flatten();
    let objects = requirements.filter_map(|requirement| serde_json::to_value(requirement).ok());
    objects
        .filter_map(|object| Some(object.as_object()?.keys().cloned().collect::<Vec<_>>()))
        .flatten()
        .collect()
}

fn refusals(scheme: &str) -> &'static [Code] {
    match scheme {
        BEARER => &[Code::InvalidToken, Code::TokenExpired, Code::TokenRevoked, Code::SessionExpired],
        ACCESS_TOKEN_COOKIE => &[Code::InvalidToken, Code::TokenExpired, Code::TokenRevoked],
        REFRESH_TOKEN_COOKIE => {
            &[Code::InvalidToken, Code::TokenExpired, Code::TokenRevoked, Code::RefreshTokenReused]
        }
        SESSION_COOKIE => &[Code::SessionExpired],
        CSRF => &[Code::CsrfFailed],
        CLIENT_BASIC => &[Code::InvalidCredentials],
        _ => &[],
    }
}

/// `is_oauth`: it says what went wrong in OAuth's words as well.
fn problem(status: u16, codes: &BTreeSet<Code>, is_oauth: bool) -> Response {
    let words: Vec<String> = codes.iter().map(|code| format!("`{}`", code.as_str())).collect();
    let examples = codes.iter().map(|code| {
        let problem = Problem::new(*code, code.title()).with_status(status);
        let problem = if is_oauth { problem.for_oauth() } else { problem };
        let example = serde_json::to_value(problem).ok();
        (code.as_str(), ExampleBuilder::new().summary(code.title()).value(example).build())
    });
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .examples_from_iter(examples)
        .build();
    ResponseBuilder::new().description(words.join(", ")).content(PROBLEM_JSON, content).build()
}
