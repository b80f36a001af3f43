//! PostgresStorage: the database's connection pools, the private Postgres if there is one, and the repositories on top.

use std::sync::Arc;

use secrecy::SecretString;

use crate::audit::Trail;
use crate::clients::Clients;
use crate::clock::Clock;
use crate::config::Config;
use crate::crypto::AppSecret;
use crate::custom_tokens::CustomTokens;
use crate::database::{self, DirectUrl, OpenError, RequestAndBackgroundPools, UsualAndDirectRoutes};
use crate::factors::administration::FactorAdministration;
use crate::jwt::{Keys, KeysError};
use crate::logins::Logins;
use crate::mail::Mails;
use crate::users::{Accounts, PasswordError, PasswordHasher, ThreadPriority};
use dualauth_postgres::PrivatePostgres;

use super::StartError;

/// The service's database, and the private Postgres that was started for it, if any.
pub struct PostgresStorage {
    /// The connection pools.
    pub pools: RequestAndBackgroundPools,
    /// The audit trail.
    pub trail: Trail,
    private: Option<PrivatePostgres>,
}

impl PostgresStorage {
    /// Opens the configured database for a command, or else the private one, and migrates its schema.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn open(config: &Config) -> Result<Self, StartError> {
        Self::open_as(config, database::COMMAND, &Clock::system()).await
    }

    pub(super) async fn open_as(config: &Config, name: &str, clock: &Clock) -> Result<Self, StartError> {
        let most = config.database_max_connections;
        if let Some(url) = &config.database_url {
            let pools = database::open(url, &config.database_direct_url, most, name).await?;
            return Ok(Self::new(pools, None, clock));
        }
        let private = PrivatePostgres::start(&config.data_folder, &[]).await?;
        let url = SecretString::from(private.url());
        let pools = database::open(&url, &DirectUrl::Usual, most, name).await?;
        Ok(Self::new(pools, Some(private), clock))
    }

    fn new(pools: RequestAndBackgroundPools, private: Option<PrivatePostgres>, clock: &Clock) -> Self {
        let trail = Trail::new(pools.upkeep.clone(), clock.clone());
        Self { pools, trail, private }
    }

    /// RequestAndBackgroundPools that never connect, for building the route table and the OpenAPI document without a database.
    ///
    /// # Errors
    /// Never in practice: the URL is a constant that parses.
    pub(super) fn disconnected(config: &Config) -> Result<Self, OpenError> {
        let routes = UsualAndDirectRoutes::direct_to(&"postgres://nowhere".into(), database::NODE)?;
        let pools = RequestAndBackgroundPools::new(routes, config.database_max_connections);
        Ok(Self::new(pools, None, &Clock::system()))
    }

    /// The user accounts.
    ///
    /// # Errors
    /// If a hashing thread can't be started.
    pub fn accounts(
        &self,
        config: &Config,
        clock: &Clock,
        mails: Arc<Mails>,
        niceness: ThreadPriority,
    ) -> Result<Accounts, PasswordError> {
        let hasher = PasswordHasher::new(&config.passwords, niceness)?;
        let (pool, clock, trail) = (self.pools.requests.clone(), clock.clone(), self.trail.clone());
        Ok(Accounts::new(pool, hasher, config.passwords.min_length, clock, mails, trail))
    }

    /// What operators do with the factors of accounts.
    pub fn factor_administration(&self, clock: &Clock, mails: Arc<Mails>) -> FactorAdministration {
        FactorAdministration::new(self.pools.requests.clone(), mails, clock.clone(), self.trail.clone())
    }

    /// The signing keys, encrypted in the database under `secret`.
    ///
    /// # Errors
    /// If `JWT_KEY_FILE` contains no usable key.
    pub fn keys(&self, config: &Config, secret: &AppSecret, clock: &Clock) -> Result<Keys, KeysError> {
        Keys::new(config, self.pools.upkeep.clone(), secret, clock.clone(), self.trail.clone())
    }

    /// The logins.
    pub fn logins(&self, config: &Config, clock: &Clock) -> Logins {
        let (clock, trail) = (clock.clone(), self.trail.clone());
        Logins::new(self.pools.clone(), config.lifetimes, config.login_memory, clock, trail)
    }

    /// The registered OAuth clients. They are reloaded by the revocation feed of `logins`, if it is running.
    pub fn clients(&self, logins: Logins, clock: &Clock) -> Clients {
        Clients::new(self.pools.clone(), logins, clock.clone(), self.trail.clone())
    }

    /// The registered clients' custom tokens.
    pub fn custom_tokens(&self, clock: &Clock) -> CustomTokens {
        CustomTokens::new(self.pools.requests.clone(), clock.clone(), self.trail.clone())
    }

    /// The current APP_SECRET, for commands, which never generate one.
    ///
    /// # Errors
    /// If a query fails, or there is no secret yet.
    pub async fn app_secret(&self, config: &Config) -> Result<AppSecret, StartError> {
        match &config.app_secret {
            Some(secret) => Ok(secret.clone()),
            None => database::made_app_secret(&self.pools.requests).await?.ok_or(StartError::NoSecret),
        }
    }

    /// The mails, for commands: notices that the running nodes send. Off as long as there is no APP_SECRET.
    ///
    /// # Errors
    /// If a query fails.
    pub async fn mails(&self, config: &Config, clock: &Clock) -> Result<Mails, StartError> {
        match self.app_secret(config).await {
            Ok(secret) => Ok(Mails::new(super::mail_delivery(config)?, &secret, clock.clone())),
            Err(StartError::NoSecret) => Ok(Mails::new(None, &AppSecret::generate(), clock.clone())),
            Err(error) => Err(error),
        }
    }

    /// The URL of the private Postgres, for inspection by the operator.
    pub fn private_url(&self) -> Option<String> {
        self.private.as_ref().map(PrivatePostgres::url)
    }

    /// Closes the connections, and stops the private Postgres.
    pub async fn close(self) {
        self.pools.close().await;
        if let Some(private) = self.private {
            private.stop().await;
        }
    }
}
