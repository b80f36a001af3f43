//! Spans, as a collector of OpenTelemetry gets them.

use std::{net::SocketAddr, sync::Arc};

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use tokio::net::TcpListener;

use crate::support::{
    client::{Client, Pair},
    cluster::Database,
    collector::{Collector, attribute},
    eventually,
    http::{Request, Response},
    program::{Server, folder, program, run, text},
    server::TestServer,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A server that sends to this collector, and the answers to these requests. Then it stops.
async fn sent(requests: &[Request], settings: &[(&str, &str)]) -> (Vec<Response>, Vec<Span>) {
    let collector = Collector::start();
    let url = collector.url();
    let settings: Vec<_> =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str())].iter().chain(settings).copied().collect();
    let mut server = TestServer::with(&settings).await;
    let mut responses = Vec::new();
    for request in requests {
        responses.push(server.send(request.clone()).await);
    }
    server.stop().await;
    assert!(collector.heads().iter().all(|head| *head == ("/v1/traces".to_owned(), None)));
    let spans = collector.spans();
    let name =
        settings.iter().find(|(name, _)| *name == "OTEL_SERVICE_NAME").map_or("dualauth", |(_, name)| name);
    assert!(spans.iter().all(|(service, _)| service == name), "{spans:?}");
    (responses, spans.into_iter().map(|(_, span)| span).collect())
}

fn with_parent(request: Request, flags: &str) -> Request {
    request.header("traceparent", format!("00-{TRACE}-{PARENT}-{flags}"))
}

#[tokio::test]
async fn a_request_is_a_span_in_its_callers_trace() {
    let request = with_parent(Request::get("/session/data/theme?token=hunter2"), "01");
    let (responses, spans) = sent(&[request], &[("OTEL_SERVICE_NAME", "sign-in")]).await;
    responses[0].clone().problem(401, "not_authenticated");

    let [span] = &spans[..] else { panic!("one span was expected, not {spans:?}") };
    assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.to_owned(), PARENT.to_owned()));
    assert_eq!((span.span_id.len(), hex(&span.span_id) != PARENT), (8, true));
    assert_eq!((span.name.as_str(), span.kind()), ("GET /session/data/{key}", SpanKind::Server));
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/session/data/{key}"),
        ("url.path", "/session/data/theme"),
        ("http.response.status_code", "401"),
        ("error.type", "not_authenticated"),
    ] {
        assert_eq!(attribute(&span.attributes, name).as_deref(), Some(value));
    }
    assert!(span.start_time_unix_nano <= span.end_time_unix_nano && span.start_time_unix_nano > 0);
    // It is the client's fault, not the server's.
    assert_ne!(span.status.clone().unwrap_or_default().code(), StatusCode::Error);
    assert!(!format!("{spans:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_request_without_a_trace_begins_one_by_its_own_id() {
    let requests = [Request::get("/health/live"), Request::get("/nothing")];
    let (responses, spans) = sent(&requests, &[]).await;
    assert_eq!(spans.len(), 2, "{spans:?}");
    for (response, name) in responses.iter().zip(["GET /health/live", "GET"]) {
        let id = response.header("x-request-id").expect("an id");
        let span = spans.iter().find(|span| hex(&span.trace_id) == id).expect("a span of this id");
        assert_eq!((span.name.as_str(), span.parent_span_id.len()), (name, 0));
    }
}

#[tokio::test]
async fn a_trace_that_is_not_recorded_has_no_spans() {
    let requests = [
        with_parent(Request::get("/health/live"), "00"),
        with_parent(Request::get("/health/ready"), "02"),
        with_parent(Request::get("/profile"), "03"),
    ];
    let (_, spans) = sent(&requests, &[]).await;
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["GET /profile"]);
}

/// Asserts that the service does not mind that nobody takes its spans, and gives it back.
async fn unimpressed(collector: SocketAddr) -> (Server, Arc<Database>) {
    let database = Arc::new(Database::migrated().await);
    let settings = [
        ("DATABASE_URL", database.url().as_str()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{collector}")),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        // Little room: it is soon full.
        ("OTEL_BSP_MAX_QUEUE_SIZE", "16"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8"),
    ];
    let server = Server::start(&folder(), &settings).await;
    let said = || server.output().matches("trace export failed").count();
    eventually("word of it", async || {
        server.send(Request::get("/health/live")).await.expect(200);
        said() > 0
    })
    .await;
    for _ in 0..200 {
        server.send(Request::get("/health/live")).await.expect(200);
    }
    assert_eq!(said(), 1, "{}", server.output());
    (server, database)
}

#[tokio::test]
async fn a_collector_that_is_away_is_mentioned_once_and_served_again_when_it_is_back() {
    let away = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let (server, _database) = unimpressed(away).await;

    let collector = Collector::start_at(away);
    eventually("spans", async || {
        server.send(Request::get("/health/live")).await.expect(200);
        !collector.spans().is_empty()
    })
    .await;
    eventually("word of it", async || server.output().contains("trace export recovered")).await;
    assert!(server.terminate().await.success());
}

#[tokio::test]
async fn a_collector_that_says_nothing_holds_nobody_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (server, _database) = unimpressed(silent.local_addr().expect("an address")).await;
    assert!(server.terminate().await.success());
}

#[tokio::test]
async fn nothing_is_sent_unless_somebody_is_told_to_listen() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let profile = with_parent(client.request("GET", "/profile"), "01");
    let response = server.send(profile).await.expect(200);
    // The trace goes on all the same.
    assert_eq!(response.header("x-request-id"), Some(TRACE));
}

#[tokio::test]
async fn spans_go_where_opentelemetry_s_own_settings_say_and_as_they_say() {
    let (all, own) = (Collector::start(), Collector::start());
    let (of_all, of_own) = (all.url(), format!("{}/in", own.url()));
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", of_all.as_str()),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", of_own.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%2Cb=100%25"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=sign-in,deployment.environment=a%20b"),
    ];
    let mut server = TestServer::with(&settings).await;
    server.send(Request::get("/health/live")).await.expect(200);
    server.stop().await;
    assert_eq!(own.heads(), [("/in".to_owned(), Some("a,b=100%".to_owned()))]);
    assert_eq!(all.heads(), []);
    let resource = own.received().remove(0).resource_spans.remove(0).resource.expect("a resource").attributes;
    assert_eq!(attribute(&resource, "service.name").as_deref(), Some("sign-in"));
    assert_eq!(attribute(&resource, "deployment.environment").as_deref(), Some("a b"));

    for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
        let collector = Collector::start();
        let url = collector.url();
        let mut server = TestServer::with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), off]).await;
        server.send(Request::get("/health/live")).await.expect(200);
        server.stop().await;
        assert_eq!(collector.heads(), [], "{off:?}");
    }
}

#[tokio::test]
async fn what_is_not_followed_of_opentelemetry_s_settings_is_named() {
    let nowhere = ("DATABASE_URL", "postgres://127.0.0.1:1/nowhere");
    let on = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    for other in [
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
        ("OTEL_PROPAGATORS", "b3"),
    ] {
        for (settings, expected) in [(&[nowhere, on, other][..], 1), (&[nowhere, other], 0)] {
            let told = text(&run(program(&folder(), settings), "").await.stderr);
            assert_eq!(
                told.matches(&format!("{} is not a known setting.", other.0)).count(),
                expected,
                "{told}"
            );
        }
    }
}
