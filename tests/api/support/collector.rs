//! A collector of OpenTelemetry's spans (OTLP over HTTP), as far as a test needs one.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::ServerHandle,
    web::{self, Bytes, Data},
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message;

use super::cluster;

/// What came, where, and with which key.
#[derive(Clone)]
struct Received {
    spans: ExportTraceServiceRequest,
    path: String,
    key: Option<String>,
}

pub struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    handle: ServerHandle,
}

impl Collector {
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"))
    }

    pub fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("a free address");
        let address = listener.local_addr().expect("an address");
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let data = Data::new(Arc::clone(&received));
        let _runtime = cluster::runtime().enter();
        let app = move || App::new().app_data(data.clone()).default_service(web::post().to(receive));
        let server =
            HttpServer::new(app).workers(1).disable_signals().listen(listener).expect("it listens").run();
        let handle = server.handle();
        cluster::runtime().spawn(server);
        Self { address, received, handle }
    }

    /// What a node's `OTEL_EXPORTER_OTLP_ENDPOINT` is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn received(&self) -> Vec<ExportTraceServiceRequest> {
        self.all().into_iter().map(|received| received.spans).collect()
    }

    /// Where each came, and its `api-key`.
    pub fn heads(&self) -> Vec<(String, Option<String>)> {
        self.all().into_iter().map(|received| (received.path, received.key)).collect()
    }

    fn all(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every span, and of what service it is.
    pub fn spans(&self) -> Vec<(String, Span)> {
        let received = self.received();
        let of_service = received.into_iter().flat_map(|request| request.resource_spans).flat_map(|spans| {
            let resource = spans.resource.expect("a resource").attributes;
            let service = attribute(&resource, "service.name").expect("a name");
            spans
                .scope_spans
                .into_iter()
                .flat_map(|spans| spans.spans)
                .map(move |span| (service.clone(), span))
        });
        of_service.collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        cluster::runtime().spawn(self.handle.stop(false));
    }
}

async fn receive(
    request: HttpRequest,
    body: Bytes,
    received: Data<Arc<Mutex<Vec<Received>>>>,
) -> HttpResponse {
    let kind = request.headers().get("content-type");
    if kind.is_none_or(|kind| kind != "application/x-protobuf") {
        return HttpResponse::UnsupportedMediaType().finish();
    }
    match ExportTraceServiceRequest::decode(body) {
        Ok(spans) => {
            let key = request.headers().get("api-key").and_then(|key| key.to_str().ok());
            let one = Received { spans, path: request.path().to_owned(), key: key.map(str::to_owned) };
            received.lock().unwrap_or_else(PoisonError::into_inner).push(one);
            HttpResponse::Ok().finish()
        }
        Err(_) => HttpResponse::BadRequest().finish(),
    }
}

/// An attribute's value, as text.
pub fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    let value = attributes.iter().find(|attribute| attribute.key == name)?.value.clone()?.value?;
    match value {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{name} is {other:?}"),
    }
}
