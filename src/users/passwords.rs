//! Password hashing: argon2id (RFC 9106) on a few threads, with a bounded queue and memory that is reused.

use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::phc::{Ident, Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::{Zeroize, Zeroizing};

use crate::config::PasswordConfig;
use crate::tokens;

use super::validation::normalize;

/// How many may wait for each that is computed: about two seconds of work. More are turned away at once,
/// so that a storm of logins costs neither memory nor everybody's patience.
const QUEUE_PER_SLOT: usize = 64;

/// Why no hash was computed.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many wait already.
    #[error("the queue for password hashing is full")]
    QueueFull,
    /// A stored hash can't be read, or the machine gives no memory.
    #[error("password hashing failed: {0}")]
    Failed(String),
}

impl From<argon2::password_hash::phc::Error> for PasswordError {
    fn from(error: argon2::password_hash::phc::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<argon2::password_hash::Error> for PasswordError {
    fn from(error: argon2::password_hash::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<argon2::Error> for PasswordError {
    fn from(error: argon2::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Computes and checks password hashes.
#[derive(Clone)]
pub struct PasswordHasher {
    params: Params,
    /// A hash that no password has, of the same cost as a real one.
    decoy: Arc<PasswordHash>,
    queue: Arc<Semaphore>,
    slots: Arc<Semaphore>,
    memory: Arc<Memory>,
}

impl PasswordHasher {
    /// # Errors
    /// When argon2 refuses the parameters.
    pub fn new(config: &PasswordConfig) -> Result<Self, PasswordError> {
        let params = config.argon2.clone();
        // Not computed but drawn: nobody knows a password for it.
        let decoy = encode(&params, &tokens::random_bytes::<16>(), &tokens::random_bytes::<32>())?;
        Ok(Self {
            params,
            decoy: Arc::new(decoy),
            queue: Arc::new(Semaphore::new(config.concurrency * (1 + QUEUE_PER_SLOT))),
            slots: Arc::new(Semaphore::new(config.concurrency)),
            memory: Arc::default(),
        })
    }

    /// A PHC string to store.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn hash(&self, password: &str) -> Result<String, PasswordError> {
        let params = self.params.clone();
        let salt = tokens::random_bytes::<16>();
        let digest =
            self.compute(password, params.clone(), salt.to_vec(), Params::DEFAULT_OUTPUT_LEN).await?;
        Ok(encode(&params, &salt, &digest)?.to_string())
    }

    /// Whether the password is the stored hash's. Without a stored hash it does the same work and says no.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn verify(&self, password: &str, stored: Option<&str>) -> Result<bool, PasswordError> {
        let hash = match stored {
            Some(stored) => PasswordHash::new(stored)?,
            None => self.decoy.as_ref().clone(),
        };
        if hash.algorithm.as_str() != Algorithm::Argon2id.as_str() {
            return Err(PasswordError::Failed(format!("a stored hash is {}", hash.algorithm)));
        }
        let (Some(salt), Some(expected)) = (hash.salt, hash.hash) else {
            return Err(PasswordError::Failed("a stored hash is incomplete".to_owned()));
        };
        let digest = self.compute(password, Params::try_from(&hash)?, salt.to_vec(), expected.len()).await?;
        Ok(tokens::equal(&digest, expected.as_bytes()) && stored.is_some())
    }

    async fn compute(
        &self,
        password: &str,
        params: Params,
        salt: Vec<u8>,
        length: usize,
    ) -> Result<Zeroizing<Vec<u8>>, PasswordError> {
        let password = normalize(password);
        let memory = Arc::clone(&self.memory);
        let permits = self.permits().await?;
        let work = move || {
            // Held to the end of the work, also when the client who asked for it has gone.
            let _permits = permits;
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            let mut digest = Zeroizing::new(vec![0; length]);
            memory.lend(argon2.params().block_count(), |blocks| {
                argon2.hash_password_into_with_memory(password.as_bytes(), &salt, &mut digest, blocks)
            })?;
            Ok(digest)
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| PasswordError::Failed(error.to_string()))?
    }

    async fn permits(&self) -> Result<[OwnedSemaphorePermit; 2], PasswordError> {
        let queued = Arc::clone(&self.queue).try_acquire_owned().map_err(|_| PasswordError::QueueFull)?;
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.map_err(|error| PasswordError::Failed(error.to_string()))?;
        Ok([queued, slot])
    }
}

fn encode(params: &Params, salt: &[u8], digest: &[u8]) -> Result<PasswordHash, PasswordError> {
    let params = ParamsString::try_from(params)?;
    Ok(PasswordHash {
        algorithm: Ident::new(Algorithm::Argon2id.as_str())?,
        version: Some(Version::V0x13.into()),
        params,
        salt: Some(Salt::new(salt)?),
        hash: Some(Output::new(digest)?),
    })
}

/// The blocks that argon2 works in, as many sets as were ever in use at once. Asking the allocator for 19 MiB a
/// login instead fragments its heaps and costs a quarter of the login in page faults.
#[derive(Default)]
struct Memory(Mutex<Vec<Vec<Block>>>);

impl Memory {
    fn lend<T>(&self, count: usize, work: impl FnOnce(&mut [Block]) -> T) -> T {
        let mut blocks = self.free().pop().unwrap_or_default();
        // Never smaller: a set that has served one size serves every smaller one.
        blocks.resize(blocks.len().max(count), Block::new());
        let result = work(&mut blocks[..count]);
        // What was derived from one user's password is gone before the next one's work.
        blocks[..count].iter_mut().for_each(|block| block.as_mut().zeroize());
        self.free().push(blocks);
        result
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Vec<Block>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hasher(concurrency: usize) -> PasswordHasher {
        let argon2 = Params::new(64, 1, 1, None).expect("small but valid");
        PasswordHasher::new(&PasswordConfig { min_length: 15, argon2, concurrency })
            .expect("valid parameters")
    }

    #[tokio::test]
    async fn a_password_verifies_against_its_own_hash_only() {
        let hasher = hasher(1);
        let stored = hasher.hash("correct horse battery").await.expect("a hash");
        assert!(stored.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{stored}");
        assert!(hasher.verify("correct horse battery", Some(&stored)).await.expect("an answer"));
        assert!(!hasher.verify("correct horse batterz", Some(&stored)).await.expect("an answer"));
        assert!(!hasher.verify("correct horse battery", None).await.expect("an answer"));
    }

    #[tokio::test]
    async fn forms_of_one_text_are_one_password() {
        let hasher = hasher(1);
        let stored = hasher.hash("cafe\u{301} au lait, ﬁltered").await.expect("a hash");
        assert!(hasher.verify("caf\u{e9} au lait, filtered", Some(&stored)).await.expect("an answer"));
    }

    #[tokio::test]
    async fn what_the_reference_implementation_hashed_verifies() {
        // printf 'correct horse battery' | argon2 'sixteen byte salt' -id -t 2 -k 64 -p 1 -l 32 -e
        let reference =
            "$argon2id$v=19$m=64,t=2,p=1$c2l4dGVlbiBieXRlIHNhbHQ$X6Fj9PAz44CW9o2llHNH3IHhMu7PRGSMF20dNZjCVOE";
        let hasher = hasher(1);
        assert!(hasher.verify("correct horse battery", Some(reference)).await.expect("an answer"));
        assert!(!hasher.verify("correct horse batterz", Some(reference)).await.expect("an answer"));
    }

    #[tokio::test]
    async fn memory_is_reused_and_wiped() {
        let hasher = hasher(1);
        for _ in 0..5 {
            hasher.hash("correct horse battery").await.expect("a hash");
        }
        let free = hasher.memory.free();
        assert_eq!(free.len(), 1, "one set of blocks for one slot");
        assert!(free[0].iter().all(|block| block.as_ref().iter().all(|word| *word == 0)));
    }

    #[tokio::test]
    async fn a_full_queue_turns_away_at_once() {
        let hasher = hasher(1);
        let _busy = Arc::clone(&hasher.slots).acquire_owned().await.expect("the slot");
        let _waiting = Arc::clone(&hasher.queue)
            .acquire_many_owned(1 + QUEUE_PER_SLOT as u32)
            .await
            .expect("the whole queue");
        assert!(matches!(hasher.hash("x").await, Err(PasswordError::QueueFull)));
    }

    #[tokio::test]
    #[expect(clippy::await_holding_lock, reason = "it is what holds the work up, on another thread")]
    async fn a_client_that_leaves_does_not_free_the_slot_while_its_hash_is_computed() {
        let hasher = hasher(1);
        let locked = hasher.memory.free();
        let abandoned = tokio::time::timeout(std::time::Duration::from_millis(1), hasher.hash("x"));
        assert!(abandoned.await.is_err(), "the work waits for the memory that the test holds");
        assert_eq!(hasher.slots.available_permits(), 0);
        drop(locked);
        // Given back when the work ends.
        drop(Arc::clone(&hasher.slots).acquire_owned().await.expect("the slot"));
    }
}
