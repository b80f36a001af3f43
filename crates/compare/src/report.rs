//! What a comparison has found: the shape of `comparison.json`, from which every other form is made.

mod cells;
mod charts;
mod conditions;
mod delay;
mod html;
mod markdown;
mod schema;
mod summary;
mod tables;
mod terminal;
mod textbook_json;

pub use self::delay::{DelayDistribution, RevocationDelayByNode};
pub use self::schema::schemas;

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, ArrayBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type};

use super::CompareError;
use super::login_footprint::LoginFootprint;
use super::postgres_outage::Outage;
use super::statistics::{self, Estimate};
use super::target::{CredentialKind, Transport};
use super::variant::DUALAUTH;

/// What a run has found. Where a figure has no meaning, or could not be had, it is null.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Comparison)]
pub struct Report {
    /// Where, when and how it was measured.
    pub environment: RunInfo,
    /// What the load generator itself is able to do.
    pub generator: GeneratorLimit,
    /// What every ratio is to: an actix handler that gives an answer with as long a body, and does nothing else.
    pub bare: Option<BaselineResults>,
    /// What was compared.
    pub variants: Vec<Variant>,
}

/// Where, when and how it was measured.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedWhere)]
pub struct RunInfo {
    /// When it began.
    pub at: DateTime<Utc>,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// `quick` or `full`.
    pub profile: String,
    /// dualauth's version.
    pub version: String,
    /// Whether it was compiled with optimisations. If not, its CPU times say nothing.
    pub optimised: bool,
    /// The operating system, with its version.
    pub system: String,
    /// The kind of processor.
    pub processor: Option<String>,
    /// Cores that servers ran on.
    pub server_cores: usize,
    /// Cores that the load generator and Postgres ran on.
    pub load_cores: usize,
    /// In bytes.
    pub memory_bytes: Option<u64>,
    /// Postgres' version.
    pub postgres: Option<String>,
    /// How many wanted to run on average in the minute before it began.
    pub load_average: Option<f64>,
    /// The part of all CPU time meanwhile that the host of a virtual machine gave to others.
    #[serde(default)]
    pub stolen: Option<f64>,
    /// Rounds.
    pub rounds: usize,
    /// How long a slice is, in milliseconds.
    pub slice_ms: u64,
    /// Connections to each node, which were kept alive.
    pub connections: usize,
    /// Requests a second at the fixed rate.
    pub fixed_rate: f64,
    /// Where the server was that ran already. All else here is of the machine that asked it.
    pub url: Option<String>,
    /// What a reader has to know before believing it.
    pub warnings: Vec<String>,
}

/// The load generator.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedGenerator)]
pub struct GeneratorLimit {
    /// The most requests a second that it can send and check, with a server that does nothing at all.
    pub requests_per_second: Option<f64>,
    /// The CPU time that it takes for each, in microseconds.
    pub cpu_us: Option<f64>,
    /// The names of variants whose requests/s are its limit, and not theirs.
    pub bottleneck_for: Vec<String>,
}

/// The bare handler.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedBare)]
pub struct BaselineResults {
    /// In a closed loop.
    pub requests_per_second: Option<Estimate>,
    /// In microseconds a request.
    pub server_cpu_us: Option<Estimate>,
    /// At the fixed rate.
    pub latency: Latency,
    /// Over many connections.
    #[serde(default)]
    pub many_connections: Option<ManyConnections>,
}

/// What a request costs when many connections ask at once, in a closed loop. System calls then serve several of them, and
/// hide less of what the server itself does.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedManyConnections)]
pub struct ManyConnections {
    /// How many there are.
    pub connections: usize,
    /// As fast as it goes.
    pub requests_per_second: Option<Estimate>,
    /// The server's CPU time for each request, in microseconds.
    pub server_cpu_us: Option<Estimate>,
    /// The same, as a multiple of the bare handler's in the same round; null of the bare handler itself.
    pub server_cpu_ratio: Option<Estimate>,
}

/// A way to be somebody, measured.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedVariant)]
pub struct Variant {
    /// What it is called.
    pub name: String,
    /// Whose it is: `dualauth`, or another one's name.
    pub system: String,
    /// `session` or `jwt`.
    pub mode: CredentialKind,
    /// `cookie` or `bearer`.
    pub transport: Transport,
    /// How tokens are signed.
    pub algorithm: Option<String>,
    /// Where sessions are looked up: `always` in Postgres, or `cached`.
    pub lookup: Option<String>,
    /// Whether tokens can be revoked: `off`, or by the `feed`.
    pub revocation: Option<String>,
    /// How many nodes shared the requests.
    pub nodes: usize,
    /// How many connections each node had, but where it is said that there are many.
    #[serde(default)]
    pub connections: usize,
    /// In a closed loop: as fast as it goes.
    pub requests_per_second: Option<f64>,
    /// At the fixed rate.
    pub p50_ms: Option<f64>,
    /// At the fixed rate.
    pub p99_ms: Option<f64>,
    /// The servers' CPU time for each request, in microseconds.
    pub server_cpu_us: Option<f64>,
    /// The same, as a multiple of the bare handler's in the same round.
    pub server_cpu_ratio: Option<f64>,
    /// Postgres' CPU time for each request, in microseconds, less what it takes when nobody asks.
    pub postgres_cpu_us: Option<f64>,
    /// Statements for each request, but for those that nodes run by themselves.
    pub sql_per_request: Option<f64>,
    /// A request, in bytes.
    pub bytes_sent: usize,
    /// Its answer, in bytes.
    pub bytes_received: usize,
    /// How long a credential lives on after its end was acknowledged.
    pub revocation_delay_ms: Option<RevocationDelayByNode>,
    /// With the most logins that were tried; null when they were too few to tell it from nothing.
    pub memory_bytes_per_login: Option<f64>,
    /// With the most logins that were tried.
    pub disk_bytes_per_login: Option<f64>,
    /// While Postgres was away.
    pub outage: Option<Outage>,
    /// How far the figures above can be trusted.
    pub intervals: Intervals,
    /// Over many connections; null with several nodes, and of other systems.
    #[serde(default)]
    pub many_connections: Option<ManyConnections>,
    /// Closed loop and fixed rate.
    pub latency: LatencyByPace,
    /// Where the bytes are.
    pub bytes: WireSize,
    /// What it costs to sign in.
    pub login: Option<ActionCost>,
    /// What it costs to get a new credential for the old one.
    pub refresh: Option<ActionCost>,
    /// What a login weighs, by how many there are.
    pub footprint: Vec<LoginFootprint>,
}

