//! The comparison: what sessions and JWTs cost, and how soon they end, measured on the machine of whoever asks.
//!
//! [`target`] says what a system is, and `testbed` starts what is needed of it. `rounds` drives all variants in turn
//! through `load`, and `sign_in_cost`, `revocation`, `outage` and `footprint` find out what steady load does not show. `run` puts
//! it together, and [`report`] tells it.

mod assemble;
pub mod bare;
mod cores;
mod cost_injection_proxy;
mod cpu_usage;
mod extra_results;
mod generator_limit;
mod host;
mod http;
mod load;
mod login_footprint;
mod postgres;
mod postgres_outage;
mod proc_usage;
mod process;
pub mod report;
mod revocation;
mod rounds;
mod run;
mod self_check;
mod sign_in_cost;
mod statistics;
pub mod target;
mod test_user;
mod testbed;
mod tls_client;
mod variant;
mod variants;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use url::Url;

use dualauth_postgres::PrivatePostgresError;

pub use self::report::Report;
pub use self::run::run;
pub use self::self_check::{Check, self_check};

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// No Postgres for it.
    #[error(transparent)]
    Postgres(#[from] PrivatePostgresError),
    /// It does not answer.
    #[error("the comparison's Postgres: {0}")]
    Database(#[from] sqlx::Error),
    /// No address of a server.
    #[error("{0}: http:// or https:// with a host, and nothing behind it")]
    Url(String),
    /// What this machine trusts can't be read.
    #[error("certificates to trust: {0}")]
    Certificates(io::Error),
    /// What is to be measured can't be told.
    #[error("{}: {reason}", path.display())]
    Target {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Files can't be written there.
    #[error("{}: {}", .0.display(), .1)]
    Folder(PathBuf, io::Error),
    /// Two in one folder would take each other's databases and logs.
    #[error("{}: another comparison runs here; wait until it is over", .0.display())]
    Busy(PathBuf),
    /// There is no port to listen on.
    #[error("no port: {0}")]
    Port(io::Error),
    /// A command did not work.
    #[error("{command}: {reason}")]
    Launch {
        /// The command.
        command: String,
        /// What happened.
        reason: String,
    },
    /// A server was started, and does not answer.
    #[error("{name} does not get ready; its log is {}", log.display())]
    NotReady {
        /// Which.
        name: String,
        /// What it has written.
        log: PathBuf,
    },
    /// Something that was to be done once, such as signing in, was not.
    #[error("{request}: {reason}")]
    Step {
        /// What was asked.
        request: String,
        /// What became of it.
        reason: String,
    },
    /// One of many answers was wrong: then no figure is worth anything.
    #[error("{call}: {reason}")]
    Answer {
        /// What was asked.
        call: String,
        /// What was answered.
        reason: String,
    },
    /// A thread of the load generator broke off: a fault of ours.
    #[error("the load generator broke off")]
    Generator,
    /// No histogram: a fault of ours.
    #[error("histogram: {0}")]
    Histogram(String),
    /// No chart: a fault of ours.
    #[error("drawing a chart: {0}")]
    Chart(String),
}

/// What is to be compared, and how thoroughly.
#[derive(Debug)]
pub struct Options {
    /// How much is done of what.
    pub plan: Plan,
    /// A dualauth that runs already, instead of nodes of its own.
    pub url: Option<Url>,
    /// Another system, beside.
    pub target: Option<target::Target>,
    /// The program that nodes are started of: this one.
    pub program: PathBuf,
    /// Where its Postgres and its logs are kept.
    pub folder: PathBuf,
}

/// How much is done of what.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it is called.
    pub name: &'static str,
    /// Slices of each variant, besides the one to warm up.
    pub rounds: usize,
    /// How many nodes share the load in the end.
    pub node_counts: &'static [usize],
    /// How many rounds of them there are.
    pub node_count_rounds: usize,
    /// How long a slice is.
    pub slice: Duration,
    /// How long it is driven before.
    pub warm_up: Duration,
    /// How many are kept alive.
    pub connections: usize,
    /// How many there are when it is looked at what a crowd of them costs.
    pub many_connections: usize,
    /// How many rounds of sign-ins and refreshes there are.
    pub sign_in_rounds: usize,
    /// Sign-ins of each variant in a round, one after the other.
    pub sign_ins: usize,
    /// Likewise.
    pub refreshes: usize,
    /// Credentials that are ended, of each variant.
    pub logouts: usize,
    /// How long these are shown at most.
    pub revocation_watch: Duration,
    /// Whether every configuration is looked at in each respect. Else it is the first algorithm alone, and logins are weighed as
    /// they are kept by default.
    pub every_configuration: bool,
    /// How many logins are weighed.
    pub login_counts: &'static [usize],
    /// How long it may take to begin them.
    pub footprint_time_limit: Duration,
    /// How long Postgres is away.
    pub outage: Duration,
}

impl Plan {
    /// In under two minutes, on a machine that has nothing else to do.
    pub fn quick() -> Self {
        Self {
            name: "quick",
            rounds: 5,
            node_counts: &[2, 4],
            node_count_rounds: 2,
            slice: Duration::from_millis(80),
            warm_up: Duration::from_millis(20),
            connections: 4,
            many_connections: 64,
            sign_in_rounds: 5,
            sign_ins: 1,
            refreshes: 10,
            logouts: 15,
            revocation_watch: Duration::from_secs(1),
            every_configuration: false,
            login_counts: &[1_000],
            footprint_time_limit: Duration::from_secs(10),
            outage: Duration::from_secs(3),
        }
    }

    /// In less than an hour.
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
            logouts: 200,
            revocation_watch: Duration::from_secs(5),
            every_configuration: true,
            login_counts: &[1_000, 100_000],
            footprint_time_limit: Duration::from_secs(300),
            outage: Duration::from_secs(8),
        }
    }

    /// Whether these nodes are looked at in every respect. Other algorithms change what a request costs, and little else.
    fn measures_fully(&self, group: &variant::NodeGroup) -> bool {
        self.every_configuration
            || group.configuration.is_none_or(variant::DualauthSettings::has_default_algorithm)
    }

    /// Whether logins of these nodes are weighed, those of each mode once. How a credential is signed and travels changes
    /// nothing about what is kept of it.
    fn measures_footprint(&self, group: &variant::NodeGroup) -> bool {
        group.configuration.is_none_or(|configuration| {
            configuration.has_default_algorithm() && (self.every_configuration || !configuration.is_textbook)
        })
    }

    /// Not more than one address may ask for.
    fn within_limits(self) -> Self {
        let refreshes = self.refreshes.min(50 / self.sign_in_rounds);
        Self { refreshes, logouts: self.logouts.min(50), ..self }
    }
}

/// How far it is, for whoever waits.
#[derive(Clone, Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar on the terminal, if there is one.
    pub fn shown() -> Self {
        let style = ProgressStyle::with_template("{bar:30} {percent:>3}% {elapsed} {msg}");
        Self(ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// None.
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
