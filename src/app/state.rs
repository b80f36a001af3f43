//! Application state: the services that handlers use, built once and shared by all workers.

use std::sync::Arc;

use actix_web::App;
use actix_web::web::{Data, ServiceConfig};
use utoipa::OpenApi;
use utoipa_actix_web::AppExt;

use crate::account::HandoffPage;
use crate::audit::Trail;
use crate::auth::{AcceptedAuthModes, CookiePolicy, Csrf, Mode, ModeContext, Origins, SecondFactorMethods};
use crate::challenges::Challenges;
use crate::clients::Clients;
use crate::clock::Clock;
use crate::config::{Config, JwtRevocation};
use crate::crypto::AppSecret;
use crate::custom_tokens::CustomTokens;
use crate::database::{CommitHealthCheck, ConnectionPool};
use crate::factors::provider::Providers;
use crate::http::client::TrustedProxies;
use crate::jwt::{self, IssuerAudience, JwtMode, Keys};
use crate::logins::{Acr, Logins};
use crate::mail::{Delivery, MailSender, Mails};
use crate::metrics::Metrics;
use crate::network_rate_limits::Limits;
use crate::oauth::{FeedCursorCodec, Metadata};
use crate::session::{self, SessionDataStore, SessionMode};
use crate::upkeep::TasksAwaitingRestart;
use crate::users::{Accounts, ThreadPriority};
use crate::web::openapi::{ApiAndComparisonDocuments, ApiDoc};
use crate::web::{BasePathAndCookieNames, LastReport, PasskeyRelatedOrigins, Scrape};

use super::public_url::PublicUrl;
use super::routes::routes;
use super::sign_in::new_sign_in;
use super::{PostgresStorage, StartError};

/// The application state. Fields are what startup, background tasks and shutdown use by name; `app_data` has everything
/// that handlers extract.
#[derive(Clone)]
pub(super) struct State {
    pub(super) commits: CommitHealthCheck,
    pub(super) accounts: Accounts,
    pub(super) logins: Logins,
    pub(super) clients: Arc<Clients>,
    pub(super) custom_tokens: CustomTokens,
    pub(super) keys: Keys,
    pub(super) trail: Trail,
    pub(super) mails: Arc<Mails>,
    pub(super) challenges: Arc<Challenges>,
    pub(super) mail_sender: MailSender,
    pub(super) modes: AcceptedAuthModes,
    pub(super) origins: Data<Origins>,
    pub(super) proxies: Data<TrustedProxies>,
    pub(super) base_path_and_cookie_names: BasePathAndCookieNames,
    pub(super) metrics: Metrics,
    app_data: AppData,
}

impl State {
    /// Builds the state from a storage and the settings.
    pub(super) fn new(
        storage: &PostgresStorage,
        config: &Config,
        public_url: &PublicUrl,
        secret: &AppSecret,
        clock: &Clock,
        metrics: Metrics,
        tasks_awaiting_restart: TasksAwaitingRestart,
    ) -> Result<Self, StartError> {
        let pools = storage.pools.clone();
        let (logins, keys) = (storage.logins(config, clock), storage.keys(config, secret, clock)?);
        let csrf = Arc::new(Csrf::new(secret));
        let cookies = cookie_policy(config, public_url);
        let base_path_and_cookie_names = base_path_and_cookie_names(public_url, &cookies);
        let context = ModeContext {
            logins: logins.clone(),
            clock: clock.clone(),
            cookies,
            csrf: Arc::clone(&csrf),
            secret,
        };
        let issuer_audience = issuer_audience(config, public_url);
        let metadata = Metadata::new(&public_url.url, issuer_audience.issuer.clone());
        let modes = modes(&context, config, issuer_audience, &keys);
        let mails = Arc::new(Mails::new(Delivery::new(config, &public_url.pages)?, secret, clock.clone()));
        let mut state = Self {
            commits: CommitHealthCheck::new(pools.clone()),
            accounts: storage.accounts(config, clock, Arc::clone(&mails), ThreadPriority::Low)?,
            clients: Arc::new(storage.clients(logins.clone(), clock)),
            custom_tokens: storage.custom_tokens(clock),
            logins,
            keys,
            trail: storage.trail.clone(),
            challenges: Arc::new(Challenges::new(
                pools.requests.clone(),
                secret,
                config.challenges.ttl,
                clock.clone(),
                Arc::clone(&mails),
            )),
            mail_sender: MailSender::new(
                Arc::clone(&mails),
                pools.upkeep.clone(),
                clock.clone(),
                storage.trail.clone(),
                metrics.clone(),
            ),
            modes,
            origins: Data::new(origins(config, public_url)),
            proxies: Data::new(TrustedProxies(config.trusted_proxies.clone())),
            base_path_and_cookie_names,
            mails,
            metrics,
            app_data: AppData::default(),
        };
        let providers = Providers::new(&config.providers, &public_url.url, clock, &state.metrics)?;
        let limits = Limits::new(&config.limits, clock);
        let sign_in = Data::new(new_sign_in(
            &state,
            &pools.requests,
            config,
            limits.clone(),
            secret,
            public_url,
            &providers,
            clock,
        ));
        let second_factors: Arc<dyn SecondFactorMethods> = sign_in.clone().into_inner();
        state.app_data = state
            .app_data(config, pools.requests)
            .with(sign_in)
            .with(Data::from(second_factors))
            .with(Data::new(limits))
            .with(Data::from(csrf))
            .with(Data::new(metadata))
            .with(Data::new(FeedCursorCodec::new(secret)))
            .with(Data::new(providers))
            .with(Data::new(HandoffPage::new(&public_url.pages)))
            .with(Data::new(passkey_related_origins(config, public_url)))
            .with(Data::new(tasks_awaiting_restart));
        Ok(state)
    }

