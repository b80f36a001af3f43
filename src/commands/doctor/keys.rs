//! Signing keys: whether this node could sign with them, and what it would do about them.

use super::Finding;
use crate::audit::Trail;
use crate::clock::Clock;
use crate::config::{Config, JwtAlgorithm};
use crate::crypto::AppSecret;
use crate::database::{self, Pools};
use crate::jwt::{KeyState, Keys, KeysError, StartupPlan};

pub(super) async fn check(config: &Config, pools: &Pools, clock: &Clock) -> Vec<Finding> {
    match inspect(config, pools, clock).await {
        Ok(findings) => findings,
        Err(error @ KeysError::Database(_)) => {
            vec![Finding::skipped("signing keys", format!("They can't be read: {error}"))]
        }
        Err(error) => vec![Finding::problem(
            "This node can't sign, and does not start.",
            // It says what to do.
            error.to_string(),
        )],
    }
}

async fn inspect(config: &Config, pools: &Pools, clock: &Clock) -> Result<Vec<Finding>, KeysError> {
    let made_here = database::made_app_secret(&pools.requests).await?;
    let Some(secret) = config.app_secret.clone().or_else(|| made_here.clone()) else {
        return Ok(vec![without_secret(config, pools, clock).await?]);
    };
    let open = |secret: &AppSecret| keys(config, pools, secret, clock);
    let keys = open(&secret)?;
    let outlook = match (keys.startup_plan().await, &made_here) {
        // What a start does, which takes the one that is set in the place of the one that was made.
        (Err(KeysError::OtherSecret), Some(made_here)) if config.app_secret.is_some() => {
            let outlook = open(&secret.replacing(made_here))?.startup_plan().await?;
            return Ok(vec![
                Finding::warning(
                    "APP_SECRET is not in force yet: the one in the database is.",
                    "It takes that one's place at the next start. Everybody who is signed in by cookie or by refresh token \
                     signs in again then.",
                ),
                startup_finding(outlook, config, &keys).await?,
            ]);
        }
        (outlook, _) => outlook?,
    };
    Ok(vec![startup_finding(outlook, config, &keys).await?])
}

/// To be looked at only: nothing is told to the trail.
fn keys(config: &Config, pools: &Pools, secret: &AppSecret, clock: &Clock) -> Result<Keys, KeysError> {
    let trail = Trail::new(pools.upkeep.clone(), clock.clone());
    Keys::new(config, pools.upkeep.clone(), secret, clock.clone(), trail)
}

/// No secret is set, and none was made.
async fn without_secret(config: &Config, pools: &Pools, clock: &Clock) -> Result<Finding, KeysError> {
    let keys = keys(config, pools, &AppSecret::generate(), clock)?;
    match keys.list().await?.is_empty() {
        true => Ok(Finding::ok("signing keys are made at the first start")),
        false => Ok(Finding::problem(
            "APP_SECRET is not set, and the signing keys are sealed under one that was.",
            "Set APP_SECRET to the one that the service ran with.",
        )),
    }
}

async fn startup_finding(outlook: StartupPlan, config: &Config, keys: &Keys) -> Result<Finding, KeysError> {
    let listed = keys.list().await?;
    let active = listed.iter().find(|key| key.state == KeyState::Active);
    let active = active.map_or("none", |key| key.algorithm.as_str());
    let own = JwtAlgorithm::as_str(config.jwt.algorithm);
    Ok(match outlook {
        StartupPlan::MakeFirst => Finding::ok("signing keys are made at the first start"),
        StartupPlan::Nothing => {
            Finding::ok(format!("access tokens are signed by {active}, and this secret opens the keys"))
        }
        StartupPlan::Change if config.jwt.key_file.is_some() => Finding::warning(
            "The key in JWT_KEY_FILE is not the one that signs now, or its second one is not the next.",
            "It takes effect when the service starts. Give every node the same file.",
        ),
        StartupPlan::Change if active == own => Finding::warning(
            "A key that is kept elsewhere signs now, or there is no next one.",
            "Started like this, the service makes keys of its own. Is JWT_KEY_FILE missing here?",
        ),
        StartupPlan::Change => Finding::warning(
            format!("JWT_ALGORITHM={own}, and access tokens are signed by {active} now."),
            "It takes effect when the service starts; until every node has it, both sign. docs/operations.md has more.",
        ),
    })
}
