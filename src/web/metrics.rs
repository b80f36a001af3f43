//! `/metrics`: the node's counters, and gauges that are read at each scrape, in Prometheus' text format.

use std::sync::Arc;

use actix_web::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::{self, Data};
use actix_web::{HttpResponse, Resource};
use prometheus::{Gauge, IntCounter, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::audit::Trail;
use crate::database::{ConnectionPool, RequestAndBackgroundPools};
use crate::error::Problem;
use crate::http::route_index;
use crate::logins::Logins;
use crate::mail::Mails;
use crate::metrics::{Metrics, register};
use crate::users::Accounts;
use crate::version::{self, VERSION};

/// The collector behind `/metrics`: the registry, and the sources of the gauges.
pub struct Scrape {
    metrics: Metrics,
    gauges: Gauges,
    logins: Logins,
    accounts: Accounts,
    trail: Trail,
    mails: Arc<Mails>,
    pools: RequestAndBackgroundPools,
}

/// The metrics whose values are read at each scrape.
struct Gauges {
    connections: IntGaugeVec,
    max_connections: IntGaugeVec,
    directory: IntGaugeVec,
    directory_age: Gauge,
    followers: IntGauge,
    audit_events: IntGaugeVec,
    password_queue: IntGaugeVec,
    argon2: IntCounter,
    refused: IntCounter,
    oldest_mail: Gauge,
}

impl Gauges {
    fn register_in(registry: &Registry) -> prometheus::Result<Self> {
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            register(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
        };
        let counter = |name: &str, help: &str| register(registry, IntCounter::new(name, help)?);
        let connections =
            "Connections to Postgres, by pool (`requests`, or the node's own `upkeep`) and state.";
        let entries = "Entries in the node's memory: sessions, and the revocations that access tokens are checked against.";
        let age = "Time since the start of the last complete poll of the revocation feed. Above STALENESS_BOUND, requests with \
                   a session get 503.";
        let events = "Events that are not in the audit trail: `waiting` to be written, or `lost` since the start, and at most \
                      in the log.";
        let followers = "Requests of other services that wait for revocations at this node.";
        let attempts =
            "Attempts that need a password hash and hold a slot in the queue: `waiting`, or `running`.";
        Ok(Self {
            connections: gauges("database_connections", connections, &["pool", "state"])?,
            max_connections: gauges(
                "database_connections_max",
                "The maximum number of connections of a pool.",
                &["pool"],
            )?,
            directory: gauges("directory_entries", entries, &["kind"])?,
            directory_age: register(registry, Gauge::new("directory_age_seconds", age)?)?,
            followers: register(registry, IntGauge::new("revocation_followers", followers)?)?,
            audit_events: gauges("audit_events", events, &["state"])?,
            password_queue: gauges("password_attempts", attempts, &["state"])?,
            argon2: counter("argon2_computed_total", "The number of Argon2 computations.")?,
            oldest_mail: register(
                registry,
                Gauge::new(
                    "mail_oldest_seconds",
                    "How long the oldest mail in the queue has waited. 0 when there is none.",
                )?,
            )?,
            refused: counter(
                "password_attempts_refused_total",
                "Attempts that were refused because the queue was full.",
            )?,
        })
    }
}

impl Scrape {
    /// Registers the gauges, which are read from these sources.
    ///
    /// # Errors
    /// If two metrics have the same name, which is a bug.
    pub fn new(
        metrics: Metrics,
        logins: Logins,
        accounts: Accounts,
        trail: Trail,
        mails: Arc<Mails>,
        pools: RequestAndBackgroundPools,
    ) -> prometheus::Result<Self> {
        let registry = metrics.registry();
        let build = Opts::new(
            "build_info",
            "The version of the program and the Git commit it was built from, as labels.",
        );
        let build = build.const_label("version", VERSION).const_label("commit", version::commit());
        let built = IntGauge::with_opts(build)?;
        register(registry, built)?.set(1);
        Ok(Self { gauges: Gauges::register_in(registry)?, metrics, logins, accounts, trail, mails, pools })
    }

    /// All metrics in Prometheus' text format, version 0.0.4.
    fn text(&self) -> Result<String, Problem> {
        self.read();
        let families = self.metrics.registry().gather();
        TextEncoder::new().encode_to_string(&families).map_err(Problem::internal)
    }

    fn read(&self) {
        for (name, pool) in [("requests", &self.pools.requests), ("upkeep", &self.pools.upkeep)] {
            self.read_pool(name, pool);
        }
        let stats = self.logins.stats();
        for (kind, count) in [
            ("sessions", stats.sessions),
            ("ended_logins", stats.ended_logins),
            ("changed_owners", stats.changed_owners),
        ] {
            self.gauges.directory.with_label_values(&[kind]).set(number(count));
        }
        self.gauges.audit_events.with_label_values(&["waiting"]).set(number(self.trail.waiting()));
        let lost = i64::try_from(self.trail.lost()).unwrap_or(i64::MAX);
        self.gauges.audit_events.with_label_values(&["lost"]).set(lost);
        self.read_hashing();
        self.gauges.oldest_mail.set(self.mails.oldest_age().as_secs_f64());
        self.gauges.followers.set(number(stats.followers));
        self.gauges.directory_age.set(stats.age.map_or(f64::INFINITY, |age| age.as_secs_f64()));
    }

    fn read_hashing(&self) {
        let load = self.accounts.hash_load();
        for (state, count) in [("waiting", load.waiting), ("running", load.running)] {
            self.gauges.password_queue.with_label_values(&[state]).set(number(count));
        }
        // These totals are counted elsewhere: add the difference since the last scrape.
        for (counter, total) in [(&self.gauges.argon2, load.computed), (&self.gauges.refused, load.refused)] {
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }

    fn read_pool(&self, name: &str, pool: &ConnectionPool) {
        let (idle, open) = (pool.idle(), pool.open());
        let of_state = |state| self.gauges.connections.with_label_values(&[name, state]);
        of_state("idle").set(number(idle));
        // Saturating, because the two numbers are not read at the same instant.
        of_state("in_use").set(number(open.saturating_sub(idle)));
        self.gauges.max_connections.with_label_values(&[name]).set(number(pool.max_size()));
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The resource `/metrics`, for a separate listener.
pub(super) fn resource() -> Resource {
    web::resource("/metrics")
        .route(web::get().to(get_metrics))
        .route(web::head().to(get_metrics))
        .default_service(web::to(route_index::other_method_than_get))
}

async fn get_metrics(scrape: Data<Scrape>) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok()
        .content_type(prometheus::TEXT_FORMAT)
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(scrape.text()?))
}
