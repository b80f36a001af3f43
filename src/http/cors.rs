//! CORS: which origins' pages may call the service and read its responses (WHATWG Fetch, section 3.3).

use actix_web::HttpResponse;
use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue,
    ORIGIN, VARY,
};

use crate::error::{Code, Problem};

use super::forward_auth_endpoint_path::is_forward_auth;
use super::parser_refusal::RequestPrefix;

/// The methods of all routes. A path that lacks the method responds with 405, which the page can read.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

/// Response headers that a page may read besides the safelisted ones.
const EXPOSED: &str = "www-authenticate, retry-after, x-request-id, ratelimit, ratelimit-policy";

/// How long a browser may cache a preflight, in seconds. Short, so that a corrected setting takes effect soon.
const MAX_AGE: &str = "600";

/// Sent by a page of a public network that calls a private one (Private Network Access, section 3.1).
const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// Maximum length of a logged origin, in bytes.
const MAX_ORIGIN: usize = 256;

/// Origins whose pages may call the service.
#[derive(Clone, Debug, Default)]
pub struct Cors {
    /// Allowed with credentials: exact origins, no wildcards.
    pub allowed: Vec<String>,
    /// This server's own origins, which need no CORS.
    pub own: Vec<String>,
}

impl Cors {
    /// The origin of the request, if it is an allowed one.
    pub fn allowed_origin(&self, request: &ServiceRequest) -> Option<HeaderValue> {
        if self.allowed.is_empty() || is_forward_auth(request.match_info().as_str()) {
            return None;
        }
        let origin = only_origin(request.headers())?;
        is_one_of(&self.allowed, origin.as_bytes()).then(|| origin.clone())
    }

    /// Like [`Self::allowed_origin`], for a request of which only the beginning could be read.
    pub fn allowed_origin_of(&self, beginning: &RequestPrefix) -> Option<HeaderValue> {
        if self.allowed.is_empty() || is_forward_auth(beginning.method_and_path().1) {
            return None;
        }
        let origin = beginning.origin().filter(|origin| is_one_of(&self.allowed, origin))?;
        HeaderValue::from_bytes(origin).ok()
    }

    /// Adds the headers that let a page of this origin read the response.
    pub fn add_cors_headers(&self, headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
        if self.allowed.is_empty() {
            return;
        }
        // Also without an origin: a cached response without the headers must not be used for a page that needs them.
        headers.append(VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = origin else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }

    /// The response to a preflight; `None` when the request is not one. Every request header is allowed, since the
    /// origin is restricted.
    ///
    /// # Errors
    /// `cross_origin`, when the origin is not allowed.
    pub fn preflight(&self, request: &ServiceRequest) -> Option<Result<HttpResponse, Problem>> {
        if request.method() != Method::OPTIONS || is_forward_auth(request.match_info().as_str()) {
            return None;
        }
        let headers = request.headers();
        let first = headers.get(ORIGIN).filter(|_| headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD))?;
        let is_only_one_of =
            |origins| only_origin(headers).is_some_and(|origin| is_one_of(origins, origin.as_bytes()));
        if is_only_one_of(&self.allowed) {
            return Some(Ok(allowed(headers)));
        }
        // Pages of this server send no preflights.
        if is_only_one_of(&self.own) {
            return None;
        }
        let origin = String::from_utf8_lossy(first.as_bytes());
        let cut = &origin[..origin.floor_char_boundary(MAX_ORIGIN)];
        tracing::info!(origin = ?cut, "cross-origin request refused: the origin is not in ALLOWED_ORIGINS");
        Some(Err(Problem::new(Code::CrossOrigin, "Only pages of ALLOWED_ORIGINS may call from elsewhere.")))
    }
}

/// The single `Origin` header. Browsers never send two, and it would be ambiguous which one counts.
pub fn only_origin(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut origins = headers.get_all(ORIGIN);
    origins.next().filter(|_| origins.next().is_none())
}

fn is_one_of(origins: &[String], origin: &[u8]) -> bool {
    origins.iter().any(|one| one.as_bytes() == origin)
}

fn allowed(request: &HeaderMap) -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    response
        .insert_header((ACCESS_CONTROL_ALLOW_METHODS, METHODS))
        .insert_header((ACCESS_CONTROL_MAX_AGE, MAX_AGE));
    for headers in request.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
        // By name: with credentials, browsers take `*` literally.
        response.append_header((ACCESS_CONTROL_ALLOW_HEADERS, headers.clone()));
    }
    if request.contains_key(REQUEST_PRIVATE_NETWORK) {
        response.insert_header((ALLOW_PRIVATE_NETWORK, "true"));
    }
    response.finish()
}
