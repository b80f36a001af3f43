//! What the handling of all requests shares: settings, routes and metrics; and the response to a request that the parser
//! refuses.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::ResponseError;
use actix_web::body::MessageBody;
use actix_web::web::Data;

use crate::metrics::Metrics;
use crate::telemetry::{self, AccessRecord, RequestId, TraceExporter};

use super::base_path::BasePath;
use super::client::TrustedProxies;
use super::cors::Cors;
use super::parser_refusal::{BareResponse, RequestPrefix};
use super::route_index::RouteIndex;

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
