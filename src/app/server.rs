//! The HTTP servers: listeners, connections, and the middleware around every request.

use std::any::Any;
use std::fmt::Debug;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::rc::Rc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, KeepAlive, Protocol, Request, Response};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, apply_fn_factory, fn_service, map_config,
};
use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{AppConfig, Server, ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use actix_web::rt::net::{TcpStream, UnixStream};
use actix_web::web::{self, Data};
use actix_web::{App, Error};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use utoipa_actix_web::AppExt;

use crate::auth::check_origin;
use crate::config::Listen;
use crate::database;
use crate::error::Problem;
use crate::http::accept_burst_pacing;
use crate::http::app_wide_context::HttpContext;
use crate::http::base_path::BasePath;
use crate::http::client::TrustedProxies;
use crate::http::cors::Cors;
use crate::http::errors_as_problem_documents::with_problem_documents;
use crate::http::feed_endpoint_path::FEED;
use crate::http::forward_auth_endpoint_path::is_forward_auth;
use crate::http::get_with_effect::is_get_with_effect;
use crate::http::head_size_and_head_as_get;
use crate::http::listener::{self, Address, Listener, Stream};
use crate::http::parser_adapter::ParserAdapter;
use crate::http::provider_callback_path::is_provider_callback;
use crate::http::request_observation::Exchange;
use crate::http::route_index::{self, RouteIndex};
use crate::http::timed_connection::{self, TimedConnection};
use crate::http::tracked_body;
use crate::http::uncancelled;
use crate::metrics::Metrics;
use crate::telemetry::{self, TraceExporter};
use crate::web::{self as pages, Scrape};

use super::StartError;
use super::public_url::PublicUrl;
use super::routes::routes;
use super::state::State;

/// How long requests in progress may take at shutdown, in seconds: longer than the timeout of a query to an unresponsive Postgres.
const SHUTDOWN_SECONDS: u64 = 7;

/// How long a client may take to send its first request's head, and to disconnect after the server has closed the
/// connection.
const HEAD_TIME_LIMIT: Duration = Duration::from_secs(5);

/// The connection limit of the metrics listener, which only a few scrapers use.
const METRICS_CONNECTIONS: usize = 64;

/// Binds the address.
pub(super) async fn listen(at: &Listen) -> Result<(Listener, Address), StartError> {
    listener::bind(at).await.map_err(cant_listen(at))
}

pub(super) fn cant_listen(at: &Listen) -> impl FnOnce(std::io::Error) -> StartError {
    move |error| StartError::Listen { address: at.clone(), error }
}

/// A running HTTP server at one address.
pub(super) struct RunningServer {
    pub(super) address: Address,
    handle: ServerHandle,
    serving: JoinHandle<std::io::Result<()>>,
}

impl RunningServer {
    pub(super) fn new(address: Address, server: Server) -> Self {
        Self { address, handle: server.handle(), serving: tokio::spawn(server) }
    }

    /// Stops accepting requests, and finishes those in progress.
    pub(super) async fn stop(self) {
        drop(self.address);
        self.handle.stop(true).await;
        if let Ok(Err(error)) = self.serving.await {
            tracing::error!(%error, "server failed");
        }
    }
}

/// The server of the API.
pub(super) fn serve(
    listener: Listener,
    state: State,
    public_url: &PublicUrl,
    keep_alive: Duration,
    spans: Option<TraceExporter>,
) -> std::io::Result<Server> {
    let documents = Data::new(state.documents());
    let known_routes = Data::new(RouteIndex::of(&documents.uncompleted(), &pages::PAGES, &state.metrics));
    let context = HttpContext {
        is_https: public_url.is_https,
        base_path: BasePath::new(&public_url.base_path),
        proxies: state.proxies.clone(),
        cors: Cors { allowed: state.origins.allowed.clone(), own: state.origins.own.clone() },
        routes: known_routes.clone(),
        metrics: state.metrics.clone(),
        spans,
    };
    let app = move |context: Rc<HttpContext>| {
        App::new()
            .app_data(known_routes.clone())
            .app_data(documents.clone())
            .configure(|config| state.register(config))
            .default_service(web::to(route_index::no_route))
            .into_utoipa_app()
            .configure(|config| routes(&state.modes, config))
            .into_app()
            .wrap(from_fn(move |request, next| handle_request(Rc::clone(&context), request, next)))
    };
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    let connections_per_worker = timed_connection::max_connections().div_ceil(workers);
    let limits =
        ServerLimits { workers, connections_per_worker, keep_alive, shutdown_seconds: SHUTDOWN_SECONDS };
    run(listener, limits, context, app)
}

/// The server of `/metrics`. Its requests are neither logged nor counted: scrapes would drown the rest.
pub(super) fn serve_metrics(
    listener: Listener,
    scrape: Scrape,
    metrics: Metrics,
    keep_alive: Duration,
) -> std::io::Result<Server> {
    let scrape = Data::new(scrape);
    let context = HttpContext {
        is_https: false,
        base_path: None,
        proxies: Data::new(TrustedProxies::default()),
        cors: Cors::default(),
        routes: Data::new(RouteIndex::of(&[], &[], &metrics)),
        metrics,
        spans: None,
    };
    let app = move |_| {
        App::new()
            .app_data(scrape.clone())
            .configure(pages::metrics_routes)
            .default_service(web::to(route_index::not_found))
            .wrap(from_fn(tracked_body::close_after_unfinished_body))
    };
    let limits = ServerLimits {
        workers: 1,
        connections_per_worker: METRICS_CONNECTIONS,
        keep_alive,
        shutdown_seconds: 1,
    };
    run(listener, limits, context, app)
}

/// A server's limits of connections and time.
struct ServerLimits {
    workers: usize,
    connections_per_worker: usize,
    /// How long an idle connection stays open.
    keep_alive: Duration,
    /// How long requests in progress may take at shutdown.
    shutdown_seconds: u64,
}

/// Like actix's `HttpServer`, but accepts connections one by one, gives them deadlines, and answers parser errors with a
/// problem document. `KeepAlive::Os`: actix decides whether a connection stays open, `TimedConnection` for how long.
fn run<A, S, B>(
    listener: Listener,
    limits: ServerLimits,
    context: HttpContext,
    app: impl Fn(Rc<HttpContext>) -> A + Clone + Send + 'static,
) -> std::io::Result<Server>
where
    A: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Response<BoxBody>>,
    S::InitError: Debug,
    S::Response: Into<Response<B>>,
    B: MessageBody + 'static,
{
    let deadlines = timed_connection::ConnectionLimits::new(limits.keep_alive, limits.connections_per_worker);
    let server =
        Server::build().workers(limits.workers).max_concurrent_connections(limits.connections_per_worker);
    let server = server.shutdown_timeout(limits.shutdown_seconds).disable_signals();
    let shutdown = server.graceful_shutdown_signal();
    let runtime = Handle::current();
    let http = move || {
        database::set_main_runtime(runtime.clone());
        let (shutdown, context) = (shutdown.clone(), Rc::new(context.clone()));
        let http = HttpService::build()
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(HEAD_TIME_LIMIT)
            .client_disconnect_timeout(HEAD_TIME_LIMIT)
            .graceful_shutdown_signal(move || {
                let shutdown = shutdown.clone();
                async move { shutdown.notified().await }
            })
            .on_connect_ext(|adapter: &ParserAdapter<Stream>, data| {
                data.insert(adapter.body().clone());
            })
            .finish(map_config(app(Rc::clone(&context)), |()| AppConfig::default()));
        let accepted_connections =
            fn_service(move |accepted| accept_connection(accepted, deadlines, Rc::clone(&context)));
        accepted_connections.and_then(apply_fn_factory(http, |connection, http| {
            uncancelled::serve_and_finish(http.call(connection))
        }))
    };
    let server = match listener {
        Listener::Tcp(tcp) => server.listen("http", tcp, move || fn_service(accept_tcp).and_then(http())),
        Listener::Unix(unix) => {
            server.listen_uds("http", unix, move || fn_service(accept_unix).and_then(http()))
        }
    };
    Ok(server?.run())
}

/// A new connection and its peer's address.
type Accepted = (Stream, Option<SocketAddr>);

async fn accept_tcp(stream: TcpStream) -> Result<Accepted, DispatchError> {
    let peer = stream.peer_addr().ok();
    Ok((Stream::Tcp(stream), peer))
}

async fn accept_unix(stream: UnixStream) -> Result<Accepted, DispatchError> {
    Ok((Stream::Unix(stream), Some(listener::LOCAL)))
}

/// Waits for the connection's turn (`accept_burst_pacing`), and gives it its deadlines.
async fn accept_connection(
    (stream, peer): Accepted,
    deadlines: timed_connection::ConnectionLimits,
    context: Rc<HttpContext>,
) -> Result<(ParserAdapter<Stream>, Protocol, Option<SocketAddr>), DispatchError> {
    accept_burst_pacing::wait_for_turn().await;
    let address = peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip());
    Ok((ParserAdapter::new(TimedConnection::new(stream, deadlines), address, context), Protocol::Http1, peer))
}

