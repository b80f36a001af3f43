//! CORS: which pages of other origins may call, and read what they are answered (WHATWG Fetch, section 3.3).

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

use super::forward_auth::is_forward_auth;
use super::parser_refusal::RequestPrefix;

/// Every method that a route has. What a path does not answer is told by a 405 that the page can read.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

/// What a page may read beside what it always may.
const EXPOSED: &str = "www-authenticate, retry-after, x-request-id, ratelimit, ratelimit-policy";

/// How long a browser may remember what it was told, in seconds: no longer than it takes to get used to a mistake.
const MAX_AGE: &str = "600";

/// A page of a public network that calls into a private one asks for this as well (Private Network Access, section 3.1).
const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// How much of an origin is logged, in bytes.
const MAX_ORIGIN: usize = 256;

/// Which pages of other origins may call.
#[derive(Clone, Debug, Default)]
pub struct Cors {
    /// Those of these may, with credentials: by name, and never by wildcard.
    pub allowed: Vec<String>,
    /// Those of these are not from elsewhere.
    pub own: Vec<String>,
}

impl Cors {
    /// The origin of the page that sent this, if it is an allowed one.
    pub fn allowed_origin(&self, request: &ServiceRequest) -> Option<HeaderValue> {
        if self.allowed.is_empty() || is_forward_auth(request.match_info().as_str()) {
            return None;
        }
        let origin = only_origin(request.headers())?;
        is_one_of(&self.allowed, origin.as_bytes()).then(|| origin.clone())
    }

    /// The same of a request of which this is all that could be read.
    pub fn allowed_origin_of(&self, beginning: &RequestPrefix) -> Option<HeaderValue> {
        if self.allowed.is_empty() || is_forward_auth(beginning.method_and_path().1) {
            return None;
        }
        let origin = beginning.origin().filter(|origin| is_one_of(&self.allowed, origin))?;
        HeaderValue::from_bytes(origin).ok()
    }

    /// Lets a page of this origin, or none, read an answer.
    pub fn share(&self, headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
        if self.allowed.is_empty() {
            return;
        }
        // Also without an origin: what is remembered of this answer is not for a page that has one.
        headers.append(VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = origin else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }

    /// Answers a preflight; `None` when the request is none. Any request header is allowed: what may be sent is no secret,
    /// and who may call is known.
    ///
    /// # Errors
    /// `cross_origin`, to a page of an origin that is not allowed.
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
        // This server's own pages need not ask.
        if is_only_one_of(&self.own) {
            return None;
        }
        let origin = String::from_utf8_lossy(first.as_bytes());
        let cut = &origin[..origin.floor_char_boundary(MAX_ORIGIN)];
        tracing::info!(origin = ?cut, "cross-origin request refused: the origin is not in ALLOWED_ORIGINS");
        Some(Err(Problem::new(Code::CrossOrigin, "Only pages of ALLOWED_ORIGINS may call from elsewhere.")))
    }
}

/// Two are none: no browser sends them, and nobody can tell which is meant.
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
        // By name: with credentials, `*` is the name of a header.
        response.append_header((ACCESS_CONTROL_ALLOW_HEADERS, headers.clone()));
    }
    if request.contains_key(REQUEST_PRIVATE_NETWORK) {
        response.insert_header((ALLOW_PRIVATE_NETWORK, "true"));
    }
    response.finish()
}
