//! The mails that wait to be sent, for operators.

use chrono::{DateTime, Utc};

use crate::crypto::AppSecret;
use crate::database::{ConnectionPool, DatabaseError};

use super::queue;
use super::seal::ContentSealer;

/// A mail that waits to be sent.
#[derive(Clone, Debug)]
pub struct WaitingMail {
    /// When it was queued.
    pub created_at: DateTime<Utc>,
    /// When it is tried next.
    pub send_at: DateTime<Utc>,
    /// It is not sent after that.
    pub expires_at: DateTime<Utc>,
    /// How often it was tried.
    pub tries: i16,
    /// The name of its message; `None`: it was sealed under another APP_SECRET, or by a later version.
    pub message: Option<&'static str>,
}

/// The mails that wait, oldest first, at most `most`.
///
/// # Errors
/// When the query fails.
pub async fn waiting(
    pool: &ConnectionPool,
    secret: &AppSecret,
    most: i64,
) -> Result<Vec<WaitingMail>, DatabaseError> {
    let sealer = ContentSealer::new(secret);
    let queued = queue::list(pool, most).await?;
    Ok(queued
        .into_iter()
        .map(|queued| WaitingMail {
            created_at: queued.created_at,
            send_at: queued.send_at,
            expires_at: queued.expires_at,
            tries: queued.tries,
            message: sealer.open(queued.id, &queued.content).map(|mail| mail.message.name()),
        })
        .collect())
}
