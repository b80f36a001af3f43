//! The outermost layer: whatever happens inside, the client gets a well-formed answer, and it is written down.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ResourceDef, ResponseHead, ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::{Bytes, Data};
use actix_web::{Error, HttpRequest, HttpResponse, ResponseError};
use futures_util::FutureExt;
use hashlink::DefaultHashBuilder;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::PathItem;

use crate::error::{Code, PROBLEM_JSON, Problem};
use crate::metrics::{self, Metrics};
use crate::telemetry::{self, Access, Answered, RequestId, Spans, TraceParent};

use super::base_path::BasePath;
use super::client::{TrustedProxies, address_of};
use super::cors::Cors;
use super::forward_auth::{VERIFY, is_forward_auth};
use super::incoming::Incoming;
use super::refusal::{Bare, Beginning, MAX_TARGET, too_long_a_path};

/// The most that a request's headers may have, in bytes: eight cookies of the size that browsers keep.
pub(super) const MAX_HEADERS: usize = 32 * 1024;

/// The header that tells the client what its request is called in the log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

// Statics, so that nobody looks through them anew with every answer.
static NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
static NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
static NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");

/// For what is no page: nothing in it is to be shown, loaded or run.
static NO_PAGE: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// Two years. Without `includeSubDomains`: what else is below the same name is not ours to force. And without `preload`,
/// which can't be undone by setting `PUBLIC_URL` to http again.
static HTTPS_ONLY: HeaderValue = HeaderValue::from_static("max-age=63072000");

/// What the edge goes by.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Whether clients come over https.
    pub is_https: bool,
    /// The path below which they see the service, if it has not its host for itself.
    pub base_path: Option<BasePath>,
    /// Whose word on a client's address is taken.
    pub proxies: Data<TrustedProxies>,
    /// Which pages of other origins may read an answer.
    pub cors: Cors,
    /// What there is, with what is counted of each.
    pub routes: Data<Routes>,
    /// What else is counted.
    pub metrics: Metrics,
    /// Where spans go, if they go anywhere.
    pub spans: Option<Spans>,
}

