//! `/`, the playground: an interactive page with both modes side by side, and the requests and cookies of each.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get};

use crate::error::{Code, Problem};
use crate::mail::Mails;
use crate::sign_in::SignIn;

use super::BasePathAndCookieNames;
use super::local_mails;
use super::page::{self, CSS, DEFAULT_CSP, HTML, JAVASCRIPT, SVG};

/// Only where `GET /playground/mails` answers.
const MAILS_PANEL: &str = include_str!("playground/mails-panel.html");

/// Only with `EMAIL_SIGN_IN`.
const SIGN_IN_BY_CODE: &str = "<option value=\"login\">Sign in</option>";

/// The page.
#[get("/")]
pub(super) async fn playground(
    request: HttpRequest,
    base_path_and_cookie_names: Data<BasePathAndCookieNames>,
    mails: Data<Mails>,
    sign_in: Data<SignIn>,
) -> HttpResponse {
    let mails_panel = local_mails::folder_for(&request, &mails).map_or("", |_| MAILS_PANEL);
    let html = include_str!("playground/index.html")
        .replace("<!-- cookie names -->", &cookie_names(&base_path_and_cookie_names))
        .replace("<!-- sign-in by code -->", if sign_in.offers_codes() { SIGN_IN_BY_CODE } else { "" })
        .replace("<!-- mails panel -->", mails_panel);
    page::page("/", &html, &base_path_and_cookie_names)
}

/// The cookie names, for the page's scripts: they can't read HttpOnly cookies.
fn cookie_names(base_path_and_cookie_names: &BasePathAndCookieNames) -> String {
    let BasePathAndCookieNames { session_cookie, access_token_cookie, refresh_token_cookie, .. } =
        base_path_and_cookie_names;
    format!(
        "<meta name=\"cookie-names\" content=\"{session_cookie} {access_token_cookie} {refresh_token_cookie}\">"
    )
}

/// The page's files.
#[get("/playground/{file}")]
pub(super) async fn playground_file(file: Path<String>) -> Result<HttpResponse, Problem> {
    let (content_type, text) =
        text(&file).ok_or_else(|| Problem::new(Code::NotFound, "The playground has no such file."))?;
    Ok(page::file(DEFAULT_CSP, content_type, text))
}

fn text(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        "style.css" => (CSS, concat!(include_str!("common.css"), include_str!("playground/style.css"))),
        "icon.svg" => (SVG, include_str!("playground/icon.svg")),
        "main.js" => (JAVASCRIPT, include_str!("playground/main.js")),
        "account-panel.js" => (JAVASCRIPT, include_str!("playground/account-panel.js")),
        "actions.js" => (JAVASCRIPT, include_str!("playground/actions.js")),
        "base-path.js" => (JAVASCRIPT, include_str!("playground/base-path.js")),
        "challenge.js" => (JAVASCRIPT, include_str!("playground/challenge.js")),
        "clock.js" => (JAVASCRIPT, include_str!("playground/clock.js")),
        "code-actions.js" => (JAVASCRIPT, include_str!("playground/code-actions.js")),
        "codes-panel.js" => (JAVASCRIPT, include_str!("playground/codes-panel.js")),
        "cookies.js" => (JAVASCRIPT, include_str!("playground/cookies.js")),
        "credential-card.js" => (JAVASCRIPT, include_str!("playground/credential-card.js")),
        "credential-checks.js" => (JAVASCRIPT, include_str!("playground/credential-checks.js")),
        "credential.js" => (JAVASCRIPT, include_str!("playground/credential.js")),
        "credentials-panel.js" => (JAVASCRIPT, include_str!("playground/credentials-panel.js")),
        "dom.js" => (JAVASCRIPT, include_str!("playground/dom.js")),
        "exchange-actions.js" => (JAVASCRIPT, include_str!("playground/exchange-actions.js")),
        "exchange-panel.js" => (JAVASCRIPT, include_str!("playground/exchange-panel.js")),
        "factor-actions.js" => (JAVASCRIPT, include_str!("playground/factor-actions.js")),
        "factors-panel.js" => (JAVASCRIPT, include_str!("playground/factors-panel.js")),
        "http-client.js" => (JAVASCRIPT, include_str!("playground/http-client.js")),
        "jwt.js" => (JAVASCRIPT, include_str!("playground/jwt.js")),
        "login-records.js" => (JAVASCRIPT, include_str!("playground/login-records.js")),
        "mails-panel.js" => (JAVASCRIPT, include_str!("playground/mails-panel.js")),
        "page-authenticator.js" => (JAVASCRIPT, include_str!("playground/page-authenticator.js")),
        "pending-sign-in.js" => (JAVASCRIPT, include_str!("playground/pending-sign-in.js")),
        "precedence-panel.js" => (JAVASCRIPT, include_str!("playground/precedence-panel.js")),
        "proofs-table.js" => (JAVASCRIPT, include_str!("playground/proofs-table.js")),
        "provider-attempt-box.js" => (JAVASCRIPT, include_str!("playground/provider-attempt-box.js")),
        "provider-attempt.js" => (JAVASCRIPT, include_str!("playground/provider-attempt.js")),
        "provider-return-channel.js" => (JAVASCRIPT, include_str!("playground/provider-return-channel.js")),
        "provider-return.html" => (HTML, include_str!("playground/provider-return.html")),
        "provider-return.js" => (JAVASCRIPT, include_str!("playground/provider-return.js")),
        "recovery-codes.js" => (JAVASCRIPT, include_str!("playground/recovery-codes.js")),
        "request-log.js" => (JAVASCRIPT, include_str!("playground/request-log.js")),
        "status-bar.js" => (JAVASCRIPT, include_str!("playground/status-bar.js")),
        "test-user.js" => (JAVASCRIPT, include_str!("playground/test-user.js")),
        "user-panel.js" => (JAVASCRIPT, include_str!("playground/user-panel.js")),
        "web-authn.js" => (JAVASCRIPT, include_str!("playground/web-authn.js")),
        _ => return None,
    })
}
