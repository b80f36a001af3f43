//! Password hashing: argon2id (RFC 9106) on a few threads, with a bounded queue. Hashes that other systems made are
//! verified, too, and replaced.

pub mod calibration;
mod pool;
mod schemes;
mod workspace;

use std::ops::RangeInclusive;
use std::sync::Arc;

use argon2::Params;
use tokio::sync::OwnedSemaphorePermit;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::config::PasswordConfig;

use self::pool::{Pool, Ticket};
use self::schemes::{Argon2Hash, StoredHash};
use self::workspace::Workspace;

pub use self::pool::{Load, ThreadPriority};
pub use self::schemes::Unusable;

/// How much work may wait for each thread, as memory times iterations, in KiB: about two seconds' worth. More is turned
/// away at once, so that a storm of logins costs neither memory nor everybody's patience.
const QUEUED_WORK_KIB: u64 = 2_500_000;

/// How many attempts that may be, whatever they cost.
const QUEUE_PER_THREAD: RangeInclusive<u64> = 4..=64;

/// Why no hash was computed.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many wait already.
    #[error("the queue for password hashing is full")]
    QueueFull,
    /// The machine gives no thread or no memory.
    #[error("password hashing failed: {0}")]
    Failed(String),
}

/// What comes of comparing a password with a stored hash.
pub enum PasswordCheck {
    /// Another password, or nothing was stored.
    Wrong,
    /// The stored hash can't be verified: as good as wrong, and somebody should know.
    Unusable(Unusable),
    /// It is the one.
    Right {
        /// What to store instead, when the stored hash is of another kind, or costs less than one does today.
        upgrade: Option<String>,
    },
}

/// Computes and checks password hashes.
#[derive(Clone)]
pub struct PasswordHasher {
    today: Params,
    pool: Arc<Pool>,
}

impl PasswordHasher {
    /// Starts its threads, which end with its last clone.
    ///
    /// # Errors
    /// When the machine gives no thread.
    pub fn new(config: &PasswordConfig, niceness: ThreadPriority) -> Result<Self, PasswordError> {
        let today = config.argon2.clone();
        let pool = Pool::start(config.concurrency, queue_per_thread(&today), today.block_count(), niceness)
            .map_err(|error| PasswordError::Failed(error.to_string()))?;
        Ok(Self { today, pool: Arc::new(pool) })
    }

    /// Takes a place in the queue, to be held until the last hash of an attempt is computed. Before anything else is
    /// done for the attempt: who is turned away costs nothing.
    ///
    /// # Errors
    /// [`PasswordError::QueueFull`].
    pub fn acquire_slot(&self) -> Result<QueueSlot, PasswordError> {
        let ticket = self.pool.acquire_ticket().ok_or(PasswordError::QueueFull)?;
        Ok(QueueSlot { today: self.today.clone(), ticket })
    }

    /// Whether there is a place in the queue, which may be another's in a moment.
    ///
    /// # Errors
    /// [`PasswordError::QueueFull`].
    pub fn check_room(&self) -> Result<(), PasswordError> {
        self.pool.has_room().then_some(()).ok_or(PasswordError::QueueFull)
    }

    /// A PHC string to store.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn hash(&self, password: &str) -> Result<String, PasswordError> {
        self.acquire_slot()?.hash(password).await
    }

    /// What it does now, and what it has done.
    pub fn load(&self) -> Load {
        self.pool.load()
    }
}

fn queue_per_thread(today: &Params) -> usize {
    let work = u64::from(today.m_cost()) * u64::from(today.t_cost());
    let attempts = QUEUED_WORK_KIB / work.max(1);
    attempts.clamp(*QUEUE_PER_THREAD.start(), *QUEUE_PER_THREAD.end()) as usize
}

/// A place in the queue.
pub struct QueueSlot {
    today: Params,
    ticket: Ticket,
}

impl QueueSlot {
    /// Waits until there are few in front, before an attempt is counted: many that come at once and are all right must not
    /// look like as many failures. To be held until the attempt is over.
    ///
    /// # Errors
    /// [`PasswordError::QueueFull`] when that takes too long.
    pub async fn turn(&self) -> Result<OwnedSemaphorePermit, PasswordError> {
        self.ticket.turn().await
    }

    /// A PHC string to store.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn hash(&self, password: &str) -> Result<String, PasswordError> {
        let (today, password) = (self.today.clone(), normalize(password));
        self.ticket.compute(move |workspace| Argon2Hash::make(&password, &today, workspace)).await?
    }

    /// Whether the password is the stored hash's. Without a stored hash it does the same work and says no.
    ///
    /// A wrong password never costs less than an unknown user: wherever the stored hash is not one of today's cost
    /// or more, one of today's is computed besides, which is what to store instead when the password is right.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn verify(&self, password: &str, stored: Option<&str>) -> Result<PasswordCheck, PasswordError> {
        let (today, normalizations) = (self.today.clone(), normalizations(password));
        let stored = stored.map(StoredHash::parse);
        self.ticket
            .compute(move |workspace| check_password(&normalizations, stored, &today, workspace))
            .await?
    }
}

/// A password in the one form it is counted, hashed and compared in: Unicode NFKC (NIST SP 800-63B).
pub(super) fn normalize(password: &str) -> Zeroizing<String> {
    Zeroizing::new(password.nfkc().collect())
}

/// How a password may have been written when it was hashed: here in NFKC; elsewhere, as a rule, as it was typed.
/// Nothing in a hash says where it was made, so both are tried, for unknown users as well.
fn normalizations(password: &str) -> Vec<Zeroizing<String>> {
    let normal = normalize(password);
    match normal.as_str() == password {
        true => vec![normal],
        false => vec![normal, Zeroizing::new(password.to_owned())],
    }
}

/// What is stored for somebody without a password: no password fits, at the cost of any other.
pub const NO_PASSWORD: &str = "!";

/// Whether there may be a password that fits a hash, if it is one that can be verified.
///
/// # Errors
/// Why not.
pub(super) fn check_hash(stored: &str) -> Result<bool, Unusable> {
    StoredHash::parse(stored).map(|hash| !matches!(hash, StoredHash::NoPassword))
}

fn check_password(
    normalizations: &[Zeroizing<String>],
    stored: Option<Result<StoredHash, Unusable>>,
    today: &Params,
    workspace: &mut Workspace,
) -> Result<PasswordCheck, PasswordError> {
    let (stored, unusable) = match stored.transpose() {
        Ok(stored) => (stored, None),
        Err(unusable) => (None, Some(unusable)),
    };
    let is_outdated = stored.as_ref().is_none_or(|stored| stored.is_outdated(today));
    let mut upgrade = None;
    for spelling in normalizations {
        if is_outdated {
            let hash = Argon2Hash::make(spelling, today, workspace)?;
            // That of the first spelling, which is ours.
            upgrade.get_or_insert(hash);
        }
        if let Some(stored) = &stored
            && stored.matches(spelling.as_bytes(), workspace)?
        {
            return Ok(PasswordCheck::Right { upgrade });
        }
    }
    Ok(unusable.map_or(PasswordCheck::Wrong, PasswordCheck::Unusable))
}

#[cfg(test)]
mod tests;
