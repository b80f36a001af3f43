//! Storage: the database's connection pools, the private Postgres if there is one, and the repositories on top.

use secrecy::SecretString;

use crate::audit::Trail;
use crate::clock::Clock;
use crate::config::Config;
use crate::crypto::AppSecret;
use crate::database::{self, DirectUrl, Endpoints, OpenError, Pools};
use crate::jwt::{Keys, KeysError};
use crate::users::{Accounts, PasswordError, PasswordHasher, ThreadPriority};
use dualauth_postgres::PrivatePostgres;

use super::StartError;

/// The service's database, and the private Postgres that was started for it, if any.
pub struct Storage {
    /// The connection pools.
    pub pools: Pools,
    private: Option<PrivatePostgres>,
}

impl Storage {
    /// Opens the configured database for a command, or else the private one, and migrates its schema.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn open(config: &Config) -> Result<Self, StartError> {
        Self::open_as(config, database::COMMAND).await
    }

    pub(super) async fn open_as(config: &Config, name: &str) -> Result<Self, StartError> {
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

    /// Pools that never connect, for building the route table and the OpenAPI document without a database.
    ///
    /// # Errors
    /// Never in practice: the URL is a constant that parses.
    pub(super) fn disconnected(config: &Config) -> Result<Self, OpenError> {
        let endpoints = Endpoints::direct_to(&"postgres://nowhere".into(), database::NODE)?;
        Ok(Self { pools: Pools::new(endpoints, config.database_max_connections), private: None })
    }

    /// The user accounts.
    ///
    /// # Errors
    /// If a hashing thread can't be started.
    pub fn accounts(
        &self,
        config: &Config,
        clock: &Clock,
        niceness: ThreadPriority,
    ) -> Result<Accounts, PasswordError> {
        let hasher = PasswordHasher::new(&config.passwords, niceness)?;
        Ok(Accounts::new(self.pools.requests.clone(), hasher, config.passwords.min_length, clock.clone()))
    }

    /// The signing keys, encrypted in the database under `secret`.
    ///
    /// # Errors
    /// If `JWT_KEY_FILE` contains no usable key.
    pub fn keys(&self, config: &Config, secret: &AppSecret, clock: &Clock) -> Result<Keys, KeysError> {
        Keys::new(config, self.pools.upkeep.clone(), secret, clock.clone())
    }

    /// The audit trail.
    pub fn trail(&self, clock: &Clock) -> Trail {
        Trail::new(self.pools.upkeep.clone(), clock.clone())
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
