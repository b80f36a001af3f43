//! Password hashing: argon2id (RFC 9106) on a few threads, with a bounded queue. Hashes of other systems are verified
//! as well, and replaced.

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

use self::pool::{Pool, QueuePermit};
use self::schemes::{Argon2Hash, StoredHash};
use self::workspace::Workspace;

pub use self::pool::{Load, ThreadPriority};
pub use self::schemes::Unusable;

/// Maximum work that may be queued per thread, as memory in KiB times iterations: about two seconds. Further attempts
/// are rejected at once, so that a burst of sign-ins exhausts neither memory nor the time that clients wait.
const QUEUED_WORK_KIB: u64 = 2_500_000;

/// Bounds for the number of queued attempts per thread, whatever a hash costs.
const QUEUE_PER_THREAD: RangeInclusive<u64> = 4..=64;

/// Why no hash was computed.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The queue is full.
    #[error("the queue for password hashing is full")]
    QueueFull,
    /// A thread can't be started or memory can't be allocated.
    #[error("password hashing failed: {0}")]
    Failed(String),
}

/// The result of checking a password against a stored hash.
pub enum PasswordCheck {
    /// The password is wrong, or there is no stored hash.
    Wrong,
    /// The stored hash can't be verified. Counts as wrong, and should be logged.
    Unusable(Unusable),
    /// The password is right.
    Right {
        /// The hash to store instead, if the stored one is of another kind or weaker than the current settings.
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
    /// Starts the threads, which end with the last clone of the hasher.
    ///
    /// # Errors
    /// When a thread can't be started.
    pub fn new(config: &PasswordConfig, niceness: ThreadPriority) -> Result<Self, PasswordError> {
        let today = config.argon2.clone();
        let pool = Pool::start(config.concurrency, queue_per_thread(&today), today.block_count(), niceness)
            .map_err(|error| PasswordError::Failed(error.to_string()))?;
        Ok(Self { today, pool: Arc::new(pool) })
    }

    /// Takes a slot in the queue, which is held until the attempt's last hash is computed. To be called before other
    /// work for the attempt, so that rejected attempts cost nothing.
    ///
    /// # Errors
    /// [`PasswordError::QueueFull`].
    pub fn acquire_slot(&self) -> Result<QueueSlot, PasswordError> {
        let ticket = self.pool.acquire_ticket().ok_or(PasswordError::QueueFull)?;
        Ok(QueueSlot { today: self.today.clone(), ticket })
    }

    /// Checks that there is a free slot, without taking it.
    ///
    /// # Errors
    /// [`PasswordError::QueueFull`].
    pub fn check_room(&self) -> Result<(), PasswordError> {
        self.pool.has_room().then_some(()).ok_or(PasswordError::QueueFull)
    }

    /// Hashes a password. Returns a PHC string to store.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn hash(&self, password: &str) -> Result<String, PasswordError> {
        self.acquire_slot()?.hash(password).await
    }

    /// Current load and totals.
    pub fn load(&self) -> Load {
        self.pool.load()
    }
}

fn queue_per_thread(today: &Params) -> usize {
    let work = u64::from(today.m_cost()) * u64::from(today.t_cost());
    let attempts = QUEUED_WORK_KIB / work.max(1);
    attempts.clamp(*QUEUE_PER_THREAD.start(), *QUEUE_PER_THREAD.end()) as usize
}

/// A slot in the queue.
pub struct QueueSlot {
    today: Params,
    ticket: QueuePermit,
}

impl QueueSlot {
    /// Waits until few attempts are ahead. To be called before an attempt is counted, since many concurrent attempts
    /// with right passwords must not count as failures. The permit is held until the attempt ends.
    ///
    /// # Errors
    /// [`PasswordError::QueueFull`] when it takes too long.
    pub async fn wait_for_turn(&self) -> Result<OwnedSemaphorePermit, PasswordError> {
        self.ticket.wait_for_turn().await
    }

    /// Hashes a password. Returns a PHC string to store.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn hash(&self, password: &str) -> Result<String, PasswordError> {
        let (today, password) = (self.today.clone(), normalize(password));
        self.ticket.compute(move |workspace| Argon2Hash::make(&password, &today, workspace)).await?
    }

    /// Checks a password against a stored hash. Without one, does the same work and returns `Wrong`.
    ///
    /// A wrong password never takes less time than an unknown user: if the stored hash is not argon2id with at least
    /// the current cost, such a hash is computed in addition. It also serves as the upgrade when the password is
    /// right.
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

/// The form in which a password is counted, hashed and compared: Unicode NFKC (NIST SP 800-63B).
pub(super) fn normalize(password: &str) -> Zeroizing<String> {
    Zeroizing::new(password.nfkc().collect())
}

/// The forms in which a password may have been hashed: in NFKC here, and usually unchanged in other systems. A hash
/// does not tell its origin, so both are tried, and for unknown users as well.
fn normalizations(password: &str) -> Vec<Zeroizing<String>> {
    let normal = normalize(password);
    match normal.as_str() == password {
        true => vec![normal],
        false => vec![normal, Zeroizing::new(password.to_owned())],
    }
}

/// Stored for users without a password. No password matches it, and checking one costs as much as for other users.
pub const NO_PASSWORD: &str = "!";

/// Whether a password can match this stored hash.
///
/// # Errors
/// Why the hash can't be verified.
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
            // The hash of the first form, which is the one used here.
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
