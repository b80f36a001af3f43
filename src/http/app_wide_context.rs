//! The outermost HTTP layer: headers of every response, and checks of every request before routing.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::ResponseError;
use actix_web::body::MessageBody;
use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::web::{Bytes, Data};

use crate::error::{Code, Problem};
use crate::metrics::Metrics;
use crate::telemetry::{self, AccessRecord, RequestId, TraceExporter};

use super::base_path::BasePath;
use super::client::TrustedProxies;
use super::cors::Cors;
use super::parser_refusal::{BareResponse, MAX_TARGET, RequestPrefix, too_long_a_path};
use super::route_index::RouteIndex;

/// Maximum total size of a request's headers, in bytes: eight cookies of the size that browsers keep.
pub(super) const MAX_HEADERS: usize = 32 * 1024;

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

/// Settings and shared state of request handling: proxies, CORS, routes, metrics.
#[derive(Clone, Debug)]
pub struct HttpContext {
    /// Whether clients use https.
    pub is_https: bool,
    /// The path under which clients see the service, if it is not at the root of its host.
    pub base_path: Option<BasePath>,
    /// Proxies that may report a client's address.
    pub proxies: Data<TrustedProxies>,
    /// Origins whose pages may read responses.
    pub cors: Cors,
    /// The known routes, with their metrics.
    pub routes: Data<RouteIndex>,
    /// Other metrics.
    pub metrics: Metrics,
    /// The exporter of spans, if one is configured.
    pub spans: Option<TraceExporter>,
}

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

    /// Builds the response to a request that actix's parser has rejected, and counts and logs it: there is no request
    /// object, and so no [`Exchange`](super::request_observation::Exchange).
    pub fn refuse(&self, bare: &BareResponse<'_>, beginning: &RequestPrefix, peer: IpAddr) -> Vec<u8> {
        let (id, problem) = (RequestId::random(), beginning.problem(bare.status));
        let ((method, path), code) = (beginning.method_and_path(), problem.code().as_str());
        let status = problem.status_code().as_u16();
        self.routes.counts(None).answered(method, status, Duration::ZERO);
        self.metrics.problem(code);
        let client = peer.to_canonical();
        let code = Some(code);
        telemetry::access(&AccessRecord {
            method,
            path,
            status,
            micros: 0,
            request_id: id,
            client,
            who: None,
            code,
        });

        let mut response = problem.response();
        self.add_headers(response.headers_mut(), id);
        self.cors.add_cors_headers(response.headers_mut(), self.cors.allowed_origin_of(beginning).as_ref());
        let reason = response.status().canonical_reason().unwrap_or_default();
        let mut answer =
            format!("{} {status} {reason}\r\n{}\r\nconnection: close\r\n", bare.version, bare.date)
                .into_bytes();
        let line = |name: &[u8], value: &[u8]| [name, b": ", value, b"\r\n"].concat();
        for (name, value) in response.headers() {
            answer.extend(line(name.as_str().as_bytes(), value.as_bytes()));
        }
        let body = response.into_body().try_into_bytes().unwrap_or_default();
        answer.extend(line(b"content-length", body.len().to_string().as_bytes()));
        [&answer, &b"\r\n"[..], &body].concat()
    }
}

/// Rejects a request with a too large head. actix itself accepts up to 128 KiB.
///
/// # Errors
/// `malformed_request`, as 414 or 431.
pub fn check_head(request: &ServiceRequest) -> Result<(), Problem> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > MAX_TARGET {
        return Err(too_long_a_path());
    }
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    if headers.sum::<usize>() > MAX_HEADERS {
        let detail = format!("Headers have {MAX_HEADERS} bytes at most.");
        return Err(Problem::new(Code::MalformedRequest, detail).with_status(431));
    }
    Ok(())
}

/// Lets `GET` routes answer `HEAD` as well (RFC 9110, section 9.3.2). The codec omits the body, since it remembers
/// the original method.
pub fn head_as_get(request: &mut ServiceRequest) {
    if request.method() == Method::HEAD {
        request.head_mut().method = Method::GET;
    }
}
