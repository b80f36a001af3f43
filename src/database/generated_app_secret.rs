//! The generated `APP_SECRET`: created when none is set, and stored in the database.

use crate::clock::Clock;
use crate::crypto::AppSecret;

use super::error::{DatabaseError, answer};
use super::pool::ConnectionPool;

/// Returns the stored secret of this database, or generates and stores one; the flag tells whether it is new. `None`
/// when the database's signing keys are sealed under a secret that was set before: a new one could unseal none of
/// them.
///
/// # Errors
/// When the database gives no answer.
pub async fn make_app_secret(
    pool: &ConnectionPool,
    clock: &Clock,
) -> Result<Option<(AppSecret, bool)>, DatabaseError> {
    if let Some(secret) = made_app_secret(pool).await? {
        return Ok(Some((secret, false)));
    }
    // Two nodes may start at once: the stored one wins, and both read it.
    let new = AppSecret::generate();
    let made = sqlx::query!(
        "insert into dualauth.secrets (name, value, created_at) select 'app_secret', $1, $2
         where not exists (select from dualauth.signing_keys where private_key is not null) on conflict do nothing",
        new.reveal(),
        clock.now(),
    );
    let is_new = answer(made.execute(pool)).await?.rows_affected() == 1;
    Ok(made_app_secret(pool).await?.map(|secret| (secret, is_new)))
}

/// The stored secret of this database, if there is one.
///
/// # Errors
/// When the database gives no answer.
pub async fn made_app_secret(pool: &ConnectionPool) -> Result<Option<AppSecret>, DatabaseError> {
    let stored = sqlx::query_scalar!("select value from dualauth.secrets where name = 'app_secret'");
    let Some(stored) = answer(stored.fetch_optional(pool)).await? else { return Ok(None) };
    let too_short = || sqlx::Error::Decode("the stored secret is too short".into());
    Ok(Some(AppSecret::new(stored).ok_or_else(too_short)?))
}

/// Deletes the stored secret.
///
/// # Errors
/// When the database gives no answer.
pub async fn forget_app_secret(pool: &ConnectionPool) -> Result<(), DatabaseError> {
    let delete = sqlx::query!("delete from dualauth.secrets where name = 'app_secret'");
    answer(delete.execute(pool)).await.map(drop)
}
