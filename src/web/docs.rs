//! Swagger UI, set up so that every route can be tried in both modes.

use std::sync::Arc;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION};
use actix_web::web::Path;
use actix_web::{HttpResponse, get, routes};
use utoipa_swagger_ui::Config;

use crate::error::{Code, Problem};

/// Scripts, styles and data from here only; Swagger UI draws some of its icons from `data:`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page.
#[get("/docs/")]
pub(super) async fn docs() -> HttpResponse {
    page("text/html; charset=utf-8", include_str!("docs/index.html").into())
}

/// What the page loads: our own set-up, and Swagger UI as it is.
#[get("/docs/{file}")]
pub(super) async fn docs_file(file: Path<String>) -> Result<HttpResponse, Problem> {
    match file.as_str() {
        "setup.js" => Ok(page("text/javascript; charset=utf-8", include_str!("docs/setup.js").into())),
        "setup.css" => Ok(page("text/css; charset=utf-8", include_str!("docs/setup.css").into())),
        name => swagger_ui(name),
    }
}

fn swagger_ui(name: &str) -> Result<HttpResponse, Problem> {
    let file = utoipa_swagger_ui::serve(name, Arc::new(Config::default())).map_err(Problem::internal)?;
    let file = file.ok_or_else(|| Problem::new(Code::NotFound, "Swagger UI has no such file."))?;
    Ok(page(&file.content_type, file.bytes.into_owned()))
}

fn page(content_type: &str, body: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(content_type)
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .body(body)
}

/// Shows a person who comes to a bare address where to go.
#[routes]
#[get("/")]
#[get("/docs")]
pub(super) async fn root() -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, "/docs/")).finish()
}
