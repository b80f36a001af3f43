//! The composition root: builds, starts and stops the service.

mod app_secret_source;
mod background_tasks;
mod postgres_storage;
mod prepare_keys_and_secrets;
mod public_url;
mod routes;
mod server;
mod sign_in;
mod state;

use std::time::Duration;

use futures_util::future::{OptionFuture, join3};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::config::{Config, Listen};
use crate::crypto::AppSecret;
use crate::database::{self, DatabaseError, OpenError};
use crate::factors::provider::Providers;
use crate::http::listener::Address;
use crate::jwt::KeysError;
use crate::machine_roots::RootsError;
use crate::mail::{Delivery, MailSetupError};
use crate::metrics::Metrics;
use crate::telemetry::{TraceExporter, TraceExporterError};
use crate::upkeep::Upkeep;
use crate::users::PasswordError;
use dualauth_postgres::PrivatePostgresError;

use self::app_secret_source::app_secret;
use self::background_tasks::{feeds, spawn_tasks};
pub use self::postgres_storage::PostgresStorage;
use self::prepare_keys_and_secrets::prepare_keys;
use self::public_url::PublicUrl;
use self::server::{RunningServer, cant_listen, listen, serve, serve_metrics};
use self::state::State;

/// The limit of a shutdown, less than the 10 s after which some service managers kill a process.
const STOP_LIMIT: Duration = Duration::from_secs(9);

/// Why the service can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The private Postgres does not start.
    #[error(transparent)]
    Postgres(#[from] PrivatePostgresError),
    /// The database can't be reached, or its schema can't be migrated.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A query failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Argon2 rejects its parameters, or no hashing thread starts.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// Two metrics have the same name: a bug.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// The exporter of trace spans can't start.
    #[error(transparent)]
    TraceExporter(#[from] TraceExporterError),
    /// APP_SECRET is not set, and the database has no generated one: for a command, or on a database that can't be written.
    #[error(
        "APP_SECRET is not set, and none was made for this database: set the one that the service runs with"
    )]
    NoSecret,
    /// The signing keys can't be read or created.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The certificates that this machine trusts can't be read.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// Mails can't be set up.
    #[error(transparent)]
    Mail(#[from] MailSetupError),
    /// The address is in use, or does not belong to this host.
    #[error("can't listen on {address}: {error}")]
    Listen {
        /// The configured address.
        address: Listen,
        /// The error of the operating system.
        error: std::io::Error,
    },
}

/// A running service.
pub struct RunningService {
    pages_url: String,
    storage: PostgresStorage,
    state: State,
    server: RunningServer,
    metrics_server: Option<RunningServer>,
    spans: Option<TraceExporter>,
    upkeep: Upkeep,
}

impl RunningService {
    /// The address that the service listens on.
    pub fn address(&self) -> &Address {
        &self.server.address
    }

    /// The address of the metrics listener, if METRICS_LISTEN is set.
    pub fn metrics_address(&self) -> Option<&Address> {
        self.metrics_server.as_ref().map(|metrics| &metrics.address)
    }

    /// The URL at which a browser opens the pages, without a trailing slash.
    pub fn pages_url(&self) -> &str {
        &self.pages_url
    }

    /// The URL of the private Postgres, if the service runs on one.
    pub fn private_postgres(&self) -> Option<String> {
        self.storage.private_url()
    }

    /// Graceful shutdown: stops accepting requests, finishes those in progress, writes buffered data and closes the
    /// database. After `STOP_LIMIT` the rest is abandoned; it ends with the process.
    pub async fn stop(self) {
        if timeout(STOP_LIMIT, self.shut_down()).await.is_err() {
            tracing::warn!("shutdown timed out; aborting unfinished tasks (the database may be unreachable)");
        }
    }

