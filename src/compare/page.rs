//! `/compare`: the table that every tutorial ends with, with what was measured in place of each adjective.

mod textbook;

use std::path::PathBuf;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use actix_web::web::{Data, Json, Path};
use actix_web::{HttpResponse, get};
use utoipa_actix_web::service_config::ServiceConfig;

use super::Report;
use crate::error::{Code, Problem};

/// The paths for people, which the API's document does not list. They answer `GET`.
pub const PAGES: [&str; 2] = ["/compare", "/compare/{file}"];

/// Scripts, styles and data from here only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Where the last run is.
#[derive(Clone, Debug)]
pub struct LastRun(pub PathBuf);

impl LastRun {
    /// It is read each time: another may have been made.
    async fn read(&self) -> Result<Option<Report>, Problem> {
        let folder = self.0.clone();
        let reading = tokio::task::spawn_blocking(move || Report::read(&folder));
        reading.await.map_err(Problem::internal)?.map_err(Problem::internal)
    }
}

/// Registers these routes.
pub fn routes(config: &mut ServiceConfig) {
    config.service(compare_json);
    config.map(|config| config.service(compare).service(compare_file));
}

/// The comparison that was measured last.
///
/// `dualauth compare` makes it. Where a figure has no meaning, or could not be had, it is null.
#[utoipa::path(operation_id = "compare_json", tag = "service", responses(
    (status = 200, description = "What was found.", body = Report),
    (status = 404, description = "not_found"),
))]
#[get("/compare.json")]
async fn compare_json(last: Data<LastRun>) -> Result<Json<Report>, Problem> {
    let nothing = || Problem::new(Code::NotFound, "Nothing was measured here yet: run `dualauth compare`.");
    last.read().await?.map(Json).ok_or_else(nothing)
}

/// The page.
#[get("/compare")]
async fn compare(last: Data<LastRun>) -> Result<HttpResponse, Problem> {
    let report = last.read().await?;
    let body = textbook::page(report.as_ref()).map_err(Problem::internal)?;
    Ok(served("text/html; charset=utf-8", body))
}

/// What the page loads.
#[get("/compare/{file}")]
async fn compare_file(file: Path<String>) -> Result<HttpResponse, Problem> {
    match file.as_str() {
        "report.css" => Ok(served("text/css; charset=utf-8", include_str!("report/style.css"))),
        "page.css" => Ok(served("text/css; charset=utf-8", include_str!("page/page.css"))),
        "page.js" => Ok(served("text/javascript; charset=utf-8", include_str!("page/page.js"))),
        _ => Err(Problem::new(Code::NotFound, "The page has no such file.")),
    }
}

fn served(content_type: &str, body: impl Into<String>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(content_type)
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .body(body.into())
}
