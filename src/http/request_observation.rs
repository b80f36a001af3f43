//! Observes each request until its response: access log, metrics and span.

use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::time::Instant;

use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{Error, HttpResponse};

use crate::error::{Code, Problem};
use crate::telemetry::{self, AccessRecord, AnsweredRequest, RequestId, TraceParent};

use super::app_wide_context::HttpContext;
use super::client::address_of;
use super::common_response_headers::{CommonResponseHeaders, ErrorWithHeaders};
use super::feed_endpoint_path::FEED;
use super::tracked_body::TrackedBody;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A request that is being processed.
#[derive(Debug)]
pub struct Exchange {
    context: Rc<HttpContext>,
    start: Instant,
    method: Method,
    path: String,
    route: Option<usize>,
    parent: Option<TraceParent>,
    id: RequestId,
    client: IpAddr,
    /// The origin of the page that sent the request, if it may read the response.
    origin: Option<HeaderValue>,
    body: Option<TrackedBody>,
    /// The client, if the work goes on without it (see [`super::uncancelled`]).
    waiting: Option<Weak<WaitingClient>>,
    is_ended: bool,
}

/// Held for as long as the client waits for the response.
#[derive(Debug)]
pub struct WaitingClient;

/// The status in logs and metrics when the client disconnected before the response, as in nginx.
const CLIENT_GONE: u16 = 499;

impl Exchange {
    /// Begins with a new request. Does not keep the query, since it must not be logged.
    pub fn begin(context: Rc<HttpContext>, request: &mut ServiceRequest) -> Self {
        let parent = trace_parent(request.headers());
        let body = TrackedBody::of(request);
        Self {
            start: Instant::now(),
            method: request.method().clone(),
            path: request.path().to_owned(),
            route: context.routes.find(request.match_info().as_str()),
            id: parent.map_or_else(RequestId::random, |parent| parent.id),
            parent,
            client: address_of(request.request(), &context.proxies),
            origin: context.cors.allowed_origin(request),
            body,
            waiting: None,
            is_ended: false,
            context,
        }
    }

    /// A handle that must be dropped when the client disconnects. If that happens before [`Self::end`], the request
    /// is logged as 499.
    pub fn client(&mut self) -> Rc<WaitingClient> {
        let client = Rc::new(WaitingClient);
        self.waiting = Some(Rc::downgrade(&client));
        client
    }

    /// The request's id in the log.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// The response to a preflight request: see [`Cors::preflight`].
    pub fn preflight(&self, request: &ServiceRequest) -> Option<Result<HttpResponse, Problem>> {
        self.context.cors.preflight(request)
    }

    /// Adds the common headers to the response, counts and logs it.
    ///
    /// # Errors
    /// The same error, with the common headers.
    pub async fn end<B>(
        mut self,
        outcome: Result<ServiceResponse<B>, Error>,
    ) -> Result<ServiceResponse<B>, Error> {
        let (status, code) = match &outcome {
            Ok(response) => (response.status(), response.response().extensions().get::<Code>().copied()),
            Err(error) => {
                let code = error.as_error::<Problem>().map(Problem::code);
                (error.as_response_error().status_code(), code)
            }
        };
        let is_awaited = self.waiting.as_ref().is_none_or(|client| client.strong_count() > 0);
        match is_awaited {
            true => self.log(status.as_u16(), code),
            false => self.log(CLIENT_GONE, None),
        }
        let closes = match self.body.take() {
            Some(body) => !body.has_ended().await,
            None => false,
        };
        let headers = CommonResponseHeaders {
            context: Rc::clone(&self.context),
            id: self.id,
            origin: self.origin.take(),
            closes,
        };
        match outcome {
            Ok(mut response) => {
                headers.add_to(response.response_mut().head_mut());
                Ok(response)
            }
            Err(error) => Err(ErrorWithHeaders { error, headers }.into()),
        }
    }

    fn log(&mut self, status: u16, code: Option<Code>) {
        self.is_ended = true;
        let Self { context, method, path, .. } = self;
        let took = self.start.elapsed();
        context.routes.counts(self.route).answered(method.as_str(), status, took);
        let code = code.map(Code::as_str);
        if let Some(code) = code {
            context.metrics.problem(code);
        }
        if let Some(spans) = &context.spans {
            let route = context.routes.name(self.route);
            let method = method.as_str();
            spans.add(&AnsweredRequest {
                id: self.id,
                parent: self.parent,
                method,
                route,
                path,
                status,
                took,
                code,
            });
        }
        if path == FEED && status == StatusCode::OK.as_u16() {
            return;
        }
        telemetry::access(&AccessRecord {
            method: method.as_str(),
            path,
            status,
            micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            request_id: self.id,
            client: self.client,
            who: telemetry::current_user(),
            code,
        });
    }
}

impl Drop for Exchange {
    /// A request that changes nothing is cancelled when its client disconnects.
    fn drop(&mut self) {
        if !self.is_ended {
            self.log(CLIENT_GONE, None);
        }
    }
}

fn trace_parent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut sent = headers.get_all(TRACEPARENT);
    let one = sent.next().filter(|_| sent.next().is_none());
    TraceParent::read(one?.as_bytes())
}