/// Medians over the rounds, with intervals, by figure. Of p50 and p99 that is the median of each slice's own; the figures
/// of a variant are of all its waits together.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedIntervals)]
#[expect(missing_docs, reason = "each is the interval of the figure of this name")]
pub struct Intervals {
    pub requests_per_second: Option<Estimate>,
    pub p50_ms: Option<Estimate>,
    pub p99_ms: Option<Estimate>,
    pub server_cpu_us: Option<Estimate>,
    pub server_cpu_ratio: Option<Estimate>,
    pub postgres_cpu_us: Option<Estimate>,
}

/// How long clients waited, in both kinds of load.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedLatencies)]
pub struct LatencyByPace {
    /// Each connection asks as soon as it was answered.
    pub closed_loop: Latency,
    /// Each request has its time, and waits from then on.
    pub fixed_rate: Latency,
}

/// In milliseconds, the time within which so many were answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedLatency)]
pub struct Latency {
    /// How many were timed.
    #[serde(default)]
    pub count: u64,
    /// Half of them.
    pub p50: Option<f64>,
    /// Nine of ten.
    pub p90: Option<f64>,
    /// 99 of a hundred.
    pub p99: Option<f64>,
    /// 999 of a thousand.
    pub p999: Option<f64>,
    /// All.
    pub max: Option<f64>,
    /// The whole distribution: the part of all requests, and the time within which these were answered.
    #[schema(schema_with = curve_schema)]
    pub curve: Vec<(f64, f64)>,
}

/// A list of pairs, said so that generators of clients understand it: few know tuples.
fn curve_schema() -> Array {
    let number = ObjectBuilder::new()
        .schema_type(Type::Number)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Double)));
    let pair = ArrayBuilder::new().items(number).min_items(Some(2)).max_items(Some(2));
    ArrayBuilder::new()
        .items(pair)
        .description(Some("The whole distribution: the part of all requests, and the time within which these were answered."))
        .build()
}

/// A request and its answer, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedBytes)]
pub struct WireSize {
    /// Of the request: its first line, each header, the body.
    pub sent: BTreeMap<String, usize>,
    /// Of the answer: likewise.
    pub received: BTreeMap<String, usize>,
}

/// What one costs: medians over the rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedCost)]
pub struct ActionCost {
    /// Server CPU, in microseconds.
    pub server_cpu_us: Option<f64>,
    /// Postgres CPU, in microseconds; null when it was less than what Postgres does by itself.
    pub postgres_cpu_us: Option<f64>,
    /// Statements.
    pub sql: Option<f64>,
    /// How long a client waits, in milliseconds, when nobody else is there.
    pub p50_ms: Option<f64>,
    /// How far they can be trusted.
    #[serde(default)]
    pub intervals: ActionCostIntervals,
}

/// How far what is told of a cost can be trusted.
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
    /// dualauth in this mode, on one node, as textbooks have it or as it is; with the first algorithm.
    pub fn dualauth(
        &self,
        mode: CredentialKind,
        transport: Transport,
        is_textbook: bool,
    ) -> Option<&Variant> {
        self.variants.iter().find(|variant| {
            let textbook = match mode {
                CredentialKind::Session => variant.lookup.as_deref() == Some("always"),
                CredentialKind::Jwt => variant.revocation.as_deref() == Some("off"),
            };
            let ours = variant.system == DUALAUTH && variant.nodes == 1;
            ours && variant.mode == mode && variant.transport == transport && textbook == is_textbook
        })
    }

    /// The same, with every figure as exact as a measurement of it can be.
    pub(super) fn rounded(self) -> Self {
        let rounded = serde_json::to_value(&self).and_then(|mut report| {
            round(&mut report);
            serde_json::from_value(report)
        });
        // Only what is no number can't be written and read, and is not rounded either.
        rounded.unwrap_or(self)
    }

    /// Writes every form of it into a folder, which is made.
    ///
    /// # Errors
    /// When that can't be done.
    pub fn write(&self, folder: &Path) -> Result<(), CompareError> {
        let failed = |error| CompareError::Folder(folder.to_owned(), error);
        std::fs::create_dir_all(folder).map_err(failed)?;
        let json = pretty(self).map_err(failed)?;
        let textbook = pretty(&self.to_textbook()).map_err(failed)?;
        let files =
            [(JSON, json), (MARKDOWN, self.to_markdown()), (HTML, self.to_html()?), (TEXTBOOK, textbook)];
        for (name, text) in files {
            // Whole or not at all: a server may be about to read it.
            let (path, draft) = (folder.join(name), folder.join(format!("{name}.draft")));
            std::fs::write(&draft, text).and_then(|()| std::fs::rename(draft, path)).map_err(failed)?;
        }
        Ok(())
    }
}

fn pretty(value: &impl Serialize) -> std::io::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// Every number in it that is none of things counted.
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
