//! Format of `comparison.json`, from which the other formats of a report are rendered.

mod cells;
mod charts;
mod conditions;
mod delay;
mod html;
mod markdown;
mod schema;
mod second_factor;
mod sessions_versus_jwts_table_json;
mod summary;
mod tables;
mod terminal;

pub use self::delay::{DelayDistribution, RevocationDelayByPlace};
pub use self::{schema::schemas, second_factor::SecondFactorCost};

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, ArrayBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type};

use super::CompareError;
use super::memory_and_disk_per_login::LoginFootprint;
use super::postgres_outage::Outage;
use super::statistics::{self, Estimate};
use super::target::{AuthMode, CredentialTransport};
use super::variant::DUALAUTH;

/// Results of a run. A figure that has no meaning, or could not be measured, is null.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Comparison)]
pub struct Report {
    /// When, where and how it was measured.
    pub environment: RunInfo,
    /// Limits of the load generator itself.
    pub generator: GeneratorLimit,
    /// The reference of every ratio: an actix handler with a response body of the same length and no logic.
    pub bare: Option<BaselineResults>,
    /// Results by variant.
    pub variants: Vec<Variant>,
    /// What a second factor costs, by mode. Empty for a server that ran already.
    #[serde(default)]
    pub second_factor: Vec<SecondFactorCost>,
}

/// When, where and how it was measured.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedWhere)]
pub struct RunInfo {
    /// Start of the run.
    pub at: DateTime<Utc>,
    /// Duration of the run, in seconds.
    pub seconds: f64,
    /// `quick` or `full`.
    pub profile: String,
    /// dualauth's version.
    pub version: String,
    /// Whether it was compiled with optimisations. If not, its CPU times mean nothing.
    pub optimised: bool,
    /// Name and release of the kernel.
    pub system: String,
    /// Model name of the processor.
    pub processor: Option<String>,
    /// Number of cores of the servers.
    pub server_cores: usize,
    /// Number of cores of the load generator and Postgres.
    pub load_cores: usize,
    /// Memory of the machine, in bytes.
    pub memory_bytes: Option<u64>,
    /// Postgres' version.
    pub postgres: Option<String>,
    /// Load average of the minute before the run.
    pub load_average: Option<f64>,
    /// Part of the CPU time during the run that the hypervisor gave to other virtual machines (steal), from 0 to 1.
    #[serde(default)]
    pub stolen: Option<f64>,
    /// Measured rounds.
    pub rounds: usize,
    /// Duration of a slice, in milliseconds.
    pub slice_ms: u64,
    /// Keep-alive connections to each node.
    pub connections: usize,
    /// The fixed rate, in requests per second.
    pub fixed_rate: f64,
    /// URL of the server, if it ran already. Everything else here describes the machine of the client.
    pub url: Option<String>,
    /// Conditions that make figures unreliable.
    pub warnings: Vec<String>,
}

/// Limits of the load generator.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedGenerator)]
pub struct GeneratorLimit {
    /// The most requests per second that it can send and check, against a server that does no work.
    pub requests_per_second: Option<f64>,
    /// Its CPU time per request, in microseconds.
    pub cpu_us: Option<f64>,
    /// Names of variants whose throughput is limited by the generator.
    pub bottleneck_for: Vec<String>,
}

/// Results of the bare handler.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedBare)]
pub struct BaselineResults {
    /// Throughput in a closed loop.
    pub requests_per_second: Option<Estimate>,
    /// CPU time per request, in microseconds.
    pub server_cpu_us: Option<Estimate>,
    /// Latency at the fixed rate.
    pub latency: Latency,
    /// Results over many connections.
    #[serde(default)]
    pub many_connections: Option<ManyConnections>,
}

/// Cost of a request in a closed loop over many connections. A system call then serves several requests, so that the
/// server's own work is a larger part of the cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedManyConnections)]
pub struct ManyConnections {
    /// Number of connections.
    pub connections: usize,
    /// Throughput.
    pub requests_per_second: Option<Estimate>,
    /// The server's CPU time per request, in microseconds.
    pub server_cpu_us: Option<Estimate>,
    /// The same, as a multiple of the bare handler's in the same round. Null for the bare handler itself.
    pub server_cpu_ratio: Option<Estimate>,
}

