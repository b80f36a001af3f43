//! The comparison: whom it measures, what it leaves behind, and what it refuses to tell. The whole of it is in `external/comparison.rs`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dualauth::web::LastReport;
use dualauth_compare::{Options, Plan, Report, TerminalProgressBar};
use tokio::runtime::Handle;
use url::Url;

use super::support::cluster::Database;
use super::support::eventually;
use super::support::http::Request;
use super::support::program::{Server, folder, program, run, text};
use super::support::server::TestServer;

/// As little of everything as there can be.
fn least() -> Plan {
    Plan {
        name: "least",
        rounds: 1,
        node_counts: &[2],
        node_count_rounds: 1,
        slice: Duration::from_millis(40),
        warm_up: Duration::from_millis(10),
        sign_in_rounds: 2,
        sign_ins: 1,
        refreshes: 3,
        factor_requests: 20,
        logouts: 3,
        revocation_watch: Duration::from_secs(2),
        login_counts: &[20],
        outage: Duration::from_secs(4),
        ..Plan::quick()
    }
}

pub async fn compared(options: Options) -> Report {
    let runtime = Handle::current();
    let comparing = move || dualauth_compare::run(&options, &runtime, &TerminalProgressBar::hidden());
    tokio::task::spawn_blocking(comparing).await.expect("no panic").expect("a comparison")
}

pub fn options(folder: PathBuf) -> Options {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_dualauth"));
    Options { plan: least(), url: None, target: None, program, folder }
}

#[tokio::test]
async fn a_server_that_runs_is_measured_from_outside() {
    let server = TestServer::start().await;
    let url: Url = format!("http://{}", server.address()).parse().expect("a URL");
    let out = folder();
    let report = compared(Options { url: Some(url.clone()), ..options(out.clone()) }).await;
    assert_eq!((report.variants.len(), report.second_factor.len()), (4, 0));
    assert!(report.generator.requests_per_second > Some(0.0));
    report.write(&out).expect("it is written");
    let markdown = text(&read(&out, "comparison.md"));
    assert!(markdown.contains(&format!("**Server**: {url}")), "{markdown}");
    assert!(!text(&read(&out, "comparison.html")).contains("CPU per request"));
    // What it costs, and what textbooks' variants do, can't be seen from there.
    let found = found(&markdown);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[1].contains("on the node that handled the logout; the JWT "), "{found:?}");
    let page = page_of(&report).await;
    assert!(!page.contains("Not measured yet") && page.contains("A copy: refused"), "{page}");
    for variant in &report.variants {
        assert!(variant.requests_per_second > Some(0.0) && variant.p50_ms > Some(0.0), "{}", variant.name);
        // What can't be seen from there is not made up.
        assert_eq!((variant.server_cpu_us, variant.sql_per_request), (None, None), "{}", variant.name);
        assert!(variant.bytes_received > 300, "{}", variant.name);
        let delay = variant.revocation_delay_ms.as_ref().expect("a delay");
        assert!(!delay.same_node.until_expiry, "{}", variant.name);
        assert!(delay.other_node.is_none() && delay.other_service.is_none(), "{}", variant.name);
    }
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

/// The sentences that a report begins with.
pub fn found(markdown: &str) -> Vec<String> {
    let (_, found) = markdown.split_once("## Summary\n\n").expect("it begins with them");
    let (found, _) = found.split_once("\n\n").expect("something behind them");
    found.lines().map(|line| line.trim_start_matches("- ").to_owned()).collect()
}

pub fn read(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).expect("it was written")
}

/// The page, at a server that finds this.
async fn page_of(report: &Report) -> String {
    let place = folder();
    report.write(&LastReport::folder(&place.join(".data"))).expect("it is written");
    let database = Database::migrated().await;
    let server = Server::start(&place, &[("DATABASE_URL", database.url().as_str())]).await;
    server.send(Request::get("/compare")).await.expect(200).text()
}
