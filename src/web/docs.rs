//! `/docs/`: Swagger UI, set up so that every route can be tried in both modes.

use std::sync::Arc;

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get};
use utoipa_swagger_ui::Config;

use crate::error::{Code, Problem};

use super::BasePathAndCookieNames;
use super::page::{self, CSS, HTML, JAVASCRIPT};

/// The Content-Security-Policy: everything from this origin only, and `data:` for some icons of Swagger UI.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page.
#[get("/docs/")]
pub(super) async fn docs(base_path_and_cookie_names: Data<BasePathAndCookieNames>) -> HttpResponse {
    page::file(POLICY, HTML, base_path_and_cookie_names.with_base_path(include_str!("docs/index.html")))
}

/// The page's files: our own set-up, and Swagger UI unchanged.
#[get("/docs/{file}")]
pub(super) async fn docs_file(file: Path<String>) -> Result<HttpResponse, Problem> {
    match file.as_str() {
        "setup.js" => Ok(page::file(POLICY, JAVASCRIPT, include_str!("docs/setup.js"))),
        "setup.css" => Ok(page::file(POLICY, CSS, include_str!("docs/setup.css"))),
        name => swagger_ui(name),
    }
}

fn swagger_ui(name: &str) -> Result<HttpResponse, Problem> {
    let file = utoipa_swagger_ui::serve(name, Arc::new(Config::default())).map_err(Problem::internal)?;
    let file = file.ok_or_else(|| Problem::new(Code::NotFound, "Swagger UI has no such file."))?;
    Ok(page::file(POLICY, &file.content_type, file.bytes.into_owned()))
}

/// Redirects to the page with the trailing slash.
#[get("/docs")]
pub(super) async fn docs_without_slash(
    base_path_and_cookie_names: Data<BasePathAndCookieNames>,
) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((LOCATION, format!("{}/docs/", base_path_and_cookie_names.base_path)))
        .finish()
}
