//! Sends queued mails, one at a time: a node that is killed loses none, and at most one comes twice.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::{sleep, timeout};

use crate::audit::{Actor, Kind, NewEvent, Trail};
use crate::clock::Clock;
use crate::database::{ConnectionPool, DatabaseError};
use crate::metrics::Metrics;
use crate::upkeep;

use super::delivery::Delivery;
use super::queue::{self, QueuedMail};
use super::transport::DeliveryError;
use super::{Mail, Mails};

/// Time between two looks at the queue. A node that queues a mail itself looks at once.
const INTERVAL: Duration = Duration::from_secs(1);

/// Time limit for one mail. A server may look through it before it answers.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a mail that was taken is no other node's: a little longer than it may take.
const LEASE: Duration = Duration::from_secs(90);

/// Pauses before a mail is tried again: they double from the first to the longest.
const MAIL_PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));

/// Pauses of this node after the server could not be used at all.
const SERVER_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How long a shutdown waits for the mail that is being sent.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum number of rows that one statement of the sweep deletes.
const SWEEP_BATCH: i64 = 1_000;

/// How long the quota of an address looks back.
const QUOTA_PERIOD: chrono::Duration = chrono::Duration::hours(1);

/// Sends the mails of all nodes.
#[derive(Clone)]
pub struct MailSender {
    mails: Arc<Mails>,
    pool: ConnectionPool,
    clock: Clock,
    trail: Trail,
    metrics: Metrics,
    /// Held while a mail is taken and sent.
    sending: Arc<tokio::sync::Mutex<()>>,
}

impl std::fmt::Debug for MailSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MailSender").finish_non_exhaustive()
    }
}

