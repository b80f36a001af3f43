//! `/compare`: the table that every tutorial ends with, with what was measured in place of each adjective. What is shown is what
//! a run wrote; nothing is drawn for a request.

mod last_report;
mod textbook;

use actix_web::http::header::{CACHE_CONTROL, ETAG, EntityTag, HeaderValue, IfNoneMatch};
use actix_web::web::{Data, Path};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, get};

use super::page::{self, CSS, DEFAULT_CSP, JAVASCRIPT};
use crate::error::{Code, Problem};

pub use self::last_report::LastReport;

/// What the tables and charts of a report look like, here and where it stands alone.
const REPORT_STYLE: &str = include_str!("../../crates/compare/src/report/report.css");

/// The comparison that was measured last.
///
/// `dualauth compare` makes it. Before the first run on this machine it is the one that comes with the program, and its
/// warnings say so. Where a figure has no meaning, or could not be had, it is null.
#[utoipa::path(operation_id = "compare_json", tag = "comparison", responses(
    (status = 200, description = "What was found.", body = ref("#/components/schemas/Comparison"),
        headers(("ETag" = String, description = "For `If-None-Match`: it has not changed since."))),
    (status = 304, description = "It is the one that you have."),
))]
#[get("/compare.json")]
pub(super) async fn compare_json(
    last: Data<LastReport>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let report = last.current().await?;
    let answer = || HttpResponse::Ok().content_type("application/json").body(report.json.clone());
    Ok(not_modified_or(&request, &report.tag, answer))
}

/// The page.
#[get("/compare")]
pub(super) async fn compare(last: Data<LastReport>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let report = last.current().await?;
    Ok(not_modified_or(&request, &report.tag, || page::html_response(report.page.clone())))
}

/// Whoever has it already is told so, and sent nothing (RFC 9110, section 13.1.2).
fn not_modified_or(
    request: &HttpRequest,
    tag: &EntityTag,
    answer: impl FnOnce() -> HttpResponse,
) -> HttpResponse {
    let is_known = match request.get_header::<IfNoneMatch>() {
        None => false,
        Some(IfNoneMatch::Any) => true,
        Some(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(tag)),
    };
    let mut answer = if is_known { HttpResponse::NotModified().finish() } else { answer() };
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = tag.to_string().parse() {
        headers.insert(ETAG, tag);
    }
    answer
}

/// What the page loads.
#[get("/compare/{file}")]
pub(super) async fn compare_file(file: Path<String>) -> Result<HttpResponse, Problem> {
    let (content_type, text) = match file.as_str() {
        "report.css" => (CSS, REPORT_STYLE),
        "style.css" => (CSS, include_str!("comparison/style.css")),
        "live.js" => (JAVASCRIPT, include_str!("comparison/live.js")),
        _ => return Err(Problem::new(Code::NotFound, "The comparison has no such file.")),
    };
    Ok(page::file(DEFAULT_CSP, content_type, text))
}