impl Edge {
    /// What every answer has: no cache may keep it unless its route says so, and no browser may guess what it is, tell
    /// others where it came from, or take it for a page.
    fn dress(&self, headers: &mut HeaderMap, id: RequestId) {
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

    /// Answers what actix's parser has refused, counts it and writes it down: there is no request, and so no exchange.
    pub fn refuse(&self, bare: &Bare<'_>, beginning: &Beginning, peer: IpAddr) -> Vec<u8> {
        let (id, problem) = (RequestId::random(), beginning.problem(bare.status));
        let ((method, path), code) = (beginning.method_and_path(), problem.code().as_str());
        let status = problem.status_code().as_u16();
        self.routes.counts(None).answered(method, status, Duration::ZERO);
        self.metrics.problem(code);
        let client = peer.to_canonical();
        let code = Some(code);
        telemetry::access(&Access {
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
        self.dress(response.headers_mut(), id);
        self.cors.share(response.headers_mut(), self.cors.allowed_origin_of(beginning).as_ref());
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

/// A request on its way to its answer.
#[derive(Debug)]
pub struct Exchange {
    edge: Rc<Edge>,
    start: Instant,
    method: Method,
    path: String,
    route: Option<usize>,
    parent: Option<TraceParent>,
    id: RequestId,
    client: IpAddr,
    /// Of the page that sent it, if that may read the answer.
    origin: Option<HeaderValue>,
    body: Option<Incoming>,
    /// Whoever waits for the answer, where the work is done without them as well.
    waiting: Option<Weak<Waiting>>,
    is_ended: bool,
}

/// A client who waits for an answer.
#[derive(Debug)]
pub struct Waiting;

/// The status of a request whose client went before it was answered, as nginx has it: nobody was answered anything.
const CLIENT_GONE: u16 = 499;

impl Exchange {
    /// Of a request that begins now. Without its query, which is not ours to write down.
    pub fn begin(edge: Rc<Edge>, request: &mut ServiceRequest) -> Self {
        let parent = trace_parent(request.headers());
        let body = Incoming::of(request);
        Self {
            start: Instant::now(),
            method: request.method().clone(),
            path: request.path().to_owned(),
            route: edge.routes.find(request.match_info().as_str()),
            id: parent.map_or_else(RequestId::random, |parent| parent.id),
            parent,
            client: address_of(request.request(), &edge.proxies),
            origin: edge.cors.allowed_origin(request),
            body,
            waiting: None,
            is_ended: false,
            edge,
        }
    }

    /// The client, who is gone when this is dropped before the exchange has ended.
    pub fn client(&mut self) -> Rc<Waiting> {
        let client = Rc::new(Waiting);
        self.waiting = Some(Rc::downgrade(&client));
        client
    }

    /// What the request is called in the log.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// Answers by itself what asks before it asks: see [`Cors::preflight`].
    pub fn preflight(&self, request: &ServiceRequest) -> Option<Result<HttpResponse, Problem>> {
        self.edge.cors.preflight(request)
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
        let dress = Dress { edge: Rc::clone(&self.edge), id: self.id, origin: self.origin.take(), closes };
        match outcome {
            Ok(mut response) => {
                dress.put_on(response.response_mut().head_mut());
                Ok(response)
            }
            Err(error) => Err(Undressed { error, dress }.into()),
        }
    }

    fn write_down(&mut self, status: u16, code: Option<Code>) {
        self.is_ended = true;
        let Self { edge, method, path, .. } = self;
        let took = self.start.elapsed();
        edge.routes.counts(self.route).answered(method.as_str(), status, took);
        let code = code.map(Code::as_str);
        if let Some(code) = code {
            edge.metrics.problem(code);
        }
        if let Some(spans) = &edge.spans {
            let route = edge.routes.name(self.route);
            let method = method.as_str();
            spans.add(&Answered {
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
        telemetry::access(&Access {
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
struct Dress {
    edge: Rc<Edge>,
    id: RequestId,
    origin: Option<HeaderValue>,
    /// Whether the connection ends with it.
    closes: bool,
}

impl Dress {
    fn put_on(&self, head: &mut ResponseHead) {
        self.edge.dress(&mut head.headers, self.id);
        self.edge.cors.share(&mut head.headers, self.origin.as_ref());
        if self.closes {
            head.set_connection_type(ConnectionType::Close);
        }
    }
}

/// An error of which the response is made further out, where nobody knows what every answer has.
#[derive(Debug)]
struct Undressed {
    error: Error,
    dress: Dress,
}

impl fmt::Display for Undressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl ResponseError for Undressed {
    fn status_code(&self) -> StatusCode {
        self.error.as_response_error().status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = self.error.error_response();
        self.dress.put_on(response.head_mut());
        response
    }
}

/// Refuses a request whose head is larger than any honest client's. actix itself takes up to 128 KiB.
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

/// A `GET` route answers `HEAD` as well (RFC 9110, section 9.3.2). The codec leaves the body out: it remembers
/// what the client asked.
pub fn head_as_get(request: &mut ServiceRequest) {
    if request.method() == Method::HEAD {
        request.head_mut().method = Method::GET;
    }
}

/// Turns a panic and every error that is not a problem document yet into one.
///
/// # Errors
/// A problem, if what is inside gave an error and not a response.
pub async fn answer<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: &Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let outcome = AssertUnwindSafe(next.call(request)).catch_unwind().await;
    match outcome {
        Ok(Ok(response)) if is_foreign_error(&response) => {
            let problem = from_status(response.status());
            Ok(response.into_response(problem.response()).map_into_right_body())
        }
        Ok(Ok(response)) => Ok(response.map_into_left_body()),
        Ok(Err(error)) => Err(from_error(error)),
        Err(panic) => Err(Problem::internal(telemetry::panic_message(&*panic)).into()),
    }
}

fn is_foreign_error<B>(response: &ServiceResponse<B>) -> bool {
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    is_error && response.headers().get(CONTENT_TYPE).is_none_or(|kind| kind != PROBLEM_JSON)
}

fn from_error(error: Error) -> Error {
    if error.as_error::<Problem>().is_some() {
        return error;
    }
    let status = error.as_response_error().status_code();
    if status.is_server_error() {
        return Problem::internal(&error).into();
    }
    from_status(status).into()
}

fn from_status(status: StatusCode) -> Problem {
    let code = match status {
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::FORBIDDEN => Code::Forbidden,
        StatusCode::PAYLOAD_TOO_LARGE => Code::PayloadTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        StatusCode::REQUEST_TIMEOUT => Code::Timeout,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        status if status.is_server_error() => Code::Internal,
        _ => Code::MalformedRequest,
    };
    Problem::new(code, status.canonical_reason().unwrap_or("The request was refused."))
}

/// What there is, by its path: which methods it answers, read from the API's own document, so that there is one list of
/// routes, and what is counted of it.
#[derive(Debug)]
pub struct Routes {
    all: Vec<Known>,
    /// Where each is, by its path up to a parameter, with which all those end that have one.
    places: HashMap<String, usize, DefaultHashBuilder>,
    /// What is counted of all other paths together.
    unknown: metrics::Route,
}

#[derive(Debug)]
struct Known {
    pattern: ResourceDef,
    allow: String,
    counts: metrics::Route,
}

/// What all paths are counted as that there are not.
const UNKNOWN: &str = "unknown";

impl Routes {
    /// The routes of these documents, and these pages, which none of them lists.
    pub fn of(documents: &[&OpenApi], pages: &[&str], metrics: &Metrics) -> Self {
        let paths = documents.iter().flat_map(|document| &document.paths.paths);
        let paths = paths.map(|(path, item)| (path.as_str(), allow(item)));
        let pages = pages.iter().map(|page| (*page, ALLOW_GET.to_owned()));
        let (mut all, mut places) = (Vec::new(), HashMap::default());
        for (path, allow) in paths.chain(pages) {
            let fixed = path.split_once('{').map_or(path, |(fixed, _)| fixed);
            // `/docs/` is a page, and `/docs/{file}` begins with it.
            let key = if fixed == path { path.to_owned() } else { format!("{fixed}{{}}") };
            places.insert(key, all.len());
            all.push(Known { pattern: ResourceDef::new(path), allow, counts: metrics.route(path) });
        }
        Self { all, places, unknown: metrics.route(UNKNOWN) }
    }

    /// What `Allow` says of this path; `None` when there is no such path.
    fn allow(&self, path: &str) -> Option<&str> {
        self.all.iter().find(|known| known.pattern.is_match(path)).map(|known| known.allow.as_str())
    }

    /// Where a path is in the list. Without matching each pattern: that would be a good part of what a request costs.
    fn find(&self, path: &str) -> Option<usize> {
        // The paths below are other servers'.
        let path = if is_forward_auth(path) { VERIFY } else { path };
        let with_parameter = || {
            let (folder, _) = path.rsplit_once('/').filter(|(_, last)| !last.is_empty())?;
            self.places.get(&format!("{folder}/{{}}"))
        };
        self.places.get(path).or_else(with_parameter).copied()
    }

    fn name(&self, place: Option<usize>) -> Option<&str> {
        Some(self.all.get(place?)?.counts.name())
    }

    fn counts(&self, place: Option<usize>) -> &metrics::Route {
        place.and_then(|place| self.all.get(place)).map_or(&self.unknown, |known| &known.counts)
    }
}

fn allow(item: &PathItem) -> String {
    let methods = [
        ("GET, HEAD", item.get.is_some()),
        ("POST", item.post.is_some()),
        ("PUT", item.put.is_some()),
        ("PATCH", item.patch.is_some()),
        ("DELETE", item.delete.is_some()),
        ("OPTIONS", true),
    ];
    methods.into_iter().filter(|(_, exists)| *exists).map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}

/// What a path answers that is only read.
const ALLOW_GET: &str = "GET, HEAD, OPTIONS";

/// What the server answers as a whole (RFC 9110, section 9.3.7).
const ALLOW_ALL: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Answers what no route does: on a known path `OPTIONS`, and 405 to another method; 404 elsewhere.
pub async fn no_route(request: HttpRequest, routes: Data<Routes>) -> HttpResponse {
    let allow = if request.path() == "*" { Some(ALLOW_ALL) } else { routes.allow(request.path()) };
    match allow {
        Some(allow) => other_method(&request, allow),
        None => not_found().await,
    }
}

/// Answers on a path that is only read what is not reading.
pub async fn other_method_than_get(request: HttpRequest) -> HttpResponse {
    other_method(&request, ALLOW_GET)
}

fn other_method(request: &HttpRequest, allow: &str) -> HttpResponse {
    if request.method() == Method::OPTIONS {
        return HttpResponse::NoContent().insert_header((ALLOW, allow)).finish();
    }
    Problem::method_not_allowed(allow.to_owned()).response()
}

/// Answers a path that there is not.
pub async fn not_found() -> HttpResponse {
    Problem::new(Code::NotFound, "There is nothing at this path.").response()
}

#[cfg(test)]
mod tests {
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, init_service, try_call_service};
    use actix_web::{App, web};
    use serde_json::Value;

    use super::*;

    async fn document(response: HttpResponse) -> Value {
        assert_eq!(response.headers().get(CONTENT_TYPE).expect("a type"), PROBLEM_JSON);
        let body = actix_web::body::to_bytes(response.into_body()).await.expect("a body");
        serde_json::from_slice(&body).expect("JSON")
    }

    async fn answered<B: MessageBody + 'static>(
        request: ServiceRequest,
        next: Next<B>,
    ) -> Result<ServiceResponse<EitherBody<B>>, Error> {
        answer(request, &next).await
    }

    #[actix_web::test]
    async fn a_panic_is_an_internal_error_that_tells_nothing() {
        async fn panics() -> HttpResponse {
            panic!("with a secret in it")
        }
        let app = init_service(App::new().wrap(from_fn(answered)).route("/", web::get().to(panics))).await;
        let error =
            try_call_service(&app, TestRequest::get().uri("/").to_request()).await.expect_err("it panicked");
        let told = document(error.error_response()).await;
        assert_eq!((&told["status"], &told["code"]), (&Value::from(500), &Value::from("internal")));
        assert!(!told.to_string().contains("secret"), "{told}");
    }

    #[actix_web::test]
    async fn an_error_of_a_library_becomes_a_problem_document() {
        async fn refuses() -> HttpResponse {
            HttpResponse::UnsupportedMediaType().body("no")
        }
        let app = init_service(App::new().wrap(from_fn(answered)).route("/", web::get().to(refuses))).await;
        let response =
            try_call_service(&app, TestRequest::get().uri("/").to_request()).await.expect("a response");
        let told = document(response.into_parts().1.map_into_boxed_body()).await;
        assert_eq!(told["code"], "unsupported_media_type");
    }
}
