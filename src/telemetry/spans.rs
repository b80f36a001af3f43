//! Spans: each request as OpenTelemetry has it, for a collector that takes OTLP over HTTP.
//!
//! A span is put into a bounded queue when its request has been answered, and a thread sends what has gathered. Nobody waits
//! for a collector: while it is away, spans are dropped.
//!
//! The SDK queues and sends them; they are made here, since the bridge from `tracing` would keep a span in memory for each request,
//! recorded or not.

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

use super::request::{RequestId, TraceParent, draw};

/// How long the collector may take for a batch.
const COLLECTOR_TIME_LIMIT: Duration = Duration::from_secs(5);

/// How long it may take for the last one, when the node stops.
const LAST_TIME_LIMIT: Duration = Duration::from_secs(2);

/// Why spans can't be sent.
#[derive(Debug, thiserror::Error)]
#[error("OTEL_EXPORTER_OTLP_ENDPOINT and the other OTEL settings: {0}")]
pub struct TraceExporterError(#[from] ExporterBuildError);

/// A request that was answered.
#[derive(Debug)]
pub struct AnsweredRequest<'a> {
    /// The trace.
    pub id: RequestId,
    /// What of the trace has caused it; none: it is the first.
    pub parent: Option<TraceParent>,
    /// As it was sent.
    pub method: &'a str,
    /// The pattern of its path; none: there is no such path.
    pub route: Option<&'a str>,
    /// Without its query.
    pub path: &'a str,
    /// Of the answer.
    pub status: u16,
    /// From its head to the answer's.
    pub took: Duration,
    /// What kind of problem was answered, if one was.
    pub code: Option<&'static str>,
}

/// Sends spans.
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
    /// To this collector. Whether it is there shows when something is sent.
    ///
    /// # Errors
    /// When another standard setting (`OTEL_EXPORTER_OTLP_…`) can't be met.
    pub fn start(config: &TracesConfig) -> Result<Self, TraceExporterError> {
        // The library decodes them once more.
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

    /// Adds a request's, unless its trace is not recorded.
    pub fn add(&self, answered: &AnsweredRequest<'_>) {
        if answered.parent.is_none_or(|parent| parent.is_sampled) {
            self.processor.on_end(span(answered, self.scope.clone()));
        }
    }

    /// Sends what has gathered, if the collector is there.
    pub async fn stop(self) {
        let sending = move || self.processor.shutdown_with_timeout(LAST_TIME_LIMIT);
        // What can't be sent now can't be sent.
        let _ = tokio::task::spawn_blocking(sending).await;
    }
}

/// By the semantic conventions for HTTP servers (OpenTelemetry 1.23 and later).
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
    let [own, _] = draw();
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

/// The way to the collector. It says once that the collector does not answer, and once that it does again.
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

    fn note(&self, outcome: &Result<Response<Bytes>, HttpError>) {
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
    /// Blocks: it is called on the thread that has nothing else to do.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let outcome = self.send(request);
        self.note(&outcome);
        outcome
    }
}
