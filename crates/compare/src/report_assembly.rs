//! Assembles measurements into a report, and derives its warnings.

use std::collections::BTreeMap;

use chrono::DateTime;

use super::extra_results::VariantExtraResults;
use super::http::Connection;
use super::load::{self, RequestTarget};
use super::report::{
    BaselineResults, GeneratorLimit, Intervals, Latency, LatencyByPace, ManyConnections, Report, RunInfo,
    Variant, WireSize,
};
use super::rounds::{Sample, SubjectSamples};
use super::statistics::Estimate;
use super::testbed::Testbed;
use super::variant::RunningVariant;
use super::{CompareError, Plan, host};

/// Part of the generator's maximum throughput from which a variant counts as limited by the generator.
const GENERATOR_BOUND_SHARE: f64 = 0.8;

/// Requests that a p99 needs: ten of them are above it.
const MIN_SAMPLES_FOR_P99: u64 = 1_000;

/// Load average from which the machine counts as busy.
const MAX_LOAD_AVERAGE: f64 = 0.5;

/// Part of steal time that is worth a warning.
const MAX_STOLEN: f64 = 0.01;

/// Quantiles of the latency curve.
const CURVE_QUANTILES: [f64; 20] = [
    0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99, 0.995,
    0.999, 1.0,
];

/// A report without variants.
pub(super) fn empty_report(plan: &Plan, generator: GeneratorLimit, testbed: Option<&Testbed>) -> Report {
    let (servers, load) =
        testbed.map_or((0, 0), |testbed| (testbed.cores.servers.len(), testbed.cores.load.len()));
    let environment = RunInfo {
        at: DateTime::UNIX_EPOCH,
        seconds: 0.0,
        profile: plan.name.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        optimised: !cfg!(debug_assertions),
        system: host::system(),
        processor: host::processor(),
        server_cores: servers,
        load_cores: load,
        memory_bytes: host::memory(),
        postgres: testbed.map(|testbed| testbed.postgres.version.clone()),
        load_average: None,
        stolen: None,
        rounds: plan.rounds,
        slice_ms: u64::try_from(plan.slice.as_millis()).unwrap_or(u64::MAX),
        connections: plan.connections,
        fixed_rate: 0.0,
        url: None,
        warnings: Vec::new(),
    };
    Report { environment, generator, bare: None, variants: Vec::new(), second_factor: Vec::new() }
}

/// Adds warnings about conditions that make figures unreliable.
pub(super) fn add_warnings(report: &mut Report) {
    let RunInfo { server_cores, load_cores, url, .. } = &report.environment;
    let is_local = url.is_none();
    let fewest =
        report.variants.iter().map(|variant| variant.latency.fixed_rate.count).min().unwrap_or_default();
    let mut warnings = host_warnings(&report.environment);
    if is_local && report.variants.iter().all(|variant| variant.sql_per_request.is_none()) {
        warnings.push("This Postgres has no pg_stat_statements: SQL statements are not counted.".to_owned());
    }
    let most = report.variants.iter().map(|variant| variant.nodes).max().unwrap_or(1);
    if is_local && most > *server_cores {
        warnings.push(format!(
            "Up to {most} nodes shared {server_cores} of this machine's cores: throughput does not grow with nodes, and context switches add \
             CPU time."
        ));
    }
    if is_local && server_cores + load_cores < 2 {
        warnings.push("Everything ran on one core: latencies mean little.".to_owned());
    } else if is_local && *load_cores == 1 {
        warnings.push(
            "Postgres and the load generator shared one core: it, and not the server, may limit variants that query Postgres."
                .to_owned(),
        );
    }
    if fewest < MIN_SAMPLES_FOR_P99 {
        warnings.push(format!(
            "Only {fewest} requests at the fixed rate for some variants: their p99 is near the maximum, and unreliable."
        ));
    }
    if !report.generator.bottleneck_for.is_empty() {
        warnings.push(format!(
            "The load generator, and not the server, limits the requests/s of: {}.",
            report.generator.bottleneck_for.join("; ")
        ));
    }
    report.environment.warnings = warnings;
}

