//! `/handoff`: the page that hands a login off to the browser that opens it, after a press.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get};

use crate::error::{Code, Problem};

use super::BasePathAndCookieNames;
use super::page::{self, CSS, DEFAULT_CSP, JAVASCRIPT, SVG};

/// The page. The code is in the link's fragment, which browsers send to nobody.
#[get("/handoff")]
pub(super) async fn handoff_page(base_path_and_cookie_names: Data<BasePathAndCookieNames>) -> HttpResponse {
    page::html_response(base_path_and_cookie_names.with_base_path(include_str!("handoff_page/index.html")))
}

/// The page's files. It looks as the page of mails does.
#[get("/handoff/{file}")]
pub(super) async fn handoff_page_file(file: Path<String>) -> Result<HttpResponse, Problem> {
    let (content_type, text) = match file.as_str() {
        "style.css" => (CSS, concat!(include_str!("common.css"), include_str!("mail_page/style.css"))),
        "icon.svg" => (SVG, include_str!("playground/icon.svg")),
        "main.js" => (JAVASCRIPT, include_str!("handoff_page/main.js")),
        "texts.js" => (JAVASCRIPT, include_str!("handoff_page/texts.js")),
        _ => return Err(Problem::new(Code::NotFound, "The page of hand-offs has no such file.")),
    };
    Ok(page::file(DEFAULT_CSP, content_type, text))
}
