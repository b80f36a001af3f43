//! `/compare`: the page and JSON of the last comparison of sessions and JWTs, prepared once per run, not per request.

mod last_report;
mod textbook;

use actix_web::http::header::{CACHE_CONTROL, ETAG, EntityTag, HeaderValue, IfNoneMatch};
use actix_web::web::{Data, Path};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, get};

use super::page::{self, CSS, DEFAULT_CSP, JAVASCRIPT};
use crate::error::{Code, Problem};

pub use self::last_report::LastReport;

/// The style sheet of a report's tables and charts, here and in the standalone report. A symbolic link, which `cargo package`
/// replaces by the file: a crate can't include files of another crate.
const REPORT_STYLE: &str = include_str!("comparison/report.css");

/// The latest comparison.
///
/// Written by `dualauth compare`. Before the first run on this machine it is the comparison that comes with the program,
/// with a warning that says so. A figure that has no meaning or was not measured is null.
#[utoipa::path(operation_id = "compare_json", tag = "comparison", responses(
    (status = 200, description = "The comparison.", body = ref("#/components/schemas/Comparison"),
        headers(("ETag" = String, description = "The version of the comparison, for `If-None-Match`."))),
    (status = 304, description = "The comparison has not changed since the version in `If-None-Match`."),
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

/// 304 if the client has the current version already, else the response (RFC 9110, section 13.1.2).
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

/// The page's style sheets and script.
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
