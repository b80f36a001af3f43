//! Benchmark of sessions and JWTs: cost of a request and of a sign-in, and revocation delay, measured on the local machine.
//!
//! [`target`] describes a system under test and `testbed` starts its servers. `rounds` drives all variants in turn through
//! `load`; `sign_in_cost`, `second_factor_cost`, `revocation`, `postgres_outage` and `memory_and_disk_per_login` measure what steady load does not show.
//! `run` executes all of it, and [`report`] renders the results.

pub mod bare;
mod child_process;
mod cores;
mod cost_injection_proxy;
mod cpu_and_sql_usage;
mod extra_results;
mod generator_limit;
mod host;
mod http;
mod injected_cost_self_check;
mod load;
mod memory_and_disk_per_login;
pub mod other_service;
mod postgres;
mod postgres_outage;
mod proc_usage;
pub mod report;
mod report_assembly;
mod revocation;
mod rounds;
mod run;
mod second_factor_cost;
mod sign_in_cost;
mod statistics;
pub mod target;
mod test_user;
mod testbed;
mod tls_client;
mod totp;
mod variant;
mod variants;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use url::Url;

use dualauth_postgres::PrivatePostgresError;

pub use self::injected_cost_self_check::{Check, self_check};
pub use self::report::Report;
pub use self::run::run;

/// Why a comparison failed.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The benchmark's Postgres could not be started.
    #[error(transparent)]
    Postgres(#[from] PrivatePostgresError),
    /// A query on the benchmark's Postgres failed.
    #[error("query on the benchmark's Postgres failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The URL of a server is not a bare origin.
    #[error("{0}: expected http(s)://host[:port] without a path or query")]
    Url(String),
    /// The trusted root certificates could not be loaded.
    #[error("cannot load trusted certificates: {0}")]
    Certificates(io::Error),
    /// The target file is invalid.
    #[error("{}: {reason}", path.display())]
    Target {
        /// The file.
        path: PathBuf,
        /// Why it is invalid.
        reason: String,
    },
    /// A folder or a file in it could not be created or written.
    #[error("{}: {}", .0.display(), .1)]
    Folder(PathBuf, io::Error),
    /// Another comparison uses the folder: two would overwrite each other's databases and logs.
    #[error("{}: another comparison is using this folder", .0.display())]
    Busy(PathBuf),
    /// A local port could not be bound.
    #[error("cannot bind a local port: {0}")]
    Port(io::Error),
    /// A command could not be started, or failed.
    #[error("{command}: {reason}")]
    Launch {
        /// The command.
        command: String,
        /// Why it failed.
        reason: String,
    },
    /// A server was started, but its readiness path was not answered by 200 in time.
    #[error("{name} was not ready after {seconds} s; see {}", log.display())]
    NotReady {
        /// The server's name.
        name: String,
        /// How long it was polled, in seconds.
        seconds: u64,
        /// Its log.
        log: PathBuf,
    },
    /// A step of a target, such as signing in, failed.
    #[error("{request}: {reason}")]
    Step {
        /// The request line of the step.
        request: String,
        /// Why it failed.
        reason: String,
    },
    /// A response under load was wrong: no figure can be trusted then.
    #[error("{call}: {reason}")]
    Answer {
        /// The request line.
        call: String,
        /// What is wrong with the response.
        reason: String,
    },
    /// A thread of the benchmark panicked: a bug.
    #[error("internal error: a benchmark thread panicked")]
    Generator,
    /// A benchmark invariant does not hold: a bug.
    #[error("internal error: {0}")]
    Internal(&'static str),
    /// A histogram could not be created: a bug.
    #[error("histogram: {0}")]
    Histogram(String),
    /// A chart could not be drawn: a bug.
    #[error("cannot draw a chart: {0}")]
    Chart(String),
}

/// What is compared, and how thoroughly.
#[derive(Debug)]
pub struct Options {
    /// The amount of measuring.
    pub plan: Plan,
    /// A running dualauth to measure instead of nodes that the comparison starts.
    pub url: Option<Url>,
    /// Another system to measure in the same rounds.
    pub target: Option<target::Target>,
    /// The dualauth executable that nodes are started from.
    pub program: PathBuf,
    /// The folder of the benchmark's Postgres and of the servers' logs.
    pub folder: PathBuf,
}

/// The amount of measuring: numbers of rounds, requests, logins and logouts, and times.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `quick` or `full`, as the report shows it.
    pub name: &'static str,
    /// Measured rounds, each with a slice of every variant. The warm-up round is not included.
    pub rounds: usize,
    /// Numbers of nodes that share the load in the scaling measurement.
    pub node_counts: &'static [usize],
    /// Measured rounds for each of `node_counts`.
    pub node_count_rounds: usize,
    /// Duration of a slice.
    pub slice: Duration,
    /// Load before each slice that is not counted.
    pub warm_up: Duration,
    /// Keep-alive connections to each node.
    pub connections: usize,
    /// Keep-alive connections in the measurement of many connections.
    pub many_connections: usize,
    /// Rounds of sign-ins and refreshes.
    pub sign_in_rounds: usize,
    /// Sequential sign-ins of each variant in a round.
    pub sign_ins: usize,
    /// Sequential refreshes of each variant in a round.
    pub refreshes: usize,
    /// Sequential requests of a login in each of `sign_in_rounds`, to compare logins of one and of two factors.
    pub factor_requests: usize,
    /// Logouts of each variant, for the revocation delay.
    pub logouts: usize,
    /// How long a credential is used after its logout before it counts as not revoked.
    pub revocation_watch: Duration,
    /// Whether every configuration gets every measurement. Otherwise the revocation delay is measured with the default
    /// algorithm and, in the default configuration, with one of public keys; footprints with the default settings only.
    pub every_configuration: bool,
    /// Numbers of logins for which memory and disk per login are measured.
    pub login_counts: &'static [usize],
    /// Time limit for signing in that often.
    pub footprint_time_limit: Duration,
    /// How long Postgres is stopped.
    pub outage: Duration,
}

