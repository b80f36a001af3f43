//! The secrets of all authenticators, when APP_SECRET has changed: sealed anew, and those that can't be read any more counted.

use uuid::Uuid;

use crate::crypto::{AppSecret, Sealer};
use crate::database::{ConnectionPool, DatabaseError};

use super::{SEALING_PURPOSE, store};

/// Secrets that are read at a time.
const BATCH: i64 = 500;

/// An authenticator, and its secret as it is stored.
pub(super) struct StoredSecret {
    pub(super) user_id: Uuid,
    pub(super) id: Uuid,
    pub(super) secret: Vec<u8>,
}

/// How many secrets there are, and how many of them this secret opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecretCounts {
    /// All.
    pub all: usize,
    /// Sealed under another secret: no code of theirs is right any more.
    pub unreadable: usize,
    /// Sealed under `APP_SECRET_PREVIOUS`.
    pub under_previous: usize,
}

/// Seals under the current secret what is sealed under the previous one. A node that accepts both may do so while others run.
///
/// # Errors
/// If a query fails.
///
/// # Panics
/// When the system's random number generator fails.
#[expect(clippy::expect_used, reason = "nothing can be sealed without randomness, whatever the caller did")]
pub async fn reseal_all(pool: &ConnectionPool, secret: &AppSecret) -> Result<(), DatabaseError> {
    let sealer = Sealer::derive(secret, SEALING_PURPOSE);
    let mut last = Uuid::nil();
    loop {
        let batch = store::secrets_after(pool, last, BATCH).await?;
        let Some(end) = batch.last() else { return Ok(()) };
        last = end.user_id;
        for stored in batch {
            let name = stored.id.to_string();
            let unsealed = sealer.unseal(&name, &stored.secret);
            let Some(unsealed) = unsealed.filter(|unsealed| unsealed.is_sealed_under_previous) else {
                continue;
            };
            let sealed = sealer.seal(&name, &unsealed.secret).expect("the random number generator works");
            store::replace_secret(pool, stored.id, &stored.secret, &sealed).await?;
        }
    }
}

/// Counts the secrets by the APP_SECRET that they are sealed under.
///
/// # Errors
/// If a query fails.
pub async fn count_secrets(pool: &ConnectionPool, secret: &AppSecret) -> Result<SecretCounts, DatabaseError> {
    let sealer = Sealer::derive(secret, SEALING_PURPOSE);
    let (mut counts, mut last) = (SecretCounts::default(), Uuid::nil());
    loop {
        let batch = store::secrets_after(pool, last, BATCH).await?;
        let Some(end) = batch.last() else { return Ok(counts) };
        last = end.user_id;
        counts.all += batch.len();
        for stored in batch {
            match sealer.unseal(&stored.id.to_string(), &stored.secret) {
                None => counts.unreadable += 1,
                Some(unsealed) if unsealed.is_sealed_under_previous => counts.under_previous += 1,
                Some(_) => {}
            }
        }
    }
}
