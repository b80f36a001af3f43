//! Export of a span per request to an OpenTelemetry collector, by OTLP over HTTP.
//!
//! A finished request's span goes to a bounded queue, which a thread sends in batches. Requests never wait for the
//! collector: while it is unavailable, spans are dropped.
//!
//! The SDK queues and sends the spans. They are created here, since the bridge from `tracing` would keep a span in
//! memory for each request, sampled or not.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor};
use rustls::crypto::aws_lc_rs;
use secrecy::{ExposeSecret, SecretString};
use ureq::Agent;
use ureq::tls::TlsConfig;

use crate::clock::Clock;
use crate::config::TracesConfig;

use super::request::{RequestId, TraceParent, random_pair};

/// Time limit for sending a batch.
const COLLECTOR_TIME_LIMIT: Duration = Duration::from_secs(5);

/// Time limit for sending the last batch when the node stops.
const LAST_TIME_LIMIT: Duration = Duration::from_secs(2);

/// An invalid configuration of the exporter.
#[derive(Debug, thiserror::Error)]
#[error("OTEL_EXPORTER_OTLP_ENDPOINT and the other OTEL settings: {0}")]
pub struct TraceExporterError(#[from] ExporterBuildError);

/// A finished request.
#[derive(Debug)]
pub struct AnsweredRequest<'a> {
    /// The trace id.
    pub id: RequestId,
    /// The parent span, if the client sent one.
    pub parent: Option<TraceParent>,
    /// As sent by the client.
    pub method: &'a str,
    /// The pattern of the route. `None` when no route matched.
    pub route: Option<&'a str>,
    /// Without the query.
    pub path: &'a str,
    /// Status of the response.
    pub status: u16,
    /// Time from the request's head to the response's.
    pub took: Duration,
    /// The code of the problem document in the response, if it is one.
    pub code: Option<&'static str>,
}

/// Queues spans and sends them to a collector.
#[derive(Clone)]
pub struct TraceExporter {
    processor: Arc<BatchSpanProcessor>,
    scope: InstrumentationScope,
}

impl fmt::Debug for TraceExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceExporter").finish_non_exhaustive()
    }
}

impl TraceExporter {
    /// Starts the export. A collector that is unavailable shows only when spans are sent.
    ///
    /// # Errors
    /// When another standard setting (`OTEL_EXPORTER_OTLP_…`) is invalid.
    pub fn start(config: &TracesConfig) -> Result<Self, TraceExporterError> {
        // Escaped, since the library percent-decodes the values once more.
        let header = |(name, value): &(String, SecretString)| {
            (name.clone(), value.expose_secret().replace('%', "%25"))
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(CollectorClient::new())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(config.endpoint.as_str())
            .with_headers(config.headers.iter().map(header).collect())
            .with_timeout(COLLECTOR_TIME_LIMIT)
            .build()?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let said = config.resource.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
        let resource = Resource::builder().with_attribute(version).with_attributes(said);
        processor.set_resource(&resource.build());
        Ok(Self { processor: Arc::new(processor), scope: InstrumentationScope::builder("dualauth").build() })
    }

    /// Queues the span of a request, unless its trace is not sampled.
    pub fn add(&self, answered: &AnsweredRequest<'_>) {
        if answered.parent.is_none_or(|parent| parent.is_sampled) {
            self.processor.on_end(span(answered, self.scope.clone()));
        }
    }

    /// Sends the queued spans, if the collector responds in time.
    pub async fn stop(self) {
        let sending = move || self.processor.shutdown_with_timeout(LAST_TIME_LIMIT);
        // On failure the spans are lost: there is no later attempt.
        let _ = tokio::task::spawn_blocking(sending).await;
    }
}

/// A span by the semantic conventions for HTTP servers (OpenTelemetry 1.23 and later).
fn span(answered: &AnsweredRequest<'_>, scope: InstrumentationScope) -> SpanData {
    let AnsweredRequest { id, parent, method, route, path, status, took, code } = *answered;
    let end_time = SystemTime::from(Clock::system().now());
    let mut attributes = vec![
        KeyValue::new("http.request.method", method.to_owned()),
        KeyValue::new("url.path", path.to_owned()),
        KeyValue::new("http.response.status_code", i64::from(status)),
    ];
    attributes.extend(route.map(|route| KeyValue::new("http.route", route.to_owned())));
    attributes.extend(code.map(|code| KeyValue::new("error.type", code)));
    let name = route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
    let trace = TraceId::from_hex(id.as_str()).unwrap_or(TraceId::INVALID);
    let [own, _] = random_pair();
    SpanData {
        span_context: SpanContext::new(
            trace,
            SpanId::from_bytes(own.to_be_bytes()),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ),
        parent_span_id: parent
            .map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.span.to_be_bytes())),
        parent_span_is_remote: parent.is_some(),
        span_kind: SpanKind::Server,
        name: name.into(),
        start_time: end_time.checked_sub(took).unwrap_or(end_time),
        end_time,
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: if status >= 500 { Status::error("") } else { Status::Unset },
        instrumentation_scope: scope,
    }
}

/// The HTTP client for the collector. Logs the first failure and the recovery.
#[derive(Debug)]
struct CollectorClient {
    agent: Agent,
    is_away: AtomicBool,
}

impl CollectorClient {
    fn new() -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider).build();
        let config = Agent::config_builder()
            .timeout_global(Some(COLLECTOR_TIME_LIMIT))
            .http_status_as_error(false)
            .max_redirects(0)
            .tls_config(tls);
        Self { agent: config.build().into(), is_away: AtomicBool::new(false) }
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let response = self.agent.run(Request::from_parts(head, body.to_vec()))?;
        let (head, mut body) = response.into_parts();
        Ok(Response::from_parts(head, body.read_to_vec()?.into()))
    }

    fn log_outcome(&self, outcome: &Result<Response<Bytes>, HttpError>) {
        let trouble = match outcome {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(response.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        let was_away = self.is_away.swap(trouble.is_some(), Ordering::Relaxed);
        match trouble {
            Some(trouble) if !was_away => {
                tracing::warn!(trouble, "trace export failed; dropping spans until it recovers");
            }
            None if was_away => tracing::info!("trace export recovered"),
            _ => {}
        }
    }
}

#[async_trait::async_trait]
impl HttpClient for CollectorClient {
    /// Blocks, which is fine: it runs on the exporter's own thread.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let outcome = self.send(request);
        self.log_outcome(&outcome);
        outcome
    }
}
