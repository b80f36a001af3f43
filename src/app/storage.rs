//! The database, the private Postgres that may have been started for it, and what is kept in it.

use secrecy::SecretString;

use crate::audit::Trail;
use crate::clients::Clients;
use crate::clock::Clock;
use crate::config::Config;
use crate::crypto::AppSecret;
use crate::database::{self, DirectUrl, Endpoints, OpenError, Pools};
use crate::jwt::{Keys, KeysError};
use crate::logins::Logins;
use crate::users::{Accounts, PasswordError, PasswordHasher, ThreadPriority};
use dualauth_postgres::PrivatePostgres;

use super::StartError;

/// The database of the service, and the Postgres that was started for it, if any.
pub struct Storage {
    /// Connections to it.
    pub pools: Pools,
    /// The audit trail in it.
    pub trail: Trail,
    private: Option<PrivatePostgres>,
}

impl Storage {
    /// Opens the database that the settings name, or the private one, for a command, and brings its schema up to date.
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

    fn new(pools: Pools, private: Option<PrivatePostgres>, clock: &Clock) -> Self {
        let trail = Trail::new(pools.upkeep.clone(), clock.clone());
        Self { pools, trail, private }
    }

    /// Of a database that is never asked: enough to say which routes there are.
    ///
    /// # Errors
    /// Never in practice: its address can be read.
    pub(super) fn nowhere(config: &Config) -> Result<Self, OpenError> {
        let ways = Endpoints::direct_to(&"postgres://nowhere".into(), database::NODE)?;
        let pools = Pools::new(ways, config.database_max_connections);
        Ok(Self::new(pools, None, &Clock::system()))
    }

    /// The accounts in it.
    ///
    /// # Errors
    /// When the machine gives no thread to compute hashes.
    pub fn accounts(
        &self,
        config: &Config,
        clock: &Clock,
        niceness: ThreadPriority,
    ) -> Result<Accounts, PasswordError> {
        let hasher = PasswordHasher::new(&config.passwords, niceness)?;
        let (pool, clock, trail) = (self.pools.requests.clone(), clock.clone(), self.trail.clone());
        Ok(Accounts::new(pool, hasher, config.passwords.min_length, clock, trail))
    }

    /// The signing keys in it, sealed under this secret.
    ///
    /// # Errors
    /// When `JWT_KEY_FILE` has none.
    pub fn keys(&self, config: &Config, secret: &AppSecret, clock: &Clock) -> Result<Keys, KeysError> {
        Keys::new(config, self.pools.upkeep.clone(), secret, clock.clone(), self.trail.clone())
    }

    /// The logins in it.
    pub fn logins(&self, config: &Config, clock: &Clock) -> Logins {
        let (clock, trail) = (clock.clone(), self.trail.clone());
        Logins::new(self.pools.clone(), config.lifetimes, config.directory, clock, trail)
    }

    /// The registered clients in it, kept up to date by whoever follows the feed of these logins.
    pub fn clients(&self, logins: Logins, clock: &Clock) -> Clients {
        Clients::new(self.pools.clone(), logins, clock.clone(), self.trail.clone())
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
