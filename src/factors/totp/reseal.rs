//! Seals authenticators' secrets anew after a change of `APP_SECRET`.

use uuid::Uuid;

use crate::crypto::{AppSecret, Sealer};
use crate::database::{ConnectionPool, DatabaseError};

use super::store;

/// What the key that seals authenticators' secrets is derived for.
const PURPOSE: &str = "totp secrets";

/// How many secrets are read at a time.
const BATCH: i64 = 1_000;

/// The sealer of authenticators' secrets.
pub(in crate::factors) fn sealer(secret: &AppSecret) -> Sealer {
    Sealer::derive(secret, PURPOSE)
}

/// Seals every secret anew that is sealed under the previous `APP_SECRET`. Without a previous one there is nothing to do.
///
/// # Errors
/// If a query fails.
pub async fn reseal_all(pool: &ConnectionPool, secret: &AppSecret) -> Result<(), DatabaseError> {
    if !secret.has_previous() {
        return Ok(());
    }
    let sealer = sealer(secret);
    let mut last = Uuid::nil();
    loop {
        let batch = store::sealed_secrets(pool, last, BATCH).await?;
        let Some((id, _)) = batch.last() else { return Ok(()) };
        last = *id;
        for (id, sealed) in &batch {
            reseal(pool, &sealer, *id, sealed).await?;
        }
    }
}

/// Seals a secret anew if it is sealed under the previous `APP_SECRET`.
async fn reseal(
    pool: &ConnectionPool,
    sealer: &Sealer,
    id: Uuid,
    sealed: &[u8],
) -> Result<(), DatabaseError> {
    let name = id.to_string();
    let dated = sealer.unseal(&name, sealed).filter(|unsealed| unsealed.is_sealed_under_previous);
    match dated.map(|dated| sealer.seal(&name, &dated.secret)) {
        Some(Ok(anew)) => store::reseal(pool, id, sealed, &anew).await,
        // No randomness: it is still good as it is.
        Some(Err(_)) | None => Ok(()),
    }
}