/// Results of one variant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedVariant)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// The system: `dualauth`, or the name of another.
    pub system: String,
    /// `session` or `jwt`.
    pub mode: AuthMode,
    /// `cookie` or `bearer`.
    pub transport: CredentialTransport,
    /// Signature algorithm of tokens.
    pub algorithm: Option<String>,
    /// Where sessions are looked up: `always` in Postgres, or `cached`.
    pub lookup: Option<String>,
    /// Whether tokens can be revoked: `off`, or by the `feed`.
    pub revocation: Option<String>,
    /// Number of nodes that shared the requests.
    pub nodes: usize,
    /// Connections to each node, except in `many_connections`.
    #[serde(default)]
    pub connections: usize,
    /// Throughput in a closed loop.
    pub requests_per_second: Option<f64>,
    /// Median latency at the fixed rate, in milliseconds.
    pub p50_ms: Option<f64>,
    /// 99th percentile of latency at the fixed rate, in milliseconds.
    pub p99_ms: Option<f64>,
    /// The servers' CPU time per request, in microseconds.
    pub server_cpu_us: Option<f64>,
    /// The same, as a multiple of the bare handler's in the same round.
    pub server_cpu_ratio: Option<f64>,
    /// Postgres' CPU time per request, in microseconds, less its CPU time without load.
    pub postgres_cpu_us: Option<f64>,
    /// SQL statements per request, without those that nodes run in the background.
    pub sql_per_request: Option<f64>,
    /// Size of a request, in bytes.
    pub bytes_sent: usize,
    /// Size of its response, in bytes.
    pub bytes_received: usize,
    /// How long a credential is accepted after the acknowledgement of its logout.
    pub revocation_delay_ms: Option<RevocationDelayByPlace>,
    /// Memory per login with the largest number of logins, in bytes. Null when it was within the noise.
    pub memory_bytes_per_login: Option<f64>,
    /// Disk space per login with the largest number of logins, in bytes.
    pub disk_bytes_per_login: Option<f64>,
    /// Responses during an outage of Postgres.
    pub outage: Option<Outage>,
    /// Confidence intervals of the figures above.
    pub intervals: Intervals,
    /// Results over many connections. Null with several nodes, and for other systems.
    #[serde(default)]
    pub many_connections: Option<ManyConnections>,
    /// Latencies in a closed loop and at the fixed rate.
    pub latency: LatencyByPace,
    /// Bytes of a request and its response, by part.
    pub bytes: WireSize,
    /// Cost of a sign-in.
    pub login: Option<ActionCost>,
    /// Cost of a refresh.
    pub refresh: Option<ActionCost>,
    /// Memory and disk per login, by number of logins.
    pub footprint: Vec<LoginFootprint>,
}

/// Medians over the rounds, with confidence intervals, by figure. Those of p50 and p99 are over the values of each slice; the
/// variant's own p50 and p99 are over all of its requests.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedIntervals)]
#[expect(missing_docs, reason = "each is the interval of the variant's figure of the same name")]
pub struct Intervals {
    pub requests_per_second: Option<Estimate>,
    pub p50_ms: Option<Estimate>,
    pub p99_ms: Option<Estimate>,
    pub server_cpu_us: Option<Estimate>,
    pub server_cpu_ratio: Option<Estimate>,
    pub postgres_cpu_us: Option<Estimate>,
}

/// Latencies in both kinds of load.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedLatencies)]
pub struct LatencyByPace {
    /// Closed loop: each connection sends as soon as the previous request is answered.
    pub closed_loop: Latency,
    /// Fixed rate: each latency counts from the time at which the request was due.
    pub fixed_rate: Latency,
}

/// Distribution of latencies, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedLatency)]
pub struct Latency {
    /// Number of requests.
    #[serde(default)]
    pub count: u64,
    /// Median.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// 99.9th percentile.
    pub p999: Option<f64>,
    /// Maximum.
    pub max: Option<f64>,
    /// The distribution as pairs of quantile (0 to 1) and latency.
    #[schema(schema_with = curve_schema)]
    pub curve: Vec<(f64, f64)>,
}

/// A list of pairs as arrays of two numbers: few client generators support tuples.
fn curve_schema() -> Array {
    let number = ObjectBuilder::new()
        .schema_type(Type::Number)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Double)));
    let pair = ArrayBuilder::new().items(number).min_items(Some(2)).max_items(Some(2));
    ArrayBuilder::new()
        .items(pair)
        .description(Some("The distribution as pairs of quantile (0 to 1) and latency."))
        .build()
}

