//! The API's documents (OpenAPI 3.1): what the routes say of themselves, and what holds for all of them.

mod credentials;
mod discriminators;
mod headers;
mod modes;
mod order;
mod problems;

use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use serde_json::{Map, Value};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{OpenApi, RefOr, Schema};

use crate::auth::{AcceptedModes, MODE_SCHEMA};
use crate::error::{Code, FieldError, Problem};
use crate::oauth::OAuthError;

use super::SitePaths;
use super::health::{ComponentStatus, HealthReport};

/// The schemas of a report, which `dualauth-compare` prints.
const COMPARISON_SCHEMAS: &str = include_str!("../../openapi/comparison.schemas.json");

/// What the routes can't say of themselves.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "dualauth",
        description = "Sessions and JWTs, side by side, over one login record. Each mode travels by cookie or by \
                       `Authorization: Bearer`. Sign in below: cookies ride along by themselves, and so does the CSRF \
                       header; a Bearer token, or a service's id and secret, goes in once, under *Authorize*.\n\n\
                       Every answer has an `X-Request-Id`, by which the log knows it, and unless it says otherwise \
                       `Cache-Control: no-store`. Every refusal is a problem document (RFC 9457).",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
        contact(name = "Whoever runs this server"),
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "session", description = "An opaque id that the server looks up."),
        (name = "jwt", description = "Signed claims that the server verifies without a look-up."),
        (name = "account", description = "Routes that take a credential of either mode."),
        (name = "oauth", description = "What other services ask, by the standards of OAuth. They show a registered client's id \
                                        and secret, and no user's credential."),
        (name = "service", description = "The service itself."),
    ),
    components(schemas(Problem, FieldError, Code, OAuthError, HealthReport, ComponentStatus)),
)]
pub struct ApiDoc;

/// Of the comparison, in a document of its own: whoever generates a client has no use for it.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "dualauth: the comparison",
        description = "What was measured of sessions and JWTs, for programs to read. The API itself is in `/openapi.json`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
        contact(name = "Whoever runs this server"),
    ),
    servers((url = "/", description = "This server")),
    paths(super::comparison::compare_json, comparison_openapi_json),
    tags((name = "comparison", description = "What a run of `dualauth compare` has found.")),
    components(schemas(Problem, FieldError, Code, OAuthError, HealthReport, ComponentStatus)),
)]
struct CompareApiDoc;

/// The API's document and the comparison's.
pub struct Documents {
    api: OpenApi,
    comparison: OpenApi,
    /// As they are served.
    pub rendered: Rendered,
}

impl Documents {
    /// With this one of the API, for this site.
    ///
    /// # Errors
    /// When one does not serialise.
    pub fn new(api: OpenApi, site_paths: &SitePaths) -> Result<Self, serde_json::Error> {
        let comparison = comparison(site_paths);
        let rendered = Rendered { api: render(&api)?, comparison: render_comparison(&comparison)? };
        Ok(Self { api, comparison, rendered })
    }

    /// Both.
    pub fn all(&self) -> [&OpenApi; 2] {
        [&self.api, &self.comparison]
    }
}

/// The text of each document.
#[derive(Clone, Debug)]
pub struct Rendered {
    api: String,
    comparison: String,
}

/// This document.
///
/// In the form that client generators read: OpenAPI 3.1, as JSON.
#[utoipa::path(operation_id = "openapi_json", tag = "service", responses(
    (status = 200, description = "OpenAPI 3.1.", body = Object, content_type = "application/json",
        headers(("Cache-Control" = String, description = "`no-cache`: a cache asks each time whether it has changed."))),
))]
#[get("/openapi.json")]
pub(super) async fn openapi_json(documents: Data<Rendered>) -> HttpResponse {
    json(&documents.api)
}

/// This document.
///
/// It is apart from the API's own, which is in `/openapi.json`.
#[utoipa::path(operation_id = "comparison_openapi_json", tag = "comparison", responses(
    (status = 200, description = "OpenAPI 3.1.", body = Object, content_type = "application/json",
        headers(("Cache-Control" = String, description = "`no-cache`: a cache asks each time whether it has changed."))),
))]
#[get("/compare/openapi.json")]
pub(super) async fn comparison_openapi_json(documents: Data<Rendered>) -> HttpResponse {
    json(&documents.comparison)
}

fn json(document: &str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-cache"))
        .body(document.to_owned())
}

/// Adds what holds for many routes alike: where they are, how credentials travel, the headers that go with them, and the problems that
/// routes answer with; and what each mode says of the routes that all have.
pub fn complete(document: &mut OpenApi, site_paths: &SitePaths, modes: &AcceptedModes) {
    modes.iter().for_each(|mode| modes::complete(document, &**mode));
    let components = document.components.get_or_insert_default();
    components.schemas.insert(MODE_SCHEMA.to_owned(), mode_schema(modes));
    credentials::declare(components, site_paths);
    headers::declare(components);
    complete_operations(document, site_paths);
    order::sort(document);
}

/// The comparison's document, complete.
fn comparison(site_paths: &SitePaths) -> OpenApi {
    let mut document = <CompareApiDoc as utoipa::OpenApi>::openapi();
    complete_operations(&mut document, site_paths);
    document
}

fn complete_operations(document: &mut OpenApi, site_paths: &SitePaths) {
    document.components.iter_mut().for_each(problems::declare);
    let url = if site_paths.base_path.is_empty() { "/" } else { &site_paths.base_path };
    document.servers.iter_mut().flatten().for_each(|server| url.clone_into(&mut server.url));
    for item in document.paths.paths.values_mut() {
        for (is_unsafe, operation) in operations(item) {
            mark_body_optional(operation);
            credentials::complete(is_unsafe, operation);
            problems::add(is_unsafe, operation);
        }
    }
}

/// The text of a document.
///
/// # Errors
/// When it does not serialise.
pub fn render(document: &OpenApi) -> Result<String, serde_json::Error> {
    text(serde_json::to_value(document)?)
}

/// With what `comparison.json` has in it.
fn render_comparison(document: &OpenApi) -> Result<String, serde_json::Error> {
    let mut value = serde_json::to_value(document)?;
    let reported: Map<String, Value> = serde_json::from_str(COMPARISON_SCHEMAS)?;
    if let Some(schemas) = value.pointer_mut("/components/schemas").and_then(Value::as_object_mut) {
        schemas.extend(reported);
    }
    text(value)
}

fn text(mut document: Value) -> Result<String, serde_json::Error> {
    discriminators::name_variants(&mut document);
    serde_json::to_string_pretty(&document)
}

/// Which modes there are is known only where they are put together.
fn mode_schema(modes: &AcceptedModes) -> RefOr<Schema> {
    let mode = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(modes.iter().map(|mode| Value::from(mode.name()))))
        .description(Some("How a login is presented: by an id that is looked up, or by signed claims."));
    mode.build().into()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (bool, &mut Operation)> {
    let PathItem { get, post, put, patch, delete, .. } = item;
    let unsafe_ones = [post, put, patch, delete].into_iter().flatten().map(|operation| (true, operation));
    get.iter_mut().map(|operation| (false, operation)).chain(unsafe_ones)
}

/// A body that may be left out is not `null` instead.
fn mark_body_optional(operation: &mut Operation) {
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
