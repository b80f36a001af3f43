//! Doctor: checks that this node can use the signing keys, and what a start would change about them.

use super::Finding;
use crate::audit::Trail;
use crate::clock::Clock;
use crate::config::{Config, JwtAlgorithm};
use crate::crypto::AppSecret;
use crate::database::{self, RequestAndBackgroundPools};
use crate::jwt::{KeyState, Keys, KeysError, StartupKeyChange};

pub(super) async fn check(config: &Config, pools: &RequestAndBackgroundPools, clock: &Clock) -> Vec<Finding> {
    match inspect(config, pools, clock).await {
        Ok(findings) => findings,
        Err(error @ KeysError::Database(_)) => {
            vec![Finding::skipped("signing keys", format!("They can't be read: {error}"))]
        }
        Err(error) => vec![Finding::problem(
            "This node can't sign access tokens, so the service does not start.",
            // The error's text contains the advice.
            error.to_string(),
        )],
    }
}

async fn inspect(
    config: &Config,
    pools: &RequestAndBackgroundPools,
    clock: &Clock,
) -> Result<Vec<Finding>, KeysError> {
    let generated_secret = database::made_app_secret(&pools.requests).await?;
    let Some(secret) = config.app_secret.clone().or_else(|| generated_secret.clone()) else {
        return Ok(vec![without_secret(config, pools, clock).await?]);
    };
    let keys_under = |secret: &AppSecret| keys(config, pools, secret, clock);
    let keys = keys_under(&secret)?;
    let plan = match (keys.startup_key_change().await, &generated_secret) {
        // As at a start, which replaces the generated secret by the configured one.
        (Err(KeysError::OtherSecret), Some(generated_secret)) if config.app_secret.is_some() => {
            let plan = keys_under(&secret.replacing(generated_secret))?.startup_key_change().await?;
            return Ok(vec![
                Finding::warning(
                    "APP_SECRET is set, but the service still uses the generated one from the database.",
                    "The next start switches over to APP_SECRET, which signs out every user with a session cookie or a \
                     refresh token.",
                ),
                startup_finding(plan, config, &keys).await?,
            ]);
        }
        (plan, _) => plan?,
    };
    Ok(vec![startup_finding(plan, config, &keys).await?])
}

/// The signing keys, for reading only: nothing is recorded in the audit trail.
fn keys(
    config: &Config,
    pools: &RequestAndBackgroundPools,
    secret: &AppSecret,
    clock: &Clock,
) -> Result<Keys, KeysError> {
    let trail = Trail::new(pools.upkeep.clone(), clock.clone());
    Keys::new(config, pools.upkeep.clone(), secret, clock.clone(), trail)
}

/// The finding if APP_SECRET is neither set nor generated.
async fn without_secret(
    config: &Config,
    pools: &RequestAndBackgroundPools,
    clock: &Clock,
) -> Result<Finding, KeysError> {
    let keys = keys(config, pools, &AppSecret::generate(), clock)?;
    match keys.list().await?.is_empty() {
        true => Ok(Finding::ok("signing keys will be generated at the first start")),
        false => Ok(Finding::problem(
            "APP_SECRET is not set, but the signing keys are encrypted under one.",
            "Set APP_SECRET to the value that the service used before.",
        )),
    }
}

async fn startup_finding(plan: StartupKeyChange, config: &Config, keys: &Keys) -> Result<Finding, KeysError> {
    let listed = keys.list().await?;
    let active = listed.iter().find(|key| key.state == KeyState::Active);
    let active = active.map_or("none", |key| key.algorithm.as_str());
    let own = JwtAlgorithm::as_str(config.jwt.algorithm);
    Ok(match plan {
        StartupKeyChange::MakeFirst => Finding::ok("signing keys will be generated at the first start"),
        StartupKeyChange::Nothing => {
            Finding::ok(format!("access tokens are signed with {active}, and APP_SECRET decrypts the keys"))
        }
        StartupKeyChange::Change if config.jwt.key_file.is_some() => Finding::warning(
            "The first key in JWT_KEY_FILE is not the active one, or its second key is not the next one.",
            "It takes effect when the service starts. Give every node the same file.",
        ),
        StartupKeyChange::Change if active == own => Finding::warning(
            "The active key comes from a key file, or there is no next key.",
            "With these settings a start generates new keys. Is JWT_KEY_FILE missing here?",
        ),
        StartupKeyChange::Change => Finding::warning(
            format!("JWT_ALGORITHM={own}, but access tokens are currently signed with {active}."),
            "It takes effect when the service starts; until every node is restarted, both are in use. See docs/operations.md.",
        ),
    })
}
