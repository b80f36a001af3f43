//! The composition root: everything is put together, started and stopped here.

mod app_secret;
mod background_tasks;
mod routes;
mod server;
mod site;
mod state;
mod storage;

use std::time::Duration;

use futures_util::future::{OptionFuture, join, join3};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::config::{Config, Listen};
use crate::crypto::AppSecret;
use crate::database::{self, DatabaseError, OpenError};
use crate::http::listener::Address;
use crate::jwt::KeysError;
use crate::metrics::Metrics;
use crate::telemetry::{TraceExporter, TraceExporterError};
use crate::upkeep::Upkeep;
use crate::users::PasswordError;
use crate::web::openapi::{self, Documents};
use dualauth_postgres::PrivatePostgresError;

use self::app_secret::{app_secret, prepare_keys};
use self::background_tasks::{feeds, spawn_upkeep};
use self::server::{RunningServer, cant_listen, listen, serve, serve_metrics};
use self::site::Site;
use self::state::State;
pub use self::storage::Storage;

/// How long stopping takes at most, whatever hangs: service managers have been known to kill after 10 s.
const STOP_LIMIT: Duration = Duration::from_secs(9);

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The private Postgres does not run.
    #[error(transparent)]
    Postgres(#[from] PrivatePostgresError),
    /// The database can't be reached, or not be brought up to date.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database gives no answer.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// argon2 refuses its settings.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// Two metrics have one name: a fault of ours.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// The API's documents don't serialise: a fault of ours.
    #[error(transparent)]
    Documents(#[from] serde_json::Error),
    /// Spans can't be exported.
    #[error(transparent)]
    TraceExporter(#[from] TraceExporterError),
    /// It is not set where it is needed: by a command, or for keys that are sealed under it.
    #[error(
        "APP_SECRET is not set, and none was made for this database: set the one that the service runs with"
    )]
    NoSecret,
    /// There is no key to sign with.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The address is taken, or not this machine's.
    #[error("can't listen on {address}: {error}")]
    Listen {
        /// Where it was to listen.
        address: Listen,
        /// Why it can't.
        error: std::io::Error,
    },
}

/// A service that runs.
pub struct RunningService {
    public_url: String,
    storage: Storage,
    state: State,
    server: RunningServer,
    metrics_server: Option<RunningServer>,
    spans: Option<TraceExporter>,
    upkeep: Upkeep,
}

impl RunningService {
    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.server.address
    }

    /// Where its metrics are, if they are anywhere.
    pub fn metrics_address(&self) -> Option<&Address> {
        self.metrics_server.as_ref().map(|metrics| &metrics.address)
    }

    /// Where clients reach it.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// The private Postgres' URL, if it runs on one.
    pub fn private_postgres(&self) -> Option<String> {
        self.storage.private_url()
    }

    /// Takes no more requests, finishes those that are under way, writes what is not written yet and closes the
    /// database. What hangs is given up in time: it ends with the process.
    pub async fn stop(self) {
        if timeout(STOP_LIMIT, self.shut_down()).await.is_err() {
            tracing::warn!(
                "shutdown timed out: the database did not answer in time; what hangs ends with the process"
            );
        }
    }

    async fn shut_down(self) {
        let metrics = OptionFuture::from(self.metrics_server.map(RunningServer::stop));
        join(self.server.stop(), metrics).await;
        self.upkeep.stop().await;
        let spans = OptionFuture::from(self.spans.map(TraceExporter::stop));
        join3(self.state.logins.write_activity(), self.state.trail.write_all(), spans).await;
        self.storage.close().await;
    }
}

/// Starts the service.
///
/// # Errors
/// See [`StartError`].
pub async fn start(config: Config, clock: Clock) -> Result<RunningService, StartError> {
    let storage = Storage::open_as(&config, database::NODE, &clock).await?;
    let (listener, address) = listen(&config.listen).await?;
    let metrics_listener = match &config.metrics_listen {
        Some(at) => Some((listen(at).await?, at)),
        None => None,
    };
    let secret = app_secret(&config, &storage.pools.requests, &clock).await?;
    let site = Site::new(&config, address.tcp());
    let metrics = Metrics::new()?;
    let mut upkeep = Upkeep::new(metrics.clone());
    let state = State::new(&storage, &config, &site, &secret, &clock, metrics, upkeep.stopped_tasks())?;
    unless_read_only(prepare_keys(&storage, &config, &state.keys, &clock).await)?;
    let feed = feeds(&state);
    let mut first = feed();
    // Before the first request is answered, what was revoked is known.
    unless_read_only(first.poll().await.map_err(StartError::from))?;
    let pool = storage.pools.upkeep.clone();
    spawn_upkeep(&mut upkeep, &state, first, feed, pool, config.audit_retention);
    let metrics_server = match metrics_listener {
        Some(((listener, address), at)) => {
            let scrape = state.scrape(&storage)?;
            let server = serve_metrics(listener, scrape, state.metrics.clone(), config.keep_alive);
            Some(RunningServer::new(address, server.map_err(cant_listen(at))?))
        }
        None => None,
    };
    let spans = config.traces.as_ref().map(TraceExporter::start).transpose()?;
    let documents = Documents::of(state.document(), &state.facts)?;
    let server = serve(listener, state.clone(), &documents, &site, config.keep_alive, spans.clone())
        .map_err(cant_listen(&config.listen))?;
    Ok(RunningService {
        public_url: site.url,
        storage,
        state,
        server: RunningServer::new(address, server),
        metrics_server,
        spans,
        upkeep,
    })
}

/// On a standby, or another database that takes no writes, a node starts as well: it is not ready until it has found one
/// that does.
fn unless_read_only(outcome: Result<(), StartError>) -> Result<(), StartError> {
    match outcome {
        Err(StartError::Database(error) | StartError::Keys(KeysError::Database(error)))
            if error.is_read_only() =>
        {
            tracing::warn!(%error, "the database takes no writes: the node is not ready until it does");
            Ok(())
        }
        outcome => outcome,
    }
}

/// The API's document, as it is served and committed.
///
/// # Errors
/// When argon2 refuses its settings, or the document does not serialise.
pub fn document(config: &Config) -> Result<String, Box<dyn std::error::Error>> {
    let storage = Storage::nowhere(config)?;
    let site = Site::new(config, config.listen.tcp());
    let metrics = Metrics::new()?;
    let stopped = Upkeep::new(metrics.clone()).stopped_tasks();
    let secret = AppSecret::generate();
    let state = State::new(&storage, config, &site, &secret, &Clock::system(), metrics, stopped)?;
    Ok(openapi::render(&state.document())?)
}
