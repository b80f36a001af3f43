//! APP_SECRET as it is in force when the service starts, and the signing keys that are sealed under it.

use crate::clock::Clock;
use crate::config::Config;
use crate::crypto::AppSecret;
use crate::database::{self, ConnectionPool};
use crate::jwt::{Keys, KeysError};

use super::{StartError, Storage};

/// The one that is set, or else the one that is kept in the database: it is made there at the first start.
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
    let done = if is_new { "one was made" } else { "the one made earlier is used" };
    tracing::warn!(
        "APP_SECRET is not set: {done}, kept in the database. Whoever reads the database can sign in as anybody."
    );
    Ok(secret)
}

/// Sees to it that there are keys to sign with. An APP_SECRET that is set for the first time takes the place of the one
/// that was made here: keys are sealed anew, and that one is forgotten.
pub(super) async fn prepare_keys(
    storage: &Storage,
    config: &Config,
    keys: &Keys,
    clock: &Clock,
) -> Result<(), StartError> {
    let pool = &storage.pools.requests;
    let Some(secret) = &config.app_secret else { return Ok(keys.prepare().await?) };
    let made_here = database::made_app_secret(pool).await?;
    match (keys.prepare().await, &made_here) {
        (Err(KeysError::OtherSecret), Some(made_here)) => {
            let secret = secret.clone().replacing(made_here);
            storage.keys(config, &secret, clock)?.prepare().await?;
            keys.prepare().await?;
        }
        (prepared, _) => prepared?,
    }
    if made_here.is_some() {
        database::forget_app_secret(pool).await?;
    }
    Ok(())
}
