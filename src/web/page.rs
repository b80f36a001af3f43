//! Pages that are built in: the top of each, and what every file of them is served with.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use actix_web::web::Bytes;

use super::SitePaths;

pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const CSS: &str = "text/css; charset=utf-8";
pub(super) const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
pub(super) const SVG: &str = "image/svg+xml";

/// The content policy of pages that are all ours: scripts, styles, pictures and data from here only. And no script may
/// make markup of what it was told (W3C Trusted Types): names and tokens are shown as the text that they are.
pub(super) const DEFAULT_CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// The ways from page to page.
const PAGES: [(&str, &str); 4] =
    [("/", "Playground"), ("/compare", "Comparison"), ("/docs/", "Swagger UI"), ("/openapi.json", "OpenAPI")];

/// The page of ours at this path: where its HTML says `<!-- top -->`, there is the way to the others.
pub(super) fn page(path: &str, html: &str, site_paths: &SitePaths) -> HttpResponse {
    html_response(self::html(path, html, site_paths))
}

/// Its HTML, with the way to the others, below the path of `PUBLIC_URL`.
pub(super) fn html(path: &str, html: &str, site_paths: &SitePaths) -> String {
    site_paths.with_base_path(&html.replace("<!-- top -->", &site_header(path)))
}

/// A page of ours whose HTML is complete.
pub(super) fn html_response(html: impl Into<Bytes>) -> HttpResponse {
    file(DEFAULT_CSP, HTML, html)
}

fn site_header(path: &str) -> String {
    let links: String = PAGES
        .iter()
        .map(|&(to, name)| {
            let current = if to == path { " aria-current=\"page\"" } else { "" };
            format!("      <li><a href=\"{to}\"{current}>{name}</a></li>\n")
        })
        .collect();
    format!(
        "<header class=\"top\">\n  \
         <p class=\"brand\"><img src=\"/playground/icon.svg\" alt=\"\" width=\"28\" height=\"28\"> dualauth</p>\n  \
         <nav aria-label=\"Pages\">\n    <ul>\n{links}    </ul>\n  </nav>\n</header>\n"
    )
}

/// This file, under this content policy. A cache asks each time: a newer program has newer files under the same names.
pub(super) fn file(policy: &'static str, content_type: &str, body: impl Into<Bytes>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(content_type)
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .body(body.into())
}