/// Why a round ended before the queue was empty.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Server(#[from] DeliveryError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl MailSender {
    /// A sender of these mails.
    pub fn new(
        mails: Arc<Mails>,
        pool: ConnectionPool,
        clock: Clock,
        trail: Trail,
        metrics: Metrics,
    ) -> Self {
        Self { mails, pool, clock, trail, metrics, sending: Arc::default() }
    }

    /// Sends for as long as it is polled. Does nothing while mails are off.
    pub async fn run(self) {
        let Some(delivery) = &self.mails.delivery else { return std::future::pending().await };
        let mut pause = SERVER_PAUSES.0;
        loop {
            match self.send_due(delivery).await {
                Ok(()) => {
                    pause = SERVER_PAUSES.0;
                    let _ = timeout(INTERVAL, self.mails.queued.notified()).await;
                }
                Err(RoundError::Database(error)) => {
                    tracing::warn!(%error, "the queue of mails can't be read; will retry");
                    sleep(INTERVAL).await;
                }
                Err(RoundError::Server(error)) => {
                    self.metrics.mail(error.outcome());
                    tracing::warn!(%error, seconds = pause.as_secs(), "mails can't be sent; will retry");
                    sleep(pause).await;
                    pause = (pause * 2).min(SERVER_PAUSES.1);
                }
            }
        }
    }

    /// Sends until none is due.
    async fn send_due(&self, delivery: &Delivery) -> Result<(), RoundError> {
        let state = queue::look(&self.pool, self.clock.now()).await?;
        self.mails.set_oldest(state.oldest);
        if !state.is_due {
            return Ok(());
        }
        delivery.connect().await?;
        while self.send_one(delivery).await? {
            // The server may have ended the connection with the last one.
            delivery.connect().await?;
        }
        delivery.disconnect().await;
        Ok(())
    }

    /// Takes and sends one mail. False: none is due.
    async fn send_one(&self, delivery: &Delivery) -> Result<bool, RoundError> {
        let _sending = self.sending.lock().await;
        let now = self.clock.now();
        let Some(queued) = queue::take(&self.pool, now, now + LEASE).await? else { return Ok(false) };
        match self.mails.open(&queued) {
            // By a node of a later version, or with another APP_SECRET: such a node may send it.
            None => {
                self.metrics.mail("unreadable");
                tracing::warn!(id = %queued.id, "a mail can't be read with this APP_SECRET by this version");
                queue::put_off(&self.pool, queued.id, now + pause_after(queued.tries)).await?;
            }
            Some(Mail { to: None, .. }) => queue::delete(&self.pool, queued.id).await?,
            Some(mail) => {
                let to = mail.to.clone().unwrap_or_default();
                let limit = (mail.expires_at - now).to_std().unwrap_or_default().min(SEND_TIMEOUT);
                let outcome = delivery.send(queued.id, &to, &mail, now, limit).await;
                self.settle(&queued, &mail, outcome.map(drop)).await?;
            }
        }
        Ok(true)
    }

    /// Writes down how it went.
    async fn settle(
        &self,
        queued: &QueuedMail,
        mail: &Mail,
        outcome: Result<(), DeliveryError>,
    ) -> Result<(), RoundError> {
        let (id, message) = (queued.id, mail.message.name());
        match outcome {
            Ok(()) => {
                self.metrics.mail("sent");
                tracing::debug!(%id, message, "mail sent");
                queue::delete(&self.pool, id).await?;
            }
            Err(error) if error.is_of_server() => {
                queue::put_off(&self.pool, id, self.clock.now()).await?;
                return Err(error.into());
            }
            Err(DeliveryError::Refused { status, .. }) => {
                self.metrics.mail("refused");
                self.record_failure(Some(mail), "refused", status);
                queue::delete(&self.pool, id).await?;
            }
            Err(error) => {
                self.metrics.mail(error.outcome());
                tracing::info!(%id, message, outcome = error.outcome(), "mail not sent yet; will retry");
                queue::put_off(&self.pool, id, self.clock.now() + pause_after(queued.tries)).await?;
            }
        }
        Ok(())
    }

    /// Tells the audit trail that a mail is given up. What the server said is not told: it may contain the address.
    fn record_failure(&self, mail: Option<&Mail>, reason: &str, status: Option<u16>) {
        let mut entry = NewEvent::new(Kind::MailFailed, &Actor::NODE).with("reason", reason);
        if let Some(mail) = mail {
            entry = entry.with("message", mail.message.name());
        }
        if let Some(status) = status {
            entry = entry.with("status", status);
        }
        self.trail.record(entry);
    }

    /// Deletes what has expired, for as long as it is polled, also while mails are off.
    pub async fn run_sweep(self) {
        upkeep::sweep_at_intervals("expired mails", || self.sweep(self.clock.now())).await;
    }

    async fn sweep(&self, now: DateTime<Utc>) -> Result<(), DatabaseError> {
        loop {
            // One that is being sent just now is left alone.
            let expired = queue::delete_expired(&self.pool, now - SEND_TIMEOUT, SWEEP_BATCH).await?;
            for queued in &expired {
                let mail = self.mails.open(queued);
                if mail.as_ref().is_none_or(|mail| mail.to.is_some()) {
                    self.metrics.mail("expired");
                    self.record_failure(mail.as_ref(), "expired", None);
                }
            }
            let quotas = queue::delete_quotas(&self.pool, now - QUOTA_PERIOD, SWEEP_BATCH).await?;
            if expired.len() < SWEEP_BATCH as usize && quotas < SWEEP_BATCH as u64 {
                return Ok(());
            }
        }
    }

    /// Waits for the mail that is being sent, a few seconds at most, and begins no other one from then on.
    pub async fn stop(&self) {
        match timeout(STOP_TIMEOUT, Arc::clone(&self.sending).lock_owned()).await {
            Ok(held) => std::mem::forget(held),
            Err(_) => tracing::warn!("the mail server is slow: a mail may be sent twice"),
        }
        if let Some(delivery) = &self.mails.delivery {
            let _ = timeout(INTERVAL, delivery.disconnect()).await;
        }
    }
}

/// The pause after this number of tries, at least one.
fn pause_after(tries: i16) -> Duration {
    let (first, longest) = MAIL_PAUSES;
    let doublings = u32::try_from(tries - 1).unwrap_or_default().min(16);
    (first * 2_u32.pow(doublings)).min(longest)
}
