//! The whole comparison, made as short as can be: it finds what is there, tells all of it in every form, and the page on which it is
//! shown works in a browser.

use std::path::Path;

use dualauth::web::LastReport;
use dualauth_compare::Report;
use dualauth_compare::report::{ActionCost, DelayDistribution, Variant};
use dualauth_compare::target::CredentialTransport;
use serde_json::Value;

use super::browser::comparison;
use crate::compare::{compared, found, options, read};
use crate::support::{
    cluster::Database,
    http::Request,
    program::{Server, folder, text},
};

/// What the contract names.
const KEYS: [&str; 22] = [
    "name",
    "mode",
    "transport",
    "algorithm",
    "lookup",
    "revocation",
    "nodes",
    "connections",
    "many_connections",
    "requests_per_second",
    "p50_ms",
    "p99_ms",
    "server_cpu_us",
    "server_cpu_ratio",
    "postgres_cpu_us",
    "sql_per_request",
    "bytes_sent",
    "bytes_received",
    "revocation_delay_ms",
    "memory_bytes_per_login",
    "disk_bytes_per_login",
    "outage",
];

#[tokio::test]
async fn everything_is_compared_and_told_in_every_form_and_on_a_page() {
    let out = folder();
    let report = compared(options(out.join("run"))).await;
    report.write(&out).expect("it is written");
    let json: Value = serde_json::from_slice(&read(&out, "comparison.json")).expect("JSON");
    assert_complete(&json);
    assert_told_right(&report);
    assert_second_factors_are_told(&report);
    assert_rounded(&json);

    let markdown = text(&read(&out, "comparison.md"));
    let html = text(&read(&out, "comparison.html"));
    let found = found(&markdown);
    assert_eq!(found.len(), 5, "{found:?}");
    assert!(found[0].starts_with("Over 4 connections") && found[1].starts_with("Over 64"), "{found:?}");
    assert!(found.iter().all(|sentence| !sentence.contains('–')), "no figure is missing: {found:?}");
    assert!(report.to_text().starts_with(&found[0]), "{}", report.to_text());
    assert!(html.find("Summary") < html.find("The run"), "it comes first");
    for variant in &report.variants {
        assert!(markdown.contains(&variant.name) && html.contains(&variant.name), "{}", variant.name);
    }
    assert_eq!(html.matches("<svg").count(), 4, "latencies, costs, ends, nodes");
    for outside in ["src=", "href=", "url(", "@import"] {
        assert!(!html.contains(outside), "{outside} in a file that stands alone");
    }
    assert_shown(&out, &report).await;
}

/// Whoever reads `30.736452500000002` is told more than anybody has measured.
fn assert_rounded(json: &Value) {
    match json {
        Value::Number(number) if number.is_f64() => {
            let digits = number.to_string().replace('.', "");
            let digits = digits.split('e').next().expect("a mantissa").trim_matches(['0', '-']).len();
            assert!(digits <= 3, "{number}");
        }
        Value::Array(values) => values.iter().for_each(assert_rounded),
        Value::Object(members) => members.values().for_each(assert_rounded),
        _ => {}
    }
}

/// Both modes, both transports, as textbooks have it and as it is here, each algorithm; and some of them on more nodes.
fn assert_complete(json: &Value) {
    let variants = json["variants"].as_array().expect("variants");
    assert_eq!(variants.len(), 4 + 16 + 8);
    for variant in variants {
        for key in KEYS {
            assert!(variant.get(key).is_some(), "{key} in {variant}");
        }
    }
    assert!(json["environment"].is_object() && json["generator"]["requests_per_second"].is_f64());
}

/// A second request costs something at a sign-in, and nothing of it is looked up when a request comes.
fn assert_second_factors_are_told(report: &Report) {
    let modes: Vec<_> = report.second_factor.iter().map(|cost| cost.mode.as_str()).collect();
    assert_eq!(modes, ["session", "jwt"]);
    for cost in &report.second_factor {
        let sql = |cost: Option<ActionCost>| cost.and_then(|cost| cost.sql).expect("statements are counted");
        assert!(sql(cost.two_step_login) > sql(cost.login), "{cost:?}");
        assert!(sql(cost.request) < 0.5 && sql(cost.two_step_request) < 0.5, "{cost:?}");
        assert!(cost.login_ratio.is_some() && cost.request_ratio.is_some(), "{cost:?}");
    }
    let markdown = report.to_markdown();
    assert!(
        markdown.contains("## Cost of a second factor") && markdown.contains("| session |"),
        "{markdown}"
    );
}

