//! Prometheus counters and histograms of a node. Each node of a process has its own.
//!
//! Gauges, such as the number of connections in use, are not kept here but read at each scrape: `web/metrics.rs`.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use crate::error::Problem;
use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

/// Histogram bounds of request durations, in seconds: most take microseconds, and a password hash a good part of a
/// second.
const DURATIONS: [f64; 12] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Histogram bounds of the time from the write of a revocation to its read by this node, in seconds.
const LAGS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Histogram bounds of requests to providers, in seconds: over the internet, and given up after five seconds.
const PROVIDER_DURATIONS: [f64; 8] = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// The methods with counters of their own. A client can send any other.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "other"];

/// The statuses with counters of their own; 499 means that the client disconnected before the response.
const STATUSES: [u16; 21] = [
    200, 201, 204, 303, 400, 401, 403, 404, 405, 408, 409, 413, 414, 415, 422, 429, 431, 499, 500, 503, OTHER,
];

const OTHER: u16 = 0;

/// The metrics of a node.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    problems: IntCounterVec,
    sign_ins: IntCounterVec,
    challenges: IntCounterVec,
    custom_tokens: IntCounterVec,
    exchanges: IntCounterVec,
    upkeep_restarts: IntCounterVec,
    revocations: IntCounter,
    revocation_lag: Histogram,
    mails: IntCounterVec,
    providers: HistogramVec,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// All metrics at zero.
    ///
    /// # Errors
    /// When two have the same name, or a name is not valid for Prometheus: a programming error.
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
        let provider = HistogramOpts::new(
            "provider_duration_seconds",
            "Requests to sign-in providers, by provider and step: `discovery`, `keys`, `token`, `userinfo`, `emails`.",
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
            challenges: counters(
                "challenges_total",
                "Challenges and step-ups by a code, by purpose, method and outcome: `created`, `redeemed`, or the code of the problem.",
                &["for", "method", "outcome"],
            )?,
            custom_tokens: counters(
                "custom_tokens_total",
                "Operations on custom tokens, by operation and outcome: `done`, or the code of the problem.",
                &["operation", "outcome"],
            )?,
            exchanges: counters(
                "exchanges_total",
                "Exchanges of a login between the modes, by operation (`token`, `handoff`, `inspect`, `login`, `open`) and outcome: \
                 `done`, or the code of the problem.",
                &["operation", "outcome"],
            )?,
            upkeep_restarts: counters(
                "upkeep_restarts_total",
                "How often a task of the node's own had stopped and was begun again.",
                &["task"],
            )?,
            mails: counters(
                "mails_total",
                "Attempts to send a mail, by outcome: `sent`; given up as `refused` (5xx) or `expired`; to be tried again after \
                 `deferred` (4xx), `interrupted`, `unreachable`, `unauthenticated` or `unreadable`.",
                &["outcome"],
            )?,
            providers: register(
                &registry,
                HistogramVec::new(provider.buckets(PROVIDER_DURATIONS.to_vec()), &["provider", "step"])?,
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

    /// The registry, for scrapes and further metrics.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The metrics of one route, named by its pattern. Paths can't be labels: their number is unlimited.
    pub fn route(&self, route: &str) -> RouteMetrics {
        RouteMetrics {
            name: route.to_owned(),
            requests: self.requests.clone(),
            known: std::array::from_fn(|_| std::array::from_fn(|_| OnceLock::new())),
            duration: self.durations.with_label_values(&[route]),
        }
    }

    /// Counts a problem document in a response.
    pub fn problem(&self, code: &str) {
        self.problems.with_label_values(&[code]).inc();
    }

    /// Counts an attempt to sign in; `outcome` is `started`, or the code of the problem.
    pub fn sign_in(&self, mode: &str, transport: &str, outcome: &str) {
        self.sign_ins.with_label_values(&[mode, transport, outcome]).inc();
    }

    /// Counts a challenge that was created (`created`), redeemed (`redeemed`), or tried in vain: the code of the problem.
    /// `method` is the way that its other half comes: `email`, `totp`, `recovery_code`, `passkey`, `security_key`; or
    /// `second_factor` as long as it may be any of those that the account has.
    pub fn challenge(&self, purpose: &str, method: &str, outcome: &str) {
        self.challenges.with_label_values(&[purpose, method, outcome]).inc();
    }

    /// Counts an attempt to send a mail.
    pub fn mail(&self, outcome: &str) {
        self.mails.with_label_values(&[outcome]).inc();
    }

    /// Records a request to a sign-in provider.
    pub fn provider(&self, provider: &str, step: &str, took: Duration) {
        self.providers.with_label_values(&[provider, step]).observe(took.as_secs_f64());
    }

    /// Counts an operation on a custom token; `outcome` is `done`, or the code of the problem.
    pub fn custom_token(&self, operation: &str, outcome: &str) {
        self.custom_tokens.with_label_values(&[operation, outcome]).inc();
    }

    /// Counts an exchange of a login between the modes, and returns what came of it.
    ///
    /// # Errors
    /// The problem, if that came of it.
    pub fn exchanged<T>(&self, operation: &str, outcome: Result<T, Problem>) -> Result<T, Problem> {
        let word = outcome.as_ref().map_or_else(|problem| problem.code().as_str(), |_| "done");
        self.exchanges.with_label_values(&[operation, word]).inc();
        outcome
    }

    /// Creates the restart counter of a background task, at zero.
    pub fn upkeep_task(&self, task: &str) {
        self.upkeep_restarts.with_label_values(&[task]);
    }

    /// Counts a restart of a background task.
    pub fn upkeep_restarted(&self, task: &str) {
        self.upkeep_restarts.with_label_values(&[task]).inc();
    }

    /// Number of restarts of a background task.
    pub fn upkeep_restarts(&self, task: &str) -> u64 {
        self.upkeep_restarts.with_label_values(&[task]).get()
    }

    /// Records a revocation that this node read with this lag after its write.
    pub fn revocation(&self, lag: Duration) {
        self.revocations.inc();
        self.revocation_lag.observe(lag.as_secs_f64());
    }
}

/// Registers a metric.
///
/// # Errors
/// When there is one with the same name.
pub fn register<M: Collector + Clone + 'static>(registry: &Registry, metric: M) -> prometheus::Result<M> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// The metrics of one route. Its counters are found by index: a look-up by label values would take a lock that all
/// requests share.
pub struct RouteMetrics {
    name: String,
    requests: IntCounterVec,
    known: [[OnceLock<IntCounter>; STATUSES.len()]; METHODS.len()],
    duration: Histogram,
}

impl fmt::Debug for RouteMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteMetrics").field("name", &self.name).finish_non_exhaustive()
    }
}

impl RouteMetrics {
    /// The pattern of its path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts a response with this status, and records its duration.
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

/// The index of the item; the last index stands for all others.
fn position<T, const N: usize>(all: &[T; N], is_it: impl Fn(&T) -> bool) -> usize {
    all.iter().position(is_it).unwrap_or(N - 1)
}
