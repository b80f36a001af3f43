//! `/compare`: the table that every tutorial ends with, with what was measured in place of each adjective.

mod textbook;

use std::path::PathBuf;

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpResponse, get};

use super::SiteFacts;
use super::page::{self, CSS, JAVASCRIPT, OURS};
use crate::compare::Report;
use crate::compare::report::STYLE;
use crate::error::{Code, Problem};

/// The folder of the last run.
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

/// The comparison that was measured last.
///
/// `dualauth compare` makes it. Where a figure has no meaning, or could not be had, it is null.
#[utoipa::path(operation_id = "compare_json", tag = "service", responses(
    (status = 200, description = "What was found.", body = Report),
    (status = 404, description = "not_found"),
))]
#[get("/compare.json")]
pub(super) async fn compare_json(last: Data<LastRun>) -> Result<Json<Report>, Problem> {
    let nothing = || Problem::new(Code::NotFound, "Nothing was measured here yet: run `dualauth compare`.");
    last.read().await?.map(Json).ok_or_else(nothing)
}

/// The page.
#[get("/compare")]
pub(super) async fn compare(last: Data<LastRun>, facts: Data<SiteFacts>) -> Result<HttpResponse, Problem> {
    let report = last.read().await?;
    let page = textbook::page(report.as_ref()).map_err(Problem::internal)?;
    Ok(page::page("/compare", &page, &facts))
}

/// What the page loads.
#[get("/compare/{file}")]
pub(super) async fn compare_file(file: Path<String>) -> Result<HttpResponse, Problem> {
    let (content_type, text) = match file.as_str() {
        "report.css" => (CSS, STYLE),
        "style.css" => (CSS, include_str!("comparison/style.css")),
        "live.js" => (JAVASCRIPT, include_str!("comparison/live.js")),
        _ => return Err(Problem::new(Code::NotFound, "The comparison has no such file.")),
    };
    Ok(page::file(OURS, content_type, text))
}