/// Warnings about the build and about other load on the machine.
fn host_warnings(environment: &RunInfo) -> Vec<String> {
    let RunInfo { optimised, load_average, stolen, .. } = environment;
    let mut warnings = Vec::new();
    if !optimised {
        warnings.push(
            "This dualauth was compiled without optimisations: its CPU times say nothing about a release."
                .to_owned(),
        );
    }
    if let Some(load) = load_average.filter(|load| *load > MAX_LOAD_AVERAGE) {
        warnings.push(format!(
            "The machine was busy before the run (load average {load:.1}): look at the intervals."
        ));
    }
    if let Some(stolen) = stolen.filter(|stolen| *stolen > MAX_STOLEN) {
        warnings.push(format!(
            "{:.1} % of this virtual machine's CPU time went to others on its host (steal): look at the intervals.",
            100.0 * stolen
        ));
    }
    warnings
}

/// Results of the bare handler.
pub(super) fn bare(measured: &SubjectSamples, plan: &Plan) -> BaselineResults {
    BaselineResults {
        requests_per_second: estimate(measured, |sample| Some(sample.requests_per_second)),
        server_cpu_us: estimate(measured, |sample| sample.server_cpu),
        latency: latency(&measured.fixed_rate),
        many_connections: many_connections(measured, None, plan.many_connections),
    }
}

/// Results over many connections, if they were measured.
fn many_connections(
    measured: &SubjectSamples,
    bare: Option<&SubjectSamples>,
    connections: usize,
) -> Option<ManyConnections> {
    measured.samples.iter().find_map(|sample| sample.many_connections)?;
    let cpu = |sample: &Sample| sample.many_connections?.server_cpu;
    Some(ManyConnections {
        connections,
        requests_per_second: estimate(measured, |sample| Some(sample.many_connections?.requests_per_second)),
        server_cpu_us: estimate(measured, cpu),
        server_cpu_ratio: ratio(measured, bare, cpu),
    })
}

/// CPU time as a multiple of the bare handler's, computed within each round, since rounds differ.
fn ratio(
    measured: &SubjectSamples,
    bare: Option<&SubjectSamples>,
    cpu: impl Fn(&Sample) -> Option<f64>,
) -> Option<Estimate> {
    let rounds = measured.samples.iter().zip(&bare?.samples);
    Estimate::of(rounds.filter_map(|(sample, bare)| Some(cpu(sample)? / cpu(bare)?)))
}

/// Results of one variant.
pub(super) fn variant(
    variant: &RunningVariant,
    nodes: usize,
    measured: &SubjectSamples,
    bare: Option<&SubjectSamples>,
    results: VariantExtraResults,
    bytes: WireSize,
    plan: &Plan,
) -> Variant {
    let intervals = intervals(measured, bare);
    let latency = LatencyByPace {
        closed_loop: latency(&measured.closed_loop),
        fixed_rate: latency(&measured.fixed_rate),
    };
    let spec = &variant.spec;
    let median = |estimate: Option<Estimate>| estimate.map(|estimate| estimate.median);
    let most = results.footprint.last().copied();
    Variant {
        name: variant.name(nodes),
        system: variant.system.clone(),
        mode: spec.mode,
        transport: spec.transport,
        algorithm: spec.algorithm.clone(),
        lookup: spec.lookup.clone(),
        revocation: spec.revocation.clone(),
        nodes,
        connections: plan.connections,
        requests_per_second: median(intervals.requests_per_second),
        p50_ms: latency.fixed_rate.p50,
        p99_ms: latency.fixed_rate.p99,
        server_cpu_us: median(intervals.server_cpu_us),
        server_cpu_ratio: median(intervals.server_cpu_ratio),
        postgres_cpu_us: median(intervals.postgres_cpu_us),
        sql_per_request: median(estimate(measured, |sample| sample.sql)),
        bytes_sent: bytes.sent.values().sum(),
        bytes_received: bytes.received.values().sum(),
        revocation_delay_ms: results.delay,
        memory_bytes_per_login: most.and_then(|most| most.memory()),
        disk_bytes_per_login: most.and_then(|most| most.disk_bytes_per_login),
        outage: results.outage,
        intervals,
        many_connections: many_connections(measured, bare, plan.many_connections),
        latency,
        bytes,
        login: results.login,
        refresh: results.refresh,
        footprint: results.footprint,
    }
}

