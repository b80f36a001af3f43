//! Prepares at startup what is encrypted under APP_SECRET: the signing keys, and the secrets of authenticators.

use crate::clock::Clock;
use crate::config::Config;
use crate::database;
use crate::factors::totp;
use crate::jwt::{Keys, KeysError};

use super::{PostgresStorage, StartError};

/// Ensures that there are signing keys. An APP_SECRET that is set for the first time replaces the generated one: the
/// signing keys and the secrets of authenticators are encrypted again under the new secret, and the generated one is deleted.
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
    // As long as the secret of before is at hand.
    let secret =
        generated_secret.iter().fold(secret.clone(), |secret, generated| secret.replacing(generated));
    if secret.has_previous() {
        totp::reseal_all(pool, &secret).await?;
    }
    if generated_secret.is_some() {
        database::forget_app_secret(pool).await?;
    }
    Ok(())
}
