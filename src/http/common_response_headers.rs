//! The headers that every response gets, also an error whose response actix builds later.

use std::fmt;
use std::rc::Rc;

use actix_web::dev::ResponseHead;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::web::Bytes;
use actix_web::{Error, HttpResponse, ResponseError};

use crate::telemetry::RequestId;

use super::app_wide_context::HttpContext;

/// The response header with the request's id in the log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

// Statics, so that they are not validated again for each response.
static NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
static NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
static NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");

/// For responses that are not pages: forbids to display, load or run anything in them.
static NO_PAGE: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// Two years. Without `includeSubDomains`, since other services may be below the same host name. Without `preload`,
/// which can't be undone by setting `PUBLIC_URL` to http again.
static HTTPS_ONLY: HeaderValue = HeaderValue::from_static("max-age=63072000");

impl HttpContext {
    /// Adds the headers of every response: no caching unless the route allows it, no content type sniffing, no
    /// referrer, no rendering as a page.
    pub(super) fn add_headers(&self, headers: &mut HeaderMap, id: RequestId) {
        let mut unless_said = |name, value: &HeaderValue| {
            if !headers.contains_key(&name) {
                headers.insert(name, value.clone());
            }
        };
        unless_said(CACHE_CONTROL, &NO_STORE);
        unless_said(CONTENT_SECURITY_POLICY, &NO_PAGE);
        headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF.clone());
        headers.insert(REFERRER_POLICY, NO_REFERRER.clone());
        if self.is_https {
            headers.insert(STRICT_TRANSPORT_SECURITY, HTTPS_ONLY.clone());
        }
        let id = Bytes::copy_from_slice(id.as_str().as_bytes());
        if let Ok(id) = HeaderValue::from_maybe_shared(id) {
            headers.insert(REQUEST_ID, id);
        }
    }
}

/// The common headers of responses, for one response.
#[derive(Debug)]
pub(super) struct CommonResponseHeaders {
    pub(super) context: Rc<HttpContext>,
    pub(super) id: RequestId,
    pub(super) origin: Option<HeaderValue>,
    /// Whether the connection is closed after the response.
    pub(super) closes: bool,
}

impl CommonResponseHeaders {
    pub(super) fn add_to(&self, head: &mut ResponseHead) {
        self.context.add_headers(&mut head.headers, self.id);
        self.context.cors.add_cors_headers(&mut head.headers, self.origin.as_ref());
        if self.closes {
            head.set_connection_type(ConnectionType::Close);
        }
    }
}

/// An error whose response actix builds later; it adds the common headers then.
#[derive(Debug)]
pub(super) struct ErrorWithHeaders {
    pub(super) error: Error,
    pub(super) headers: CommonResponseHeaders,
}

impl fmt::Display for ErrorWithHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl ResponseError for ErrorWithHeaders {
    fn status_code(&self) -> StatusCode {
        self.error.as_response_error().status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = self.error.error_response();
        self.headers.add_to(response.head_mut());
        response
    }
}
