//! `/mail`: the page that the link in a mail opens. It uses no file of another page.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get};

use crate::error::{Code, Problem};

use super::BasePathAndCookieNames;
use super::page::{self, CSS, DEFAULT_CSP, JAVASCRIPT, SVG};

/// The page. The id and the code are in the link's fragment, which browsers send to nobody.
#[get("/mail")]
pub(super) async fn mail_page(base_path_and_cookie_names: Data<BasePathAndCookieNames>) -> HttpResponse {
    page::html_response(base_path_and_cookie_names.with_base_path(include_str!("mail_page/index.html")))
}

/// The page's files.
#[get("/mail/{file}")]
pub(super) async fn mail_page_file(file: Path<String>) -> Result<HttpResponse, Problem> {
    let (content_type, text) = match file.as_str() {
        "style.css" => (CSS, concat!(include_str!("common.css"), include_str!("mail_page/style.css"))),
        "icon.svg" => (SVG, include_str!("playground/icon.svg")),
        "main.js" => (JAVASCRIPT, include_str!("mail_page/main.js")),
        "challenge-store.js" => (JAVASCRIPT, include_str!("mail_page/challenge-store.js")),
        "redemption.js" => (JAVASCRIPT, include_str!("mail_page/redemption.js")),
        "texts.js" => (JAVASCRIPT, include_str!("mail_page/texts.js")),
        _ => return Err(Problem::new(Code::NotFound, "The page of mails has no such file.")),
    };
    Ok(page::file(DEFAULT_CSP, content_type, text))
}
