//! What a node counts, for Prometheus. Each node of a process counts for itself.
//!
//! What can be asked of the things themselves, such as how many connections are in use, is not counted but read when
//! somebody looks: `web/metrics.rs`.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

/// Bounds of how long a request may take, in seconds: most take microseconds, a hash takes a good part of a second.
const DURATIONS: [f64; 12] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Bounds of how long after it was written down a revocation may be known, in seconds.
const LAGS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// The methods that are told apart. A client can name any other.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "other"];

/// The statuses that requests are answered with; 499 stands for a client who went before that.
const STATUSES: [u16; 21] = [
    200, 201, 204, 303, 400, 401, 403, 404, 405, 408, 409, 413, 414, 415, 422, 429, 431, 499, 500, 503, OTHER,
];

const OTHER: u16 = 0;

/// What a node counts.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    problems: IntCounterVec,
    sign_ins: IntCounterVec,
    upkeep_restarts: IntCounterVec,
    revocations: IntCounter,
    revocation_lag: Histogram,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// All of them at nought.
    ///
    /// # Errors
    /// When two have the same name, or one has none that Prometheus knows: a fault of ours.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new_custom(Some("dualauth".to_owned()), None)?;
        let durations = HistogramOpts::new(
            "http_request_duration_seconds",
            "From a request's head to its answer's, by route.",
        );
        let lag = HistogramOpts::new(
            "revocation_lag_seconds",
            "From a revocation's row in Postgres to this node's reading it, by Postgres' clock.",
        );
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(&registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        Ok(Self {
            requests: counters(
                "http_requests_total",
                "Requests answered, by method, route and status.",
                &["method", "route", "status"],
            )?,
            problems: counters("problems_total", "Problem documents answered, by code.", &["code"])?,
            sign_ins: counters(
                "sign_ins_total",
                "Attempts to sign in, by mode, transport and outcome: `started`, or the code of the problem.",
                &["mode", "transport", "outcome"],
            )?,
            upkeep_restarts: counters(
                "upkeep_restarts_total",
                "How often a task of the node's own had stopped and was begun again.",
                &["task"],
            )?,
            durations: register(
                &registry,
                HistogramVec::new(durations.buckets(DURATIONS.to_vec()), &["route"])?,
            )?,
            revocations: register(
                &registry,
                IntCounter::new("revocations_total", "Rows of the revocation feed that this node took in.")?,
            )?,
            revocation_lag: register(&registry, Histogram::with_opts(lag.buckets(LAGS.to_vec()))?)?,
            registry,
        })
    }

    /// To read them all, and to add others to.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What is counted of one route. Its name is the pattern of its paths: a path itself can be anything.
    pub fn route(&self, route: &str) -> Route {
        Route {
            name: route.to_owned(),
            requests: self.requests.clone(),
            known: std::array::from_fn(|_| std::array::from_fn(|_| OnceLock::new())),
            duration: self.durations.with_label_values(&[route]),
        }
    }

    /// A problem document was answered.
    pub fn problem(&self, code: &str) {
        self.problems.with_label_values(&[code]).inc();
    }

    /// Somebody tried to sign in; `outcome` is `started`, or the code of the problem.
    pub fn sign_in(&self, mode: &str, transport: &str, outcome: &str) {
        self.sign_ins.with_label_values(&[mode, transport, outcome]).inc();
    }

    /// There is a task of the node's own, which has not been begun again yet.
    pub fn upkeep_task(&self, task: &str) {
        self.upkeep_restarts.with_label_values(&[task]);
    }

    /// A task of the node's own was begun again.
    pub fn upkeep_restarted(&self, task: &str) {
        self.upkeep_restarts.with_label_values(&[task]).inc();
    }

    /// How often it was.
    pub fn upkeep_restarts(&self, task: &str) -> u64 {
        self.upkeep_restarts.with_label_values(&[task]).get()
    }

    /// A revocation was taken in so long after it had been written down.
    pub fn revocation(&self, lag: Duration) {
        self.revocations.inc();
        self.revocation_lag.observe(lag.as_secs_f64());
    }
}

/// Adds a metric to those that are read.
///
/// # Errors
/// When there is one of this name.
pub fn register<M: Collector + Clone + 'static>(registry: &Registry, metric: M) -> prometheus::Result<M> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// What is counted of one route. Its counters are found by numbers: to find them by their labels takes a lock that all
/// requests share.
pub struct Route {
    name: String,
    requests: IntCounterVec,
    known: [[OnceLock<IntCounter>; STATUSES.len()]; METHODS.len()],
    duration: Histogram,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Route {
    /// The pattern of its paths.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A request was answered with this status after this time.
    pub fn answered(&self, method: &str, status: u16, took: Duration) {
        let method = position(&METHODS, |known| *known == method);
        let status = position(&STATUSES, |known| *known == status);
        let counter = self.known[method][status].get_or_init(|| {
            let status = match STATUSES[status] {
                OTHER => "other".to_owned(),
                known => known.to_string(),
            };
            self.requests.with_label_values(&[METHODS[method], &self.name, &status])
        });
        counter.inc();
        self.duration.observe(took.as_secs_f64());
    }
}

/// Where it is; the last place is for what is not there.
fn position<T, const N: usize>(all: &[T; N], is_it: impl Fn(&T) -> bool) -> usize {
    all.iter().position(is_it).unwrap_or(N - 1)
}