/// The middleware around every request. One layer for all steps, because each layer costs two allocations per request.
async fn handle_request<B: MessageBody + 'static>(
    context: Rc<HttpContext>,
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    if let Some(base_path) = &context.base_path {
        base_path.strip(&mut request);
    }
    let path = request.match_info().as_str();
    let is_safe = request.method().is_safe() && !is_provider_callback(path) && !is_get_with_effect(path);
    let changes_nothing = is_safe || is_forward_auth(path) || path == FEED;
    let mut exchange = Exchange::begin(context, &mut request);
    if changes_nothing {
        return telemetry::with_request_id(exchange.id(), answer(exchange, request, next)).await;
    }
    let _client = exchange.client();
    let work = telemetry::with_request_id(exchange.id(), answer(exchange, request, next));
    let panicked = |panic: Box<dyn Any + Send>| Problem::internal(telemetry::panic_message(&*panic));
    uncancelled::run_to_completion(work).await.map_err(panicked)?
}

async fn answer<B: MessageBody + 'static>(
    exchange: Exchange,
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    head_size_and_head_as_get::head_as_get(&mut request);
    let preflight = || exchange.preflight(&request).transpose();
    let answered = head_size_and_head_as_get::check_head(&request)
        .and_then(|()| check_origin(&request))
        .and_then(|()| preflight());
    let outcome = match answered {
        Ok(None) => with_problem_documents(request, &next).await,
        Ok(Some(response)) => Ok(request.into_response(response).map_into_right_body()),
        Err(problem) => Ok(request.into_response(problem.response()).map_into_right_body()),
    };
    exchange.end(outcome).await
}