    /// The data of handlers that is made of the fields above.
    fn app_data(&self, config: &Config, pool: ConnectionPool) -> AppData {
        let last_report = LastReport::new(&config.data_folder, self.base_path_and_cookie_names.clone());
        AppData::default()
            .with(Data::new(self.commits.clone()))
            .with(Data::new(self.accounts.clone()))
            .with(Data::new(self.logins.clone()))
            .with(Data::from(Arc::clone(&self.clients)))
            .with(Data::from(Arc::clone(&self.mails)))
            .with(Data::new(self.custom_tokens.clone()))
            .with(Data::new(self.metrics.clone()))
            .with(Data::new(self.keys.clone()))
            .with(self.origins.clone())
            .with(self.proxies.clone())
            .with(Data::new(self.base_path_and_cookie_names.clone()))
            .with(Data::new(SessionDataStore::new(pool.clone())))
            .with(Data::new(pool))
            .with(Data::new(last_report))
    }

    /// Registers the data that handlers extract.
    pub(super) fn register(&self, config: &mut ServiceConfig) {
        self.app_data.register(config);
    }

    /// The collector of the metrics that are read at each scrape.
    pub(super) fn scrape(&self, storage: &PostgresStorage) -> prometheus::Result<Scrape> {
        let Self { metrics, logins, accounts, trail, mails, .. } = self.clone();
        Scrape::new(metrics, logins, accounts, trail, mails, storage.pools.clone())
    }

    /// The OpenAPI documents, collected from the routes.
    pub(super) fn documents(&self) -> ApiAndComparisonDocuments {
        let (_, api) = App::new()
            .into_utoipa_app()
            .openapi(ApiDoc::openapi())
            .configure(|config| routes(&self.modes, config))
            .split_for_parts();
        ApiAndComparisonDocuments::new(api, self.base_path_and_cookie_names.clone(), self.modes.clone())
    }
}

/// Values that handlers extract as [`Data`], each by its type.
#[derive(Clone, Default)]
struct AppData(Vec<Register>);

/// Registers one value.
type Register = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

impl AppData {
    fn with<T: ?Sized + Send + Sync + 'static>(mut self, value: Data<T>) -> Self {
        self.0.push(Arc::new(move |config| {
            config.app_data(value.clone());
        }));
        self
    }

    fn register(&self, config: &mut ServiceConfig) {
        self.0.iter().for_each(|register| register(config));
    }
}

/// Every mode, in the order in which the shared routes look for their cookies.
fn modes(
    context: &ModeContext<'_>,
    config: &Config,
    issuer_audience: IssuerAudience,
    keys: &Keys,
) -> AcceptedAuthModes {
    // Without the revocation feed JWTs work as in the textbook: every request verifies the signature, nothing is cached.
    let cache_size = (config.login_memory.jwt_revocation == JwtRevocation::Feed)
        .then_some(config.login_memory.session_cache_size);
    let jwt = JwtMode::new(context, issuer_audience, keys.clone(), cache_size);
    let modes: Vec<Arc<dyn Mode>> = vec![Arc::new(jwt), Arc::new(SessionMode::new(context))];
    let least_acr = if config.challenges.second_factor_required { Acr::Aal2 } else { Acr::Aal1 };
    AcceptedAuthModes::new(modes, least_acr)
}

pub(super) fn origins(config: &Config, public_url: &PublicUrl) -> Origins {
    Origins { own: public_url.origins.clone(), allowed: config.allowed_origins.clone() }
}

fn passkey_related_origins(config: &Config, public_url: &PublicUrl) -> PasskeyRelatedOrigins {
    let origins = config.passkeys.origins_or(&public_url.origins);
    PasskeyRelatedOrigins::new(config.passkeys.related_origins(&origins))
}

fn cookie_policy(config: &Config, public_url: &PublicUrl) -> CookiePolicy {
    CookiePolicy {
        secure: public_url.is_https,
        domain: config.cookie_domain.clone(),
        name_prefix: config.cookie_name_prefix.clone(),
        base_path: public_url.base_path.clone(),
    }
}

fn base_path_and_cookie_names(public_url: &PublicUrl, cookies: &CookiePolicy) -> BasePathAndCookieNames {
    BasePathAndCookieNames {
        base_path: public_url.base_path.clone(),
        session_cookie: cookies.name(session::COOKIE),
        access_token_cookie: cookies.name(jwt::ACCESS_COOKIE),
        refresh_token_cookie: cookies.name(jwt::REFRESH_COOKIE),
    }
}

fn issuer_audience(config: &Config, public_url: &PublicUrl) -> IssuerAudience {
    let issuer = config.jwt.issuer.clone().unwrap_or_else(|| public_url.url.clone());
    let audience = match &config.jwt.audience[..] {
        [] => vec![public_url.url.clone()],
        named => named.to_vec(),
    };
    IssuerAudience { issuer, audience: audience.into(), client_id: config.jwt.client_id.clone() }
}
