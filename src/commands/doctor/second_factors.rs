//! Doctor: checks that what accounts have as second factors can be used.

use super::Finding;
use crate::config::Config;
use crate::database::{self, ConnectionPool, DatabaseError};
use crate::factors::administration::count_two_step_without_factor;
use crate::factors::totp::{SecretCounts, count_secrets};

const RESET: &str =
    "`dualauth user factors reset NAME` lets such a user sign in with the password alone, and enrol anew.";

pub(super) async fn check(config: &Config, pool: &ConnectionPool) -> Vec<Finding> {
    match find(config, pool).await {
        Ok(findings) => findings,
        Err(error) => {
            vec![Finding::skipped("second factors", format!("They can't be read: {error}"))]
        }
    }
}

async fn find(config: &Config, pool: &ConnectionPool) -> Result<Vec<Finding>, DatabaseError> {
    let generated = database::made_app_secret(pool).await?;
    let secret = match (config.app_secret.clone(), generated) {
        // As at a start, which seals them anew under the configured one.
        (Some(secret), Some(generated)) => Some(secret.replacing(&generated)),
        (secret, generated) => secret.or(generated),
    };
    let mut findings = Vec::new();
    if let Some(secret) = secret {
        findings.extend(sealed(count_secrets(pool, &secret).await?));
    }
    let without = count_two_step_without_factor(pool, config.passkeys.rp_id.as_deref()).await?;
    if without > 0 {
        findings.push(Finding::problem(
            format!(
                "Accounts with two-step sign-in that have no second factor which can be used, so nobody can sign in to them: {without}."
            ),
            RESET,
        ));
    }
    Ok(findings)
}

fn sealed(counts: SecretCounts) -> Option<Finding> {
    let SecretCounts { all, unreadable, under_previous } = counts;
    if unreadable > 0 {
        return Some(Finding::problem(
            format!(
                "APP_SECRET does not open the secrets of {unreadable} of {all} authenticators (TOTP): their codes are refused."
            ),
            format!(
                "Set APP_SECRET_PREVIOUS to the secret of before. If it is lost: recovery codes still work; {RESET}"
            ),
        ));
    }
    (under_previous > 0).then(|| {
        Finding::warning(
            format!("The secrets of {under_previous} of {all} authenticators (TOTP) are still sealed under the previous secret."),
            "The next start of a node with these settings seals them anew. Keep APP_SECRET_PREVIOUS until then.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn what_can_not_be_read_is_worse_than_what_is_yet_to_be_sealed_anew() {
        for (unreadable, under_previous, level) in [
            (0, 0, None),
            (0, 2, Some(Level::Warning)),
            (1, 0, Some(Level::Problem)),
            (1, 2, Some(Level::Problem)),
        ] {
            let found = sealed(SecretCounts { all: 3, unreadable, under_previous });
            assert_eq!(found.map(|finding| finding.level), level);
        }
    }
}
