//! The comparison: it finds what is there, and tells all of it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dualauth::web::LastReport;
use dualauth_compare::report::{Delay, Variant};
use dualauth_compare::target::Transport;
use dualauth_compare::{Options, Plan, Progress, Report};
use serde_json::Value;
use tokio::runtime::Handle;
use url::Url;

use super::browser::comparison;
use super::support::cluster::Database;
use super::support::eventually;
use super::support::http::Request;
use super::support::nginx::Nginx;
use super::support::program::{Server, folder, program, run, text};
use super::support::server::TestServer;

/// As little of everything as there can be.
fn least() -> Plan {
    Plan {
        name: "least",
        rounds: 1,
        node_counts: &[2],
        rounds_of_node_counts: 1,
        slice: Duration::from_millis(40),
        warm_up: Duration::from_millis(10),
        rounds_of_costs: 2,
        sign_ins: 1,
        refreshes: 3,
        ends: 3,
        watch: Duration::from_secs(2),
        footprints: &[20],
        outage: Duration::from_secs(4),
        ..Plan::quick()
    }
}

async fn compared(options: Options) -> Report {
    let runtime = Handle::current();
    let comparing = move || dualauth_compare::run(&options, &runtime, &Progress::hidden());
    tokio::task::spawn_blocking(comparing).await.expect("no panic").expect("a comparison")
}

fn options(folder: PathBuf) -> Options {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_dualauth"));
    Options { plan: least(), url: None, target: None, program, folder }
}

#[tokio::test]
async fn a_server_that_runs_is_measured_from_outside() {
    let server = TestServer::start().await;
    let url: Url = format!("http://{}", server.address()).parse().expect("a URL");
    let out = folder();
    let report = compared(Options { url: Some(url.clone()), ..options(out.clone()) }).await;
    assert_eq!(report.variants.len(), 4);
    assert!(report.generator.requests_per_second > Some(0.0));
    report.write(&out).expect("it is written");
    let markdown = text(&read(&out, "comparison.md"));
    assert!(markdown.contains(&format!("**Server**: {url}")), "{markdown}");
    assert!(!text(&read(&out, "comparison.html")).contains("CPU for each request"));
    // What it costs, and what textbooks' variants do, can't be seen from there.
    let found = found(&markdown);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[1].contains("on the node that was told; the JWT "), "{found:?}");
    let page = page_of(&report).await;
    assert!(!page.contains("Not measured yet") && page.contains("A copy: dead"), "{page}");
    for variant in &report.variants {
        assert!(variant.requests_per_second > Some(0.0) && variant.p50_ms > Some(0.0), "{}", variant.name);
        // What can't be seen from there is not made up.
        assert_eq!((variant.server_cpu_us, variant.sql_per_request), (None, None), "{}", variant.name);
        assert!(variant.bytes_received > 300, "{}", variant.name);
        let delay = variant.revocation_delay_ms.as_ref().expect("a delay");
        assert!(!delay.same_node.until_expiry && delay.other_node.is_none(), "{}", variant.name);
    }
}

#[tokio::test]
async fn a_server_behind_tls_is_measured_if_this_machine_trusts_it() {
    let server = TestServer::with(&[("PUBLIC_URL", "https://auth.example.org")]).await;
    let nginx = Nginx::over_tls(&server).await;
    let url = format!("https://{}", nginx.address());
    let measured = async |settings: &[(&str, &str)]| {
        let mut command = program(&folder(), settings);
        command.args(["compare", "--quick", "--url", &url]);
        run(command, "").await
    };
    let stranger = measured(&[]).await;
    assert!(text(&stranger.stderr).contains("certificate"), "{}", text(&stranger.stderr));
    let known = measured(&[("SSL_CERT_FILE", &nginx.certificate())]).await;
    assert!(known.status.success(), "{}", text(&known.stderr));
    assert!(text(&known.stdout).contains("session cookie"), "{}", text(&known.stdout));
}