    async fn shut_down(self) {
        self.state.logins.stop_followers();
        let metrics = OptionFuture::from(self.metrics_server.map(RunningServer::stop));
        // Together: the server's requests and a slow mail server take their time.
        join3(self.server.stop(), metrics, self.state.mail_sender.stop()).await;
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
    let storage = PostgresStorage::open_as(&config, database::NODE, &clock).await?;
    let (listener, address) = listen(&config.listen).await?;
    let metrics_listener = match &config.metrics_listen {
        Some(at) => Some((listen(at).await?, at)),
        None => None,
    };
    let secret = app_secret(&config, &storage.pools.requests, &clock).await?;
    let public_url = PublicUrl::new(&config, address.tcp());
    let metrics = Metrics::new()?;
    let mut upkeep = Upkeep::new(metrics.clone());
    let state = State::new(
        &storage,
        &config,
        &public_url,
        &secret,
        &clock,
        metrics,
        upkeep.tasks_awaiting_restart(),
    )?;
    tolerate_read_only(prepare_keys(&storage, &config, &state.keys, &clock).await)?;
    let feed = feeds(&state);
    let mut first = feed();
    // The first request must already see every revocation.
    tolerate_read_only(first.poll().await.map_err(StartError::from))?;
    let pool = storage.pools.upkeep.clone();
    spawn_tasks(&mut upkeep, &state, first, feed, pool, config.audit_retention);
    let metrics_server = match metrics_listener {
        Some(((listener, address), at)) => {
            let scrape = state.scrape(&storage)?;
            let server = serve_metrics(listener, scrape, state.metrics.clone(), config.keep_alive);
            Some(RunningServer::new(address, server.map_err(cant_listen(at))?))
        }
        None => None,
    };
    let spans = config.traces.as_ref().map(TraceExporter::start).transpose()?;
    let server = serve(listener, state.clone(), &public_url, config.keep_alive, spans.clone())
        .map_err(cant_listen(&config.listen))?;
    Ok(RunningService {
        pages_url: public_url.pages,
        storage,
        state,
        server: RunningServer::new(address, server),
        metrics_server,
        spans,
        upkeep,
    })
}

/// A node also starts on a standby or another read-only database; it reports not ready until it reaches a writable one.
fn tolerate_read_only(outcome: Result<(), StartError>) -> Result<(), StartError> {
    match outcome {
        Err(StartError::Database(error) | StartError::Keys(KeysError::Database(error)))
            if error.is_read_only() =>
        {
            tracing::warn!(%error, "database is read-only (standby?): node reports not ready until it accepts writes");
            Ok(())
        }
        outcome => outcome,
    }
}

/// How these settings have mails sent; `None`: they are off.
///
/// # Errors
/// When a template is wrong, or the settings don't go together.
pub fn mail_delivery(config: &Config) -> Result<Option<Delivery>, MailSetupError> {
    Delivery::new(config, &PublicUrl::new(config, config.listen.tcp()).pages)
}

/// The sign-in providers of these settings, outside of a running service.
///
/// # Errors
/// If the certificates that this machine trusts can't be read.
pub fn providers(config: &Config) -> Result<Providers, StartError> {
    let public_url = PublicUrl::new(config, config.listen.tcp());
    Ok(Providers::new(&config.providers, &public_url.url, &Clock::system(), &Metrics::new()?)?)
}

/// The OpenAPI document as JSON, as it is served and as it is kept in `openapi/`.
///
/// # Errors
/// If Argon2 rejects its parameters, or the document can't be serialised.
pub fn document(config: &Config) -> Result<String, Box<dyn std::error::Error>> {
    let storage = PostgresStorage::disconnected(config)?;
    let public_url = PublicUrl::new(config, config.listen.tcp());
    let metrics = Metrics::new()?;
    let tasks_awaiting_restart = Upkeep::new(metrics.clone()).tasks_awaiting_restart();
    let secret = AppSecret::generate();
    let state = State::new(
        &storage,
        config,
        &public_url,
        &secret,
        &Clock::system(),
        metrics,
        tasks_awaiting_restart,
    )?;
    Ok(state.documents().render_api()?)
}