impl Plan {
    /// Takes under two minutes on an idle machine.
    pub fn quick() -> Self {
        Self {
            name: "quick",
            // With fewer than six values there is no 95 % interval of the median: see `statistics`.
            rounds: 6,
            node_counts: &[2, 4],
            node_count_rounds: 2,
            slice: Duration::from_millis(80),
            warm_up: Duration::from_millis(20),
            connections: 4,
            many_connections: 64,
            sign_in_rounds: 6,
            sign_ins: 1,
            refreshes: 10,
            factor_requests: 200,
            logouts: 15,
            revocation_watch: Duration::from_secs(1),
            every_configuration: false,
            login_counts: &[1_000],
            footprint_time_limit: Duration::from_secs(10),
            outage: Duration::from_secs(3),
        }
    }

    /// Takes less than an hour.
    pub fn full() -> Self {
        Self {
            name: "full",
            rounds: 15,
            node_counts: &[2, 4],
            node_count_rounds: 9,
            slice: Duration::from_millis(400),
            warm_up: Duration::from_millis(100),
            connections: 4,
            many_connections: 64,
            sign_in_rounds: 15,
            sign_ins: 2,
            refreshes: 40,
            factor_requests: 2_000,
            logouts: 200,
            revocation_watch: Duration::from_secs(5),
            every_configuration: true,
            login_counts: &[1_000, 100_000],
            footprint_time_limit: Duration::from_secs(300),
            outage: Duration::from_secs(8),
        }
    }

    /// Whether the revocation delay of these nodes is measured. Other algorithms change the cost of a request, and little else; but
    /// another service can verify tokens only with public keys.
    fn measures_revocation(&self, group: &variant::NodeGroup) -> bool {
        self.every_configuration
            || group.configuration.is_none_or(|configuration| {
                configuration.has_default_algorithm() || configuration.is_default_with_public_keys()
            })
    }

    /// Whether memory and disk per login are measured with these nodes, once per mode: algorithm and transport do not change
    /// what is stored about a login.
    fn measures_footprint(&self, group: &variant::NodeGroup) -> bool {
        group.configuration.is_none_or(|configuration| {
            configuration.has_default_algorithm() && (self.every_configuration || !configuration.is_textbook)
        })
    }

    /// The same plan with fewer refreshes and logouts, so that the rate limits of a running dualauth allow all of them from one
    /// address.
    fn within_limits(self) -> Self {
        let refreshes = self.refreshes.min(50 / self.sign_in_rounds);
        Self { refreshes, logouts: self.logouts.min(50), ..self }
    }
}

/// Progress display.
#[derive(Clone, Debug)]
pub struct TerminalProgressBar(ProgressBar);

impl TerminalProgressBar {
    /// A progress bar on the terminal, if standard error is one.
    pub fn shown() -> Self {
        let style = ProgressStyle::with_template("{bar:30} {percent:>3}% {elapsed} {msg}");
        Self(ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// No display.
    pub fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    fn expect(&self, steps: usize) {
        self.0.inc_length(steps as u64);
    }

    fn begin(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }

    fn step(&self) {
        self.0.inc(1);
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}