/// Bytes of a request and its response, by part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedBytes)]
pub struct WireSize {
    /// Bytes of the request: first line, each header, body.
    pub sent: BTreeMap<String, usize>,
    /// Bytes of the response: first line, each header, body.
    pub received: BTreeMap<String, usize>,
}

/// Cost of a sign-in or refresh: medians over the rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedCost)]
pub struct ActionCost {
    /// Server CPU time, in microseconds.
    pub server_cpu_us: Option<f64>,
    /// Postgres CPU time, in microseconds. Null when it was less than that of Postgres' background work.
    pub postgres_cpu_us: Option<f64>,
    /// SQL statements.
    pub sql: Option<f64>,
    /// Median latency without concurrent load, in milliseconds.
    pub p50_ms: Option<f64>,
    /// Confidence intervals of these figures.
    #[serde(default)]
    pub intervals: ActionCostIntervals,
}

/// Confidence intervals of the cost of a sign-in or refresh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedCostIntervals)]
pub struct ActionCostIntervals {
    /// See [`ActionCost::server_cpu_us`].
    pub server_cpu_us: Option<Estimate>,
    /// See [`ActionCost::postgres_cpu_us`].
    pub postgres_cpu_us: Option<Estimate>,
    /// See [`ActionCost::p50_ms`].
    pub p50_ms: Option<Estimate>,
}

const JSON: &str = "comparison.json";
const MARKDOWN: &str = "comparison.md";
const HTML: &str = "comparison.html";
const TEXTBOOK: &str = "comparison.textbook.json";

impl Report {
    /// The variant of dualauth on one node with this mode and transport, in the textbook or the default configuration, and with
    /// the first algorithm.
    pub fn dualauth(
        &self,
        mode: AuthMode,
        transport: CredentialTransport,
        is_textbook: bool,
    ) -> Option<&Variant> {
        self.variants.iter().find(|variant| {
            let textbook = match mode {
                AuthMode::Session => variant.lookup.as_deref() == Some("always"),
                AuthMode::Jwt => variant.revocation.as_deref() == Some("off"),
            };
            let ours = variant.system == DUALAUTH && variant.nodes == 1;
            ours && variant.mode == mode && variant.transport == transport && textbook == is_textbook
        })
    }

    /// The report with every measured figure rounded to three significant digits.
    pub(super) fn rounded(self) -> Self {
        let rounded = serde_json::to_value(&self).and_then(|mut report| {
            round(&mut report);
            serde_json::from_value(report)
        });
        // Fails for NaN and infinity only, which can't be rounded either.
        rounded.unwrap_or(self)
    }

    /// Writes all four files into a folder, which is created if missing.
    ///
    /// # Errors
    /// When a file can't be written, or a chart can't be drawn.
    pub fn write(&self, folder: &Path) -> Result<(), CompareError> {
        let failed = |error| CompareError::Folder(folder.to_owned(), error);
        std::fs::create_dir_all(folder).map_err(failed)?;
        let json = pretty(self).map_err(failed)?;
        let textbook = pretty(&self.to_sessions_versus_jwts_table()).map_err(failed)?;
        let files =
            [(JSON, json), (MARKDOWN, self.to_markdown()), (HTML, self.to_html()?), (TEXTBOOK, textbook)];
        for (name, text) in files {
            // Renamed into place, since a server may read the file at the same time.
            let (path, draft) = (folder.join(name), folder.join(format!("{name}.draft")));
            std::fs::write(&draft, text).and_then(|()| std::fs::rename(draft, path)).map_err(failed)?;
        }
        Ok(())
    }
}

fn pretty(value: &impl Serialize) -> std::io::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// Rounds all floating-point numbers in it. Counts are integers and stay exact.
fn round(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let rounded = number.as_f64().map(statistics::rounded).and_then(Number::from_f64);
            if let Some(rounded) = rounded {
                *number = rounded;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(round),
        Value::Object(members) => members.values_mut().for_each(round),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_rounded_and_counts_are_not() {
        let mut value = json!({
            "cpu": 30.736_452_500_000_002,
            "samples": [0.000_123_456, 123_456.0, 0.999, 0.0],
            "count": 123_456,
            "none": null,
            "name": "30.7364525",
        });
        round(&mut value);
        let expected = json!({
            "cpu": 30.7,
            "samples": [0.000_123, 123_000.0, 0.999, 0.0],
            "count": 123_456,
            "none": null,
            "name": "30.7364525",
        });
        assert_eq!(value, expected);
    }
}