/// As far as they say where they are.
#[cfg(target_os = "linux")]
fn processes_in(folder: &Path) -> usize {
    let processes = std::fs::read_dir("/proc").expect("processes").filter_map(Result::ok);
    let places = processes.filter_map(|process| std::fs::read_link(process.path().join("cwd")).ok());
    places.filter(|place| place.starts_with(folder)).count()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn nothing_of_a_comparison_that_is_killed_goes_on() {
    let folder = folder();
    let place = folder.join(".data/compare-run");
    let mut command = program(&folder, &[]);
    let mut comparing = command.args(["compare", "--quick"]).spawn().expect("it starts");
    eventually("a Postgres and two nodes", async || {
        processes_in(&place.join("logs")) >= 2 && processes_in(&place.join("postgres")) > 0
    })
    .await;

    comparing.kill().await.expect("it can be killed");

    eventually("the end of all of them", async || processes_in(&place) == 0).await;
}

#[tokio::test]
async fn a_server_that_gives_a_wrong_answer_is_not_measured() {
    let server = TestServer::start().await;
    for url in
        [format!("http://{}/docs", server.address()), "http://127.0.0.1:1".to_owned(), "ftp://a".to_owned()]
    {
        let mut command = program(&folder(), &[]);
        command.args(["compare", "--quick", "--url", &url]);
        let output = run(command, "").await;
        assert_eq!(output.status.code(), Some(1), "{url}: {}", text(&output.stdout));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{url}");
    }
}

#[tokio::test]
async fn two_comparisons_never_share_a_folder() {
    let folder = folder();
    let shown = LastReport::folder(&folder.join(".data"));
    let place = folder.join(".data/compare-run");
    std::fs::create_dir_all(&place).expect("a folder");
    let other = File::create(place.join("lock")).expect("a file");
    other.lock().expect("nobody has it");
    let mut command = program(&folder, &[]);
    command.args(["compare", "--quick"]);
    let output = run(command, "").await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("another comparison"), "{}", text(&output.stderr));
    assert!(!shown.exists(), "nothing was written");
}

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
    assert_rounded(&json);

    let markdown = text(&read(&out, "comparison.md"));
    let html = text(&read(&out, "comparison.html"));
    let found = found(&markdown);
    assert_eq!(found.len(), 5, "{found:?}");
    assert!(found[0].starts_with("Over 4 connections") && found[1].starts_with("Over 64"), "{found:?}");
    assert!(found.iter().all(|sentence| !sentence.contains('–')), "no figure is missing: {found:?}");
    assert!(report.to_text().starts_with(&found[0]), "{}", report.to_text());
    assert!(html.find("What was found") < html.find("The run"), "it comes first");
    for variant in &report.variants {
        assert!(markdown.contains(&variant.name) && html.contains(&variant.name), "{}", variant.name);
    }
    assert_eq!(html.matches("<svg").count(), 4, "latencies, costs, ends, nodes");
    for outside in ["src=", "href=", "url(", "@import"] {
        assert!(!html.contains(outside), "{outside} in a file that stands alone");
    }
    assert_shown(&out, &report).await;
}

/// The sentences that a report begins with.
fn found(markdown: &str) -> Vec<String> {
    let (_, found) = markdown.split_once("## What was found\n\n").expect("it begins with them");
    let (found, _) = found.split_once("\n\n").expect("something behind them");
    found.lines().map(|line| line.trim_start_matches("- ").to_owned()).collect()
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

fn read(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).expect("it was written")
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
    assert_eq!(looked_at.map(assert_looked_at).count(), 8, "of the first algorithm");
    for variant in report.variants.iter().filter(|variant| variant.nodes == 1) {
        assert_suffered(variant);
    }
}

/// One that can't be revoked is accepted until it expires; all others die, on either node.
fn assert_looked_at(variant: &Variant) {
    let outlives = variant.revocation.as_deref() == Some("off");
    let delay = variant.revocation_delay_ms.as_ref().expect("a delay");
    let nodes = [Some(&delay.same_node), delay.other_node.as_ref()];
    for Delay { until_expiry, samples, max, .. } in nodes.map(|delay| delay.expect("two nodes")) {
        assert_eq!(*until_expiry, outlives, "{}", variant.name);
        assert_eq!(samples.len(), if outlives { 2 } else { 3 }, "{}", variant.name);
        assert!(!outlives || *max > 800_000.0, "{}: {max} ms of the 15 min that it has", variant.name);
    }
    // Once a mode: how a credential travels changes nothing.
    let is_textbook = variant.lookup.as_deref() == Some("always") || outlives;
    let is_weighed = variant.transport == Transport::Cookie && !is_textbook;
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

/// The page, at a server that finds this.
async fn page_of(report: &Report) -> String {
    let place = folder();
    report.write(&LastReport::folder(&place.join(".data"))).expect("it is written");
    let database = Database::migrated().await;
    let server = Server::start(&place, &[("DATABASE_URL", database.url().as_str())]).await;
    server.send(Request::get("/compare")).await.expect(200).text()
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