fn assert_told_right(report: &Report) {
    let bare = report.bare.as_ref().and_then(|bare| bare.server_cpu_us).expect("a bare handler");
    assert!(bare.median > 0.0);
    for variant in &report.variants {
        let sql = variant.sql_per_request.expect("statements are counted");
        let expected = if variant.lookup.as_deref() == Some("always") { 1.0 } else { 0.0 };
        assert!((sql - expected).abs() < 0.5, "{}: {sql} statements a request", variant.name);
        // In a slice as short as these a token costs now more than a bare handler, now less; a look-up does not.
        assert!(variant.server_cpu_ratio.expect("a ratio") > expected, "{}", variant.name);
        assert!(variant.p99_ms >= variant.p50_ms && variant.p50_ms > Some(0.0), "{}", variant.name);
    }
    for variant in &report.variants {
        let many = variant.many_connections.map(|many| (many.connections, many.server_cpu_ratio.is_some()));
        let expected = (variant.nodes == 1).then_some((64, true));
        assert_eq!((variant.connections, many), (4, expected), "{}", variant.name);
    }
    let looked_at = report.variants.iter().filter(|variant| variant.revocation_delay_ms.is_some());
    assert_eq!(
        looked_at.map(assert_looked_at).count(),
        10,
        "of the first algorithm, and of one with public keys"
    );
    for variant in report.variants.iter().filter(|variant| variant.nodes == 1) {
        assert_suffered(variant);
    }
}

/// One that can't be revoked is accepted until it expires; all others die, on either node, and where another service verifies them.
fn assert_looked_at(variant: &Variant) {
    let outlives = variant.revocation.as_deref() == Some("off");
    let delay = variant.revocation_delay_ms.as_ref().expect("a delay");
    let is_followed = variant.algorithm.as_deref() == Some("EdDSA");
    assert_eq!(delay.other_service.is_some(), is_followed, "{}", variant.name);
    let places = [Some(&delay.same_node), delay.other_node.as_ref(), delay.other_service.as_ref()];
    assert!(places[1].is_some(), "{}: two nodes", variant.name);
    for DelayDistribution { until_expiry, samples, max, .. } in places.into_iter().flatten() {
        assert_eq!(*until_expiry, outlives, "{}", variant.name);
        assert_eq!(samples.len(), if outlives { 2 } else { 3 }, "{}", variant.name);
        assert!(!outlives || *max > 800_000.0, "{}: {max} ms of the 15 min that it has", variant.name);
    }
    // Once a mode: how a credential travels changes nothing.
    let is_textbook = variant.lookup.as_deref() == Some("always") || outlives;
    let is_weighed = variant.transport == CredentialTransport::Cookie && !is_textbook && !is_followed;
    assert_eq!(variant.footprint.len(), usize::from(is_weighed), "{}", variant.name);
    assert!(variant.login.is_some_and(|cost| cost.sql >= Some(2.0)), "{}: {:?}", variant.name, variant.login);
}

/// Without Postgres a session is soon nobody's, and an access token still somebody's.
fn assert_suffered(variant: &Variant) {
    let outage = variant.outage.as_ref().expect("an outage");
    let last = outage.answers.last().expect("an answer").status;
    let expected = if variant.lookup.is_some() { 503 } else { 200 };
    assert_eq!(last, Some(expected), "{}: {outage:?}", variant.name);
    // Who never answered anything else has nothing to recover from.
    assert_eq!(outage.recovery_ms.is_some(), variant.lookup.is_some(), "{}: {outage:?}", variant.name);
}

/// On the page of a server that was started there.
async fn assert_shown(out: &Path, report: &Report) {
    let place = folder();
    let shown = LastReport::folder(&place.join(".data"));
    let database = Database::migrated().await;
    let server = Server::start(&place, &[("DATABASE_URL", database.url().as_str())]).await;
    let page = server.send(Request::get("/compare")).await.expect(200).text();
    assert!(page.contains("Not measured on this machine"));

    report.write(&shown).expect("it is written");
    let served = server.send(Request::get("/compare.json")).await.expect(200).json();
    let written: Value = serde_json::from_slice(&read(out, "comparison.json")).expect("JSON");
    assert_eq!(served["variants"], written["variants"]);
    let page = server.send(Request::get("/compare")).await.expect(200).text();
    assert!(!page.contains("Not measured yet") && !page.contains("Not measured on this machine"), "{page}");
    for variant in &report.variants {
        assert!(page.contains(&variant.name), "{}", variant.name);
    }
    comparison::look_at(server.address()).await;
}
