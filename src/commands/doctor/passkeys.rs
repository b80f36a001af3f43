//! Doctor: checks where passkeys may be used, and whether those that are stored still can be.

use url::Url;

use super::Finding;
use crate::config::Config;
use crate::database::ConnectionPool;
use crate::factors::passkey::count_by_rp_id;

/// Checks `PASSKEY_RP_ID` and `PASSKEY_ORIGINS`.
pub(super) fn check(config: &Config) -> Vec<Finding> {
    let Some(rp_id) = &config.passkeys.rp_id else {
        return vec![Finding::ok(
            "there are no passkeys: PUBLIC_URL's host is an IP address, where browsers have none",
        )];
    };
    let mut findings = vec![Finding::ok(format!("passkeys belong to {rp_id}"))];
    findings.extend(own_origin(config));
    findings.extend(related_origins(config, rp_id));
    findings
}

/// `PUBLIC_URL`'s own pages can't use passkeys unless its origin is named.
fn own_origin(config: &Config) -> Option<Finding> {
    let own = config.public_url.as_ref()?.origin().ascii_serialization();
    let origins = &config.passkeys.origins;
    (!origins.is_empty() && !origins.contains(&own)).then(|| {
        Finding::warning(
            format!("PASSKEY_ORIGINS does not have {own}: passkeys of pages at PUBLIC_URL are refused."),
            "Add it, unless users sign in on other pages only.",
        )
    })
}

/// Browsers ask the RP ID's host which other domains may use its passkeys.
fn related_origins(config: &Config, rp_id: &str) -> Option<Finding> {
    let related = config.passkeys.related_origins(&config.passkeys.origins);
    let host = config.public_url.as_ref().and_then(Url::host_str);
    (!related.is_empty() && host != Some(rp_id)).then(|| {
        Finding::warning(
            format!(
                "PASSKEY_ORIGINS has {}, of another domain than {rp_id}: browsers ask https://{rp_id}/.well-known/webauthn whether \
                 that is allowed, and PUBLIC_URL is elsewhere.",
                related.join(", ")
            ),
            format!("Let {rp_id} forward that path to this service."),
        )
    })
}

/// Passkeys that no browser offers any more, since the RP ID has changed.
pub(super) async fn check_stored(config: &Config, pool: &ConnectionPool) -> Option<Finding> {
    let counts = match count_by_rp_id(pool).await {
        Ok(counts) => counts,
        Err(error) => {
            return Some(Finding::skipped("stored passkeys", format!("They can't be counted: {error}")));
        }
    };
    let others = counts.into_iter().filter(|(rp_id, _)| Some(rp_id) != config.passkeys.rp_id.as_ref());
    let others: Vec<_> = others.map(|(rp_id, count)| format!("{rp_id} ({count})")).collect();
    (!others.is_empty()).then(|| {
        Finding::warning(
            format!("There are passkeys under another RP ID, which can't be used: {}.", others.join(", ")),
            "Set PASSKEY_RP_ID to that one if its users are to sign in with them; else they have to register others.",
        )
    })
}
