//! APP_SECRET at startup: from the settings or generated in the database, and the signing keys encrypted under it.

use crate::clock::Clock;
use crate::config::Config;
use crate::crypto::AppSecret;
use crate::database::{self, ConnectionPool};
use crate::jwt::{Keys, KeysError};

use super::{PostgresStorage, StartError};

/// The APP_SECRET of the settings, or else the one in the database, which is generated at the first start.
pub(super) async fn app_secret(
    config: &Config,
    pool: &ConnectionPool,
    clock: &Clock,
) -> Result<AppSecret, StartError> {
    if let Some(secret) = &config.app_secret {
        return Ok(secret.clone());
    }
    let made = database::make_app_secret(pool, clock).await?;
    let (secret, is_new) = made.ok_or(StartError::NoSecret)?;
    let origin = if is_new { "a newly generated one" } else { "the one generated earlier" };
    tracing::warn!(
        "APP_SECRET is not set: using {origin}, stored in the database; anyone who can read the database can impersonate any user. Set APP_SECRET"
    );
    Ok(secret)
}

/// Ensures that there are signing keys. An APP_SECRET that is set for the first time replaces the generated one: the
/// signing keys are encrypted again under the new secret, and the generated one is deleted.
pub(super) async fn prepare_keys(
    storage: &PostgresStorage,
    config: &Config,
    keys: &Keys,
    clock: &Clock,
) -> Result<(), StartError> {
    let pool = &storage.pools.requests;
    let Some(secret) = &config.app_secret else { return Ok(keys.prepare().await?) };
    let generated_secret = database::made_app_secret(pool).await?;
    match (keys.prepare().await, &generated_secret) {
        (Err(KeysError::OtherSecret), Some(generated_secret)) => {
            let secret = secret.clone().replacing(generated_secret);
            storage.keys(config, &secret, clock)?.prepare().await?;
            keys.prepare().await?;
        }
        (prepared, _) => prepared?,
    }
    if generated_secret.is_some() {
        database::forget_app_secret(pool).await?;
    }
    Ok(())
}
