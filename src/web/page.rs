//! Built-in HTML pages: the common header, and the response headers of pages and their files.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use actix_web::web::Bytes;

use super::BasePathAndCookieNames;

pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const CSS: &str = "text/css; charset=utf-8";
pub(super) const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
pub(super) const SVG: &str = "image/svg+xml";

/// The Content-Security-Policy of our own pages: everything from this origin only. Trusted Types (W3C) keep scripts from
/// inserting markup, so that names and tokens can only be shown as text.
pub(super) const DEFAULT_CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// The links of the navigation.
const PAGES: [(&str, &str); 4] =
    [("/", "Playground"), ("/compare", "Comparison"), ("/docs/", "Swagger UI"), ("/openapi.json", "OpenAPI")];

/// The response with a page; `<!-- top -->` in its HTML is replaced by the common header.
pub(super) fn page(
    path: &str,
    html: &str,
    base_path_and_cookie_names: &BasePathAndCookieNames,
) -> HttpResponse {
    html_response(self::html(path, html, base_path_and_cookie_names))
}

/// The HTML of a page with the common header, and its links below the path of `PUBLIC_URL`.
pub(super) fn html(path: &str, html: &str, base_path_and_cookie_names: &BasePathAndCookieNames) -> String {
    base_path_and_cookie_names.with_base_path(&html.replace("<!-- top -->", &site_header(path)))
}

/// The response with complete HTML.
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
        "<header class=\"site-header\">\n  \
         <p class=\"brand\"><img src=\"/playground/icon.svg\" alt=\"\" width=\"28\" height=\"28\"> dualauth</p>\n  \
         <nav aria-label=\"Pages\">\n    <ul>\n{links}    </ul>\n  </nav>\n</header>\n"
    )
}

/// The response with a file. Caches must revalidate, because a newer version has other files under the same names.
pub(super) fn file(policy: &'static str, content_type: &str, body: impl Into<Bytes>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(content_type)
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .body(body.into())
}
