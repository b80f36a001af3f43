//! Where APP_SECRET comes from: the settings, or else the database, which has a generated one.

use crate::clock::Clock;
use crate::config::Config;
use crate::crypto::AppSecret;
use crate::database::{self, ConnectionPool};

use super::StartError;

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
