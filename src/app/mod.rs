//! The composition root: everything is made here, put together here, started and stopped here.

use std::any::Any;
use std::fmt::Debug;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, KeepAlive, Protocol, Request, Response};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, apply_fn_factory, fn_service, map_config,
};
use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{AppConfig, Server, ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use actix_web::rt::net::{TcpStream, UnixStream};
use actix_web::web::{self, Data};
use actix_web::{App, Error};
use futures_util::future::{OptionFuture, join, join3};
use secrecy::SecretString;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use utoipa::OpenApi;
use utoipa_actix_web::AppExt;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::audit::Trail;
use crate::auth::{CookiePolicy, Csrf, Mode, ModeContext, Modes, Origins, check_origin};
use crate::clients::Clients;
use crate::clock::Clock;
use crate::config::{Config, JwtRevocation, Listen};
use crate::crypto::AppSecret;
use crate::database::{self, Commits, Connections, DatabaseError, DirectUrl, OpenError, Pools, Ways};
use crate::error::Problem;
use crate::factors::password::PasswordFactor;
use crate::http::base_path::BasePath;
use crate::http::client::TrustedProxies;
use crate::http::connection::{self, Connection};
use crate::http::cors::Cors;
use crate::http::door;
use crate::http::edge::{self, Edge};
use crate::http::error_responses::with_problem_documents;
use crate::http::exchange::Exchange;
use crate::http::forward_auth::is_forward_auth;
use crate::http::incoming;
use crate::http::listener::{self, Address, Listener, Stream};
use crate::http::route_index::{self, RouteIndex};
use crate::http::wire::Wire;
use crate::http::work;
use crate::jwt::{self, IssuerAudience, JwtMode, Keys, KeysError};
use crate::limits::Limits;
use crate::logins::{Feed, FeedReload, Logins};
use crate::metrics::Metrics;
use crate::oauth::{self, Metadata};
use crate::session::{self, SessionData, SessionMode};
use crate::sign_in::SignIn;
use crate::telemetry::{self, Spans, SpansError};
use crate::upkeep::{Standing, Upkeep};
use crate::users::{Accounts, Niceness, PasswordError, PasswordHasher};
use crate::web::openapi::{self, Documents};
use crate::web::{LastRun, Scrape, SiteFacts};
use crate::{account, mode_routes, web as pages};
use dualauth_compare as compare;
use dualauth_postgres::{PrivatePostgres, PrivatePostgresError};

/// How long stopping takes at most, whatever hangs: service managers have been known to kill after 10 s.
const STOP_LIMIT: Duration = Duration::from_secs(9);

/// How much of that requests under way may take, in seconds: longer than one that waits for a Postgres that says nothing.
const SHUTDOWN_SECONDS: u64 = 7;

/// How long a client may take to send its first request's head, and to go once it was told to.
const HEAD_TIME_LIMIT: Duration = Duration::from_secs(5);

/// How many connections the listener for metrics takes: there are few who look.
const MOST_OF_METRICS: usize = 64;

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
    /// Spans can't be sent.
    #[error(transparent)]
    Spans(#[from] SpansError),
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

/// The database of the service, and the Postgres that was started for it, if any.
pub struct Storage {
    /// Connections to it.
    pub pools: Pools,
    private: Option<PrivatePostgres>,
}

impl Storage {
    /// Opens the database that the settings name, or the private one, for a command, and brings its schema up to date.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn open(config: &Config) -> Result<Self, StartError> {
        Self::open_as(config, database::COMMAND).await
    }

    async fn open_as(config: &Config, name: &str) -> Result<Self, StartError> {
        let most = config.database_max_connections;
        if let Some(url) = &config.database_url {
            let pools = database::open(url, &config.database_direct_url, most, name).await?;
            return Ok(Self { pools, private: None });
        }
        let private = PrivatePostgres::start(&config.data_folder, &[]).await?;
        let url = SecretString::from(private.url());
        let pools = database::open(&url, &DirectUrl::Usual, most, name).await?;
        Ok(Self { pools, private: Some(private) })
    }

    /// The accounts in it.
    ///
    /// # Errors
    /// When the machine gives no thread to compute hashes.
    pub fn accounts(
        &self,
        config: &Config,
        clock: &Clock,
        niceness: Niceness,
    ) -> Result<Accounts, PasswordError> {
        let hasher = PasswordHasher::new(&config.passwords, niceness)?;
        Ok(Accounts::new(self.pools.requests.clone(), hasher, config.passwords.min_length, clock.clone()))
    }

    /// The signing keys in it, sealed under this secret.
    ///
    /// # Errors
    /// When `JWT_KEY_FILE` has none.
    pub fn keys(&self, config: &Config, secret: &AppSecret, clock: &Clock) -> Result<Keys, KeysError> {
        Keys::new(config, self.pools.upkeep.clone(), secret, clock.clone())
    }

    /// The audit trail in it.
    pub fn trail(&self, clock: &Clock) -> Trail {
        Trail::new(self.pools.upkeep.clone(), clock.clone())
    }

    /// The secret in force, for commands: they make none.
    ///
    /// # Errors
    /// When the database gives no answer, or there is none yet.
    pub async fn app_secret(&self, config: &Config) -> Result<AppSecret, StartError> {
        match &config.app_secret {
            Some(secret) => Ok(secret.clone()),
            None => database::made_app_secret(&self.pools.requests).await?.ok_or(StartError::NoSecret),
        }
    }

    /// The private Postgres' URL, for a person who wants to look into it.
    pub fn private_url(&self) -> Option<String> {
        self.private.as_ref().map(PrivatePostgres::url)
    }

    /// Closes the connections, and stops the Postgres that was started for them.
    pub async fn close(self) {
        self.pools.close().await;
        if let Some(private) = self.private {
            private.stop().await;
        }
    }
}

/// A service that runs.
pub struct Node {
    public_url: String,
    storage: Storage,
    logins: Logins,
    trail: Trail,
    service: Running,
    metrics: Option<Running>,
    spans: Option<Spans>,
    upkeep: Upkeep,
}

/// A server at one address.
struct Running {
    address: Address,
    handle: ServerHandle,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Running {
    fn new(address: Address, server: Server) -> Self {
        Self { address, handle: server.handle(), serving: tokio::spawn(server) }
    }

    /// Takes no more requests, and finishes those that are under way.
    async fn stop(self) {
        drop(self.address);
        self.handle.stop(true).await;
        if let Ok(Err(error)) = self.serving.await {
            tracing::error!(%error, "the server ended with an error");
        }
    }
}

impl Node {
    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.service.address
    }

    /// Where its metrics are, if they are anywhere.
    pub fn metrics_address(&self) -> Option<&Address> {
        self.metrics.as_ref().map(|metrics| &metrics.address)
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
        if timeout(STOP_LIMIT, self.wind_up()).await.is_err() {
            tracing::warn!("stopped before all was done: the database did not end in time");
        }
    }

    async fn wind_up(self) {
        let metrics = OptionFuture::from(self.metrics.map(Running::stop));
        join(self.service.stop(), metrics).await;
        self.upkeep.stop().await;
        let spans = OptionFuture::from(self.spans.map(Spans::stop));
        join3(self.logins.write_activity(), self.trail.write_all(), spans).await;
        self.storage.close().await;
    }
}

/// Starts the service.
///
/// # Errors
/// See [`StartError`].
pub async fn start(config: Config, clock: Clock) -> Result<Node, StartError> {
    let storage = Storage::open_as(&config, database::NODE).await?;
    let (listener, address) = listen(&config.listen).await?;
    let metrics_listener = match &config.metrics_listen {
        Some(at) => Some((listen(at).await?, at)),
        None => None,
    };
    let secret = app_secret(&config, &storage.pools.requests, &clock).await?;
    let site = Site::new(&config, address.tcp());
    let domain = Domain::new(&storage, &config, &secret, &clock)?;
    unless_read_only(prepare_keys(&storage, &config, &domain, &clock).await)?;
    let (logins, trail, metrics) = (domain.logins.clone(), domain.trail.clone(), Metrics::new()?);
    let feed = domain.feed(&metrics);
    let mut first = feed();
    // Before the first request is answered, what was revoked is known.
    unless_read_only(first.poll().await.map_err(StartError::from))?;
    let upkeep = keep_up(&domain, first, feed, &storage.pools.upkeep, config.audit_retention, &metrics);
    let scrape = Scrape::new(
        metrics.clone(),
        logins.clone(),
        domain.accounts.clone(),
        trail.clone(),
        storage.pools.clone(),
    )?;
    let metrics_server = match metrics_listener {
        Some(((listener, address), at)) => {
            let server = serve_metrics(listener, scrape, metrics.clone(), config.keep_alive)
                .map_err(cant_listen(at))?;
            Some(Running::new(address, server))
        }
        None => None,
    };
    let parts = Parts::new(&config, &site, domain, &secret, metrics, upkeep.standing(), clock);
    let spans = config.traces.as_ref().map(Spans::start).transpose()?;
    let documents = Documents::of(parts.document(), &parts.facts)?;
    let server = serve(listener, parts, &documents, &site, config.keep_alive, spans.clone())
        .map_err(cant_listen(&config.listen))?;
    Ok(Node {
        public_url: site.url,
        storage,
        logins,
        trail,
        service: Running::new(address, server),
        metrics: metrics_server,
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

/// Sees to it that there are keys to sign with. An APP_SECRET that is set for the first time takes the place of the one
/// that was made here: keys are sealed anew, and that one is forgotten.
async fn prepare_keys(
    storage: &Storage,
    config: &Config,
    domain: &Domain,
    clock: &Clock,
) -> Result<(), StartError> {
    let (pool, Domain { keys, trail, .. }) = (&storage.pools.requests, domain);
    let Some(secret) = &config.app_secret else { return Ok(keys.prepare(trail).await?) };
    let made_here = database::made_app_secret(pool).await?;
    match (keys.prepare(trail).await, &made_here) {
        (Err(KeysError::OtherSecret), Some(made_here)) => {
            let secret = secret.clone().replacing(made_here);
            storage.keys(config, &secret, clock)?.prepare(trail).await?;
            keys.prepare(trail).await?;
        }
        (prepared, _) => prepared?,
    }
    if made_here.is_some() {
        database::forget_app_secret(pool).await?;
    }
    Ok(())
}

/// What a node does by itself for as long as it runs.
fn keep_up(
    domain: &Domain,
    first: Feed,
    feed: impl Fn() -> Feed + Clone + Send + 'static,
    pool: &Connections,
    audit_retention: Duration,
    metrics: &Metrics,
) -> Upkeep {
    let mut upkeep = Upkeep::new(metrics.clone());
    let (anew, mut first) = (feed.clone(), Some(first));
    upkeep.keep("feed.listen", move || {
        let feed = feed();
        async move { feed.listen().await }
    });
    upkeep.keep("feed.follow", move || first.take().unwrap_or_else(&anew).follow());
    let logins = domain.logins.clone();
    upkeep.keep("logins.keep_activity", move || logins.clone().keep_activity());
    let logins = domain.logins.clone();
    upkeep.keep("logins.keep_swept", move || logins.clone().keep_swept());
    let commits = domain.commits.clone();
    upkeep.keep("commits.keep", move || commits.clone().keep());
    let (accounts, pool) = (domain.accounts.clone(), pool.clone());
    upkeep.keep("accounts.keep_swept", move || accounts.clone().keep_swept(pool.clone()));
    let (keys, trail) = (domain.keys.clone(), domain.trail.clone());
    upkeep.keep("keys.keep", move || keys.clone().keep(trail.clone()));
    let trail = domain.trail.clone();
    upkeep.keep("trail.keep", move || trail.clone().keep());
    let trail = domain.trail.clone();
    upkeep.keep("trail.keep_swept", move || trail.clone().keep_swept(audit_retention));
    upkeep
}

async fn listen(at: &Listen) -> Result<(Listener, Address), StartError> {
    listener::bind(at).await.map_err(cant_listen(at))
}

fn cant_listen(at: &Listen) -> impl FnOnce(std::io::Error) -> StartError {
    move |error| StartError::Listen { address: at.clone(), error }
}

async fn app_secret(config: &Config, pool: &Connections, clock: &Clock) -> Result<AppSecret, StartError> {
    if let Some(secret) = &config.app_secret {
        return Ok(secret.clone());
    }
    let made = database::make_app_secret(pool, clock).await?;
    let (secret, is_new) = made.ok_or(StartError::NoSecret)?;
    let done = if is_new { "one was made" } else { "the one made earlier is used" };
    tracing::warn!(
        "APP_SECRET is not set: {done}, kept in the database. Whoever reads the database can sign in as anybody."
    );
    Ok(secret)
}

/// What the service is about, in its database.
struct Domain {
    pool: Connections,
    commits: Commits,
    accounts: Accounts,
    logins: Logins,
    clients: Arc<Clients>,
    keys: Keys,
    trail: Trail,
}

impl Domain {
    fn new(
        storage: &Storage,
        config: &Config,
        secret: &AppSecret,
        clock: &Clock,
    ) -> Result<Self, StartError> {
        let pools = storage.pools.clone();
        let logins = Logins::new(pools.clone(), config.lifetimes, config.directory, clock.clone());
        Ok(Self {
            pool: pools.requests.clone(),
            commits: Commits::new(pools.clone()),
            accounts: storage.accounts(config, clock, Niceness::GivesWay)?,
            clients: Arc::new(Clients::new(pools, logins.clone(), clock.clone())),
            keys: storage.keys(config, secret, clock)?,
            trail: storage.trail(clock),
            logins,
        })
    }

    /// Makes feeds: one for the start, and another whenever the one before is done for. Each begins anew.
    fn feed(&self, metrics: &Metrics) -> impl Fn() -> Feed + Clone + Send + 'static {
        let others: Vec<Arc<dyn FeedReload>> = vec![Arc::new(self.keys.clone()), self.clients.clone()];
        let (logins, metrics, trail) = (self.logins.clone(), metrics.clone(), self.trail.clone());
        move || logins.feed(others.clone(), metrics.clone(), trail.clone())
    }
}

/// Where clients reach the service.
struct Site {
    /// Without a slash at its end.
    url: String,
    /// The path in it, or nothing.
    base_path: String,
    origins: Vec<String>,
    is_https: bool,
}

impl Site {
    /// At this address, unless PUBLIC_URL says where. A Unix socket has none, and is never without PUBLIC_URL.
    fn new(config: &Config, address: Option<SocketAddr>) -> Self {
        if let Some(url) = &config.public_url {
            let origin = url.origin().ascii_serialization();
            let base_path = config.base_path().to_owned();
            return Self {
                is_https: url.scheme() == "https",
                url: format!("{origin}{base_path}"),
                origins: vec![origin],
                base_path,
            };
        }
        // Not set: the names that a person at this machine may type.
        let address = address.unwrap_or(listener::LOCAL);
        let url = |host: &str| match address.port() {
            80 => format!("http://{host}"),
            port => format!("http://{host}:{port}"),
        };
        let origins = ["localhost", "127.0.0.1", "[::1]"].map(url).to_vec();
        let is_everywhere = address.ip().to_canonical().is_unspecified();
        let url = if is_everywhere { url("localhost") } else { format!("http://{address}") };
        Self { url, base_path: String::new(), origins, is_https: false }
    }
}

/// Everything that requests need, once for all workers.
#[derive(Clone)]
struct Parts {
    pool: Data<Connections>,
    commits: Data<Commits>,
    logins: Data<Logins>,
    clients: Data<Clients>,
    metadata: Data<Metadata>,
    keys: Data<Keys>,
    session_data: Data<SessionData>,
    limits: Data<Limits>,
    accounts: Data<Accounts>,
    sign_in: Data<SignIn>,
    trail: Data<Trail>,
    csrf: Data<Csrf>,
    origins: Data<Origins>,
    proxies: Data<TrustedProxies>,
    last_run: Data<LastRun>,
    facts: Data<SiteFacts>,
    metrics: Metrics,
    standing: Data<Standing>,
    modes: Modes,
}

impl Parts {
    fn new(
        config: &Config,
        site: &Site,
        domain: Domain,
        secret: &AppSecret,
        metrics: Metrics,
        standing: Standing,
        clock: Clock,
    ) -> Self {
        let Domain { pool, commits, accounts, logins, clients, keys, trail } = domain;
        let cookies = CookiePolicy {
            secure: site.is_https,
            domain: config.cookie_domain.clone(),
            name_prefix: config.cookie_name_prefix.clone(),
            base_path: site.base_path.clone(),
        };
        let facts = SiteFacts {
            base_path: site.base_path.clone(),
            session_cookie: cookies.name(session::COOKIE),
            access_token_cookie: cookies.name(jwt::ACCESS_COOKIE),
            refresh_token_cookie: cookies.name(jwt::REFRESH_COOKIE),
        };
        let issuer = config.jwt.issuer.clone().unwrap_or_else(|| site.url.clone());
        let audience = match &config.jwt.audience[..] {
            [] => vec![site.url.clone()],
            named => named.to_vec(),
        };
        let issuer_audience =
            IssuerAudience { issuer, audience: audience.into(), client_id: config.jwt.client_id.clone() };
        let metadata = Metadata::new(&site.url, issuer_audience.issuer.clone());
        let limits = Limits::new(&config.limits, &clock);
        // The textbook's JWT is verified anew with every request.
        let verified = (config.directory.jwt_revocation == JwtRevocation::Feed)
            .then_some(config.directory.session_cache_size);
        let csrf = Arc::new(Csrf::new(secret));
        let context = ModeContext {
            logins: logins.clone(),
            clock: clock.clone(),
            cookies,
            csrf: Arc::clone(&csrf),
            trail: trail.clone(),
            secret,
        };
        // In the order in which shared routes look at their cookies.
        let modes: Vec<Arc<dyn Mode>> = vec![
            Arc::new(JwtMode::new(&context, issuer_audience, keys.clone(), verified)),
            Arc::new(SessionMode::new(&context)),
        ];
        Self {
            pool: Data::new(pool.clone()),
            commits: Data::new(commits),
            logins: Data::new(logins.clone()),
            clients: Data::from(clients),
            metadata: Data::new(metadata),
            keys: Data::new(keys),
            session_data: Data::new(SessionData::new(pool.clone())),
            accounts: Data::new(accounts.clone()),
            sign_in: Data::new(SignIn {
                password: PasswordFactor::new(
                    pool.clone(),
                    accounts.hasher().clone(),
                    config.passwords.min_length,
                    clock.clone(),
                    limits.login.clone(),
                    secret,
                    logins.clone(),
                    trail.clone(),
                ),
                accounts,
                logins,
                limits: limits.clone(),
                step_up_max_age: config.step_up_max_age,
                clock,
                trail: trail.clone(),
                metrics: metrics.clone(),
            }),
            limits: Data::new(limits),
            trail: Data::new(trail),
            csrf: Data::from(csrf),
            origins: Data::new(Origins {
                own: site.origins.clone(),
                allowed: config.allowed_origins.clone(),
            }),
            proxies: Data::new(TrustedProxies(config.trusted_proxies.clone())),
            last_run: Data::new(LastRun::new(compare::default_folder(&config.data_folder), facts.clone())),
            facts: Data::new(facts),
            metrics,
            standing: Data::new(standing),
            modes: Modes::new(modes),
        }
    }

    /// The whole route table: what services ask, each mode below its name, then what takes either.
    fn routes(&self, config: &mut ServiceConfig) {
        // Before the modes: a scope takes every path below its name.
        config.configure(oauth::routes);
        for mode in self.modes.iter() {
            mode_routes::routes(mode, config);
        }
        config
            .app_data(Data::new(self.modes.clone()))
            .configure(jwt::well_known_routes)
            .configure(account::routes)
            .configure(pages::routes);
    }

    fn data(&self, config: &mut web::ServiceConfig) {
        config
            .app_data(self.pool.clone())
            .app_data(self.commits.clone())
            .app_data(self.logins.clone())
            .app_data(self.clients.clone())
            .app_data(self.metadata.clone())
            .app_data(self.keys.clone())
            .app_data(self.session_data.clone())
            .app_data(self.limits.clone())
            .app_data(self.accounts.clone())
            .app_data(self.sign_in.clone())
            .app_data(self.trail.clone())
            .app_data(self.csrf.clone())
            .app_data(self.origins.clone())
            .app_data(self.proxies.clone())
            .app_data(self.last_run.clone())
            .app_data(self.facts.clone())
            .app_data(self.standing.clone());
    }

    fn document(&self) -> utoipa::openapi::OpenApi {
        let (_, mut document) = App::new()
            .into_utoipa_app()
            .openapi(openapi::Document::openapi())
            .configure(|config| self.routes(config))
            .split_for_parts();
        openapi::complete(&mut document, &self.facts, &self.modes);
        document
    }
}

/// The API's document, as it is served and committed.
///
/// # Errors
/// When argon2 refuses its settings, or the document does not serialise.
pub fn document(config: &Config) -> Result<String, Box<dyn std::error::Error>> {
    let clock = Clock::system();
    let storage = Storage {
        pools: Pools::new(
            Ways::direct_to(&"postgres://nowhere".into(), database::NODE)?,
            config.database_max_connections,
        ),
        private: None,
    };
    let secret = AppSecret::generate();
    let domain = Domain::new(&storage, config, &secret, &clock)?;
    let site = Site::new(config, config.listen.tcp());
    let parts = Parts::new(config, &site, domain, &secret, Metrics::new()?, Standing::default(), clock);
    Ok(openapi::render(&parts.document())?)
}

fn serve(
    listener: Listener,
    parts: Parts,
    documents: &Documents,
    site: &Site,
    keep_alive: Duration,
    spans: Option<Spans>,
) -> std::io::Result<Server> {
    let routes = Data::new(RouteIndex::of(&documents.all(), &pages::PAGES, &parts.metrics));
    let rendered = Data::new(documents.rendered.clone());
    let edge = Edge {
        is_https: site.is_https,
        base_path: BasePath::new(&site.base_path),
        proxies: parts.proxies.clone(),
        cors: Cors { allowed: parts.origins.allowed.clone(), own: parts.origins.own.clone() },
        routes: routes.clone(),
        metrics: parts.metrics.clone(),
        spans,
    };
    let app = move |edge: Rc<Edge>| {
        App::new()
            .app_data(routes.clone())
            .app_data(rendered.clone())
            .configure(|config| parts.data(config))
            .default_service(web::to(route_index::no_route))
            .into_utoipa_app()
            .configure(|config| parts.routes(config))
            .into_app()
            .wrap(from_fn(move |request, next| through_the_edge(Rc::clone(&edge), request, next)))
    };
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    let most = connection::most().div_ceil(workers);
    let size = Size { workers, most, keep_alive, shutdown_seconds: SHUTDOWN_SECONDS };
    listen_with(listener, size, edge, app)
}

/// Prometheus asks again and again: its requests are neither written down nor counted.
fn serve_metrics(
    listener: Listener,
    scrape: Scrape,
    metrics: Metrics,
    keep_alive: Duration,
) -> std::io::Result<Server> {
    let scrape = Data::new(scrape);
    let edge = Edge {
        is_https: false,
        base_path: None,
        proxies: Data::new(TrustedProxies::default()),
        cors: Cors::default(),
        routes: Data::new(RouteIndex::of(&[], &[], &metrics)),
        metrics,
        spans: None,
    };
    let app = move |_| {
        App::new()
            .app_data(scrape.clone())
            .configure(pages::metrics_routes)
            .default_service(web::to(route_index::not_found))
            .wrap(from_fn(incoming::closing_after_half))
    };
    let size = Size { workers: 1, most: MOST_OF_METRICS, keep_alive, shutdown_seconds: 1 };
    listen_with(listener, size, edge, app)
}

/// What a server may take.
struct Size {
    workers: usize,
    /// Connections to each worker.
    most: usize,
    /// How long a connection without a request stays open.
    keep_alive: Duration,
    /// How long requests under way may take when it stops.
    shutdown_seconds: u64,
}

/// What `HttpServer` does, but that connections come in one by one, have deadlines, and are told what was wrong.
fn listen_with<A, S, B>(
    listener: Listener,
    size: Size,
    edge: Edge,
    app: impl Fn(Rc<Edge>) -> A + Clone + Send + 'static,
) -> std::io::Result<Server>
where
    A: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Response<BoxBody>>,
    S::InitError: Debug,
    S::Response: Into<Response<B>>,
    B: MessageBody + 'static,
{
    let limits = connection::Limits::new(size.keep_alive, size.most);
    let server = Server::build().workers(size.workers).max_concurrent_connections(size.most);
    let shutdown = server.graceful_shutdown_signal();
    let runtime = Handle::current();
    let http = move || {
        database::set_io_runtime(runtime.clone());
        let (shutdown, edge) = (shutdown.clone(), Rc::new(edge.clone()));
        let http = HttpService::build()
            // Whether a connection is kept is found out by itself, for how long by the connection.
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(HEAD_TIME_LIMIT)
            .client_disconnect_timeout(HEAD_TIME_LIMIT)
            .graceful_shutdown_signal(move || {
                let shutdown = shutdown.clone();
                async move { shutdown.notified().await }
            })
            .on_connect_ext(|wire: &Wire<Stream>, data| {
                data.insert(wire.body().clone());
            })
            .finish(map_config(app(Rc::clone(&edge)), |()| AppConfig::default()));
        let entered = fn_service(move |(stream, peer): (Stream, Option<SocketAddr>)| {
            let edge = Rc::clone(&edge);
            async move {
                door::enter().await;
                let address = peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip());
                let wire = Wire::new(Connection::new(stream, limits), address, edge);
                Ok::<_, DispatchError>((wire, Protocol::Http1, peer))
            }
        });
        entered.and_then(apply_fn_factory(http, |connection, http| work::serving(http.call(connection))))
    };
    let server = server.shutdown_timeout(size.shutdown_seconds).disable_signals();
    let server = match listener {
        Listener::Tcp(listener) => server.listen("http", listener, move || {
            let from = fn_service(async |stream: TcpStream| {
                let peer = stream.peer_addr().ok();
                Ok::<_, DispatchError>((Stream::Tcp(stream), peer))
            });
            from.and_then(http())
        }),
        Listener::Unix(listener) => server.listen_uds("http", listener, move || {
            let from = fn_service(async |stream: UnixStream| {
                Ok::<_, DispatchError>((Stream::Unix(stream), Some(listener::LOCAL)))
            });
            from.and_then(http())
        }),
    };
    Ok(server?.run())
}

/// What every request goes through, from the outside in and out again. One layer and not one for each step: a layer
/// costs every request two allocations.
async fn through_the_edge<B: MessageBody + 'static>(
    edge: Rc<Edge>,
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    if let Some(base_path) = &edge.base_path {
        base_path.strip(&mut request);
    }
    let changes_nothing = request.method().is_safe() || is_forward_auth(request.match_info().as_str());
    let mut exchange = Exchange::begin(edge, &mut request);
    if changes_nothing {
        return telemetry::answering(exchange.id(), answer(exchange, request, next)).await;
    }
    let _client = exchange.client();
    let work = telemetry::answering(exchange.id(), answer(exchange, request, next));
    let panicked = |panic: Box<dyn Any + Send>| Problem::internal(telemetry::panic_message(&*panic));
    work::to_its_end(work).await.map_err(panicked)?
}

async fn answer<B: MessageBody + 'static>(
    exchange: Exchange,
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    edge::head_as_get(&mut request);
    let preflight = || exchange.preflight(&request).transpose();
    let answered =
        edge::check_head(&request).and_then(|()| check_origin(&request)).and_then(|()| preflight());
    let outcome = match answered {
        Ok(None) => with_problem_documents(request, &next).await,
        Ok(Some(response)) => Ok(request.into_response(response).map_into_right_body()),
        Err(problem) => Ok(request.into_response(problem.response()).map_into_right_body()),
    };
    exchange.end(outcome).await
}
