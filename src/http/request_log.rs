//! A request and its answer: what is measured, counted and logged of it, and what its answer has as every other does.

use std::fmt;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::time::Instant;

use actix_web::dev::{ResponseHead, ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::{Error, HttpResponse, ResponseError};

use crate::error::{Code, Problem};
use crate::telemetry::{self, AccessRecord, AnsweredRequest, RequestId, TraceParent};

use super::client::address_of;
use super::context::HttpContext;
use super::tracked_body::TrackedBody;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A request on its way to its answer.
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
    /// Of the page that sent it, if that may read the answer.
    origin: Option<HeaderValue>,
    body: Option<TrackedBody>,
    /// Whoever waits for the answer, where the work is done without them as well.
    waiting: Option<Weak<WaitingClient>>,
    is_ended: bool,
}

/// A client who waits for an answer.
#[derive(Debug)]
pub struct WaitingClient;

/// The status of a request whose client went before it was answered, as nginx has it: nobody was answered anything.
const CLIENT_GONE: u16 = 499;

impl Exchange {
    /// Of a request that begins now. Without its query, which is not ours to write down.
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

    /// The client, who is gone when this is dropped before the exchange has ended.
    pub fn client(&mut self) -> Rc<WaitingClient> {
        let client = Rc::new(WaitingClient);
        self.waiting = Some(Rc::downgrade(&client));
        client
    }

    /// What the request is called in the log.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// Answers by itself what asks before it asks: see [`Cors::preflight`].
    pub fn preflight(&self, request: &ServiceRequest) -> Option<Result<HttpResponse, Problem>> {
        self.context.cors.preflight(request)
    }

    /// Completes the answer, counts it and writes it down.
    ///
    /// # Errors
    /// The same as before, but complete.
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
            true => self.write_down(status.as_u16(), code),
            false => self.write_down(CLIENT_GONE, None),
        }
        let closes = match self.body.take() {
            Some(body) => !body.has_ended().await,
            None => false,
        };
        let headers = ResponseHeaders {
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

    fn write_down(&mut self, status: u16, code: Option<Code>) {
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
        telemetry::access(&AccessRecord {
            method: method.as_str(),
            path,
            status,
            micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            request_id: self.id,
            client: self.client,
            who: telemetry::noted(),
            code,
        });
    }
}

impl Drop for Exchange {
    /// What changes nothing is broken off when the client goes.
    fn drop(&mut self) {
        if !self.is_ended {
            self.write_down(CLIENT_GONE, None);
        }
    }
}

fn trace_parent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut sent = headers.get_all(TRACEPARENT);
    let one = sent.next().filter(|_| sent.next().is_none());
    TraceParent::read(one?.as_bytes())
}

/// What every answer has, for one of them.
#[derive(Debug)]
struct ResponseHeaders {
    context: Rc<HttpContext>,
    id: RequestId,
    origin: Option<HeaderValue>,
    /// Whether the connection ends with it.
    closes: bool,
}

impl ResponseHeaders {
    fn add_to(&self, head: &mut ResponseHead) {
        self.context.add_headers(&mut head.headers, self.id);
        self.context.cors.share(&mut head.headers, self.origin.as_ref());
        if self.closes {
            head.set_connection_type(ConnectionType::Close);
        }
    }
}

/// An error of which the response is made further out, where nobody knows what every answer has.
#[derive(Debug)]
struct ErrorWithHeaders {
    error: Error,
    headers: ResponseHeaders,
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