fn intervals(measured: &SubjectSamples, bare: Option<&SubjectSamples>) -> Intervals {
    Intervals {
        requests_per_second: estimate(measured, |sample| Some(sample.requests_per_second)),
        p50_ms: estimate(measured, |sample| sample.p50),
        p99_ms: estimate(measured, |sample| sample.p99),
        server_cpu_us: estimate(measured, |sample| sample.server_cpu),
        server_cpu_ratio: ratio(measured, bare, |sample| sample.server_cpu),
        postgres_cpu_us: estimate(measured, |sample| sample.postgres_cpu),
    }
}

/// Whether the variant's throughput is so near the generator's maximum that the generator may be its limit.
pub(super) fn is_generator_bound(generator: &GeneratorLimit, measured: &SubjectSamples) -> bool {
    let requests = estimate(measured, |sample| Some(sample.requests_per_second));
    requests
        .zip(generator.requests_per_second)
        .is_some_and(|(found, most)| found.median > GENERATOR_BOUND_SHARE * most)
}

fn estimate(measured: &SubjectSamples, figure: impl Fn(&Sample) -> Option<f64>) -> Option<Estimate> {
    Estimate::of(measured.samples.iter().filter_map(figure))
}

fn latency(latencies: &load::LatencyHistogram) -> Latency {
    let [p50, p90, p99, p999, max] = [0.5, 0.9, 0.99, 0.999, 1.0].map(|part| latencies.quantile_ms(part));
    let curve =
        CURVE_QUANTILES.iter().filter_map(|part| Some((*part, latencies.quantile_ms(*part)?))).collect();
    Latency { count: latencies.count(), p50, p90, p99, p999, max, curve }
}

/// Sends one request and measures it and its response, by header.
pub(super) fn bytes(request_target: &RequestTarget) -> Result<WireSize, CompareError> {
    let mut connection = Connection::new(request_target.origin.clone());
    let failed = |reason: String| CompareError::Answer { call: request_target.call.name(), reason };
    let response =
        connection.exchange(&request_target.call.request).map_err(|error| failed(error.to_string()))?;
    if !request_target.call.is_answered_by(&response) {
        return Err(failed(format!("answered {}", response.status)));
    }
    let head = String::from_utf8_lossy(&request_target.call.request);
    let mut sent = by_header(head.trim_end_matches("\r\n").split("\r\n"));
    // The empty line after the headers.
    *sent.entry(FIRST_LINE.to_owned()).or_default() += 2;
    let mut received = by_header(response.head().trim_end_matches("\r\n").split("\r\n"));
    *received.entry(FIRST_LINE.to_owned()).or_default() += 2;
    received.insert("body".to_owned(), response.size() - response.head().len());
    Ok(WireSize { sent, received })
}

/// The key for what is no header: the first line, and the empty line after the headers.
const FIRST_LINE: &str = "first line";

fn by_header<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<String, usize> {
    let mut sizes = BTreeMap::new();
    for (number, line) in lines.enumerate() {
        let name = line.split_once(':').filter(|_| number > 0).map_or(FIRST_LINE, |(name, _)| name);
        *sizes.entry(name.to_ascii_lowercase()).or_default() += line.len() + 2;
    }
    sizes
}
