//! Checks which origins' pages may send requests that change something.

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{HeaderMap, ORIGIN};
use actix_web::web;

use crate::error::{Code, Problem};
use crate::http::cors::only_origin;
use crate::http::forward_auth_endpoint_path::is_forward_auth;
use crate::logins::Transport;

/// The origins whose pages may call the service (RFC 6454).
#[derive(Clone, Debug)]
pub struct Origins {
    /// This server's own origins: one for each name that it is reached by.
    pub own: Vec<String>,
    /// `ALLOWED_ORIGINS`.
    pub allowed: Vec<String>,
}

impl Origins {
    /// Whether an unsafe request with these headers is allowed. Browsers send its source in `Origin` or
    /// `Sec-Fetch-Site` (W3C Fetch Metadata). A client that sends neither is not a browser, so it has no cookies that
    /// a foreign page could abuse.
    fn allows(&self, headers: &HeaderMap) -> bool {
        let is_ours =
            |origin: &[u8]| self.own.iter().chain(&self.allowed).any(|ours| ours.as_bytes() == origin);
        if headers.contains_key(ORIGIN) {
            return only_origin(headers).is_some_and(|origin| is_ours(origin.as_bytes()));
        }
        headers.get_all("sec-fetch-site").all(|site| matches!(site.as_bytes(), b"same-origin" | b"none"))
    }
}

/// Logs a warning if a cross-site page signs in by cookie: the cookies are SameSite, so browsers ignore them (RFC
/// 6265bis, section 5.7.3).
pub fn warn_of_lost_cookies(transport: Transport, headers: &HeaderMap) {
    let is_of_another_site = headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
    if transport == Transport::Cookie && is_of_another_site {
        let origin = headers.get(ORIGIN).map(|origin| String::from_utf8_lossy(origin.as_bytes()));
        tracing::warn!(
            origin = origin.as_deref(),
            "cross-site sign-in by cookie: browsers ignore the cookie. Sign in with `\"transport\": \"bearer\"`, or \
             serve the page from the same registrable domain"
        );
    }
}

/// Rejects requests with unsafe methods from other origins' pages, including sign-in and registration.
///
/// # Errors
/// `cross_origin`.
pub fn check_origin(request: &ServiceRequest) -> Result<(), Problem> {
    let is_admitted = || {
        let origins = request.app_data::<web::Data<Origins>>();
        origins.is_some_and(|origins| origins.allows(request.headers()))
    };
    if request.method().is_safe() || is_forward_auth(request.match_info().as_str()) || is_admitted() {
        return Ok(());
    }
    Err(Problem::new(Code::CrossOrigin, "Only pages of PUBLIC_URL and of ALLOWED_ORIGINS may do that here."))
}
