//! Memory for hashing: each thread keeps a block of it, and larger hashes share one allocation at a time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use argon2::{Argon2, Block};
use zeroize::Zeroize;

use super::PasswordError;

/// State shared by all threads.
#[derive(Default)]
pub(super) struct HashCounterAndLargeHashLock {
    /// Number of argon2 computations.
    pub(super) computed: AtomicU64,
    /// Held while a hash uses more memory than a thread keeps: whatever hashes are stored, only one such allocation
    /// exists at a time.
    large: Mutex<()>,
}

/// The working memory of a thread.
pub(super) struct Workspace {
    /// Kept between hashes. Allocating 19 MiB for each sign-in would fragment the heap and add a quarter to its time
    /// in page faults.
    kept: Vec<Block>,
    size: usize,
    shared: Arc<HashCounterAndLargeHashLock>,
}

impl Workspace {
    /// A workspace for this number of blocks, allocated on first use.
    pub(super) fn new(size: usize, shared: Arc<HashCounterAndLargeHashLock>) -> Self {
        Self { kept: Vec::new(), size, shared }
    }

    /// Computes an argon2 hash.
    pub(super) fn argon2(
        &mut self,
        argon2: &Argon2<'_>,
        password: &[u8],
        salt: &[u8],
        digest: &mut [u8],
    ) -> Result<(), PasswordError> {
        self.shared.computed.fetch_add(1, Relaxed);
        let count = argon2.params().block_count();
        self.with_blocks(count, |blocks| {
            argon2.hash_password_into_with_memory(password, salt, digest, blocks)
        })?
        .map_err(|error| PasswordError::Failed(error.to_string()))
    }

    /// Runs work that allocates this number of bytes by itself.
    pub(super) fn with_room_for<T>(&self, bytes: usize, work: impl FnOnce() -> T) -> T {
        let is_large = bytes > self.size * Block::SIZE;
        let _alone = is_large.then(|| self.shared.large.lock().unwrap_or_else(PoisonError::into_inner));
        work()
    }

    fn with_blocks<T>(
        &mut self,
        count: usize,
        work: impl FnOnce(&mut [Block]) -> T,
    ) -> Result<T, PasswordError> {
        if count > self.size {
            return self.with_room_for(count * Block::SIZE, || {
                let mut blocks = allocate(count)?;
                Ok(with_blocks_zeroized(&mut blocks, work))
            });
        }
        if self.kept.is_empty() {
            self.kept = allocate(self.size)?;
        }
        Ok(with_blocks_zeroized(&mut self.kept[..count], work))
    }
}

fn allocate(count: usize) -> Result<Vec<Block>, PasswordError> {
    let mut blocks = Vec::new();
    let refused = |_| PasswordError::Failed(format!("there is no memory for {count} KiB"));
    blocks.try_reserve_exact(count).map_err(refused)?;
    blocks.resize(count, Block::new());
    Ok(blocks)
}

/// Zeroizes the memory afterwards, so that nothing derived from one user's password remains for the next.
fn with_blocks_zeroized<T>(blocks: &mut [Block], work: impl FnOnce(&mut [Block]) -> T) -> T {
    let result = work(blocks);
    blocks.iter_mut().for_each(|block| block.as_mut().zeroize());
    result
}

#[cfg(test)]
mod tests {
    use argon2::{Algorithm, Params, Version};

    use super::*;

    fn compute(workspace: &mut Workspace, memory: u32) {
        let params = Params::new(memory, 1, 1, None).expect("small but valid");
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        workspace.argon2(&argon2, b"a password", b"sixteen byte slt", &mut [0; 32]).expect("a hash");
    }

    #[test]
    fn memory_is_reused_and_wiped() {
        let mut workspace = Workspace::new(64, Arc::default());
        compute(&mut workspace, 64);
        let first = workspace.kept.as_ptr();
        for memory in [64, 8, 64] {
            compute(&mut workspace, memory);
            assert_eq!(workspace.kept.as_ptr(), first);
            assert!(workspace.kept.iter().all(|block| block.as_ref().iter().all(|word| *word == 0)));
        }
        assert_eq!(workspace.shared.computed.load(Relaxed), 4);
    }

    #[test]
    fn what_a_larger_hash_needs_is_given_back() {
        let mut workspace = Workspace::new(64, Arc::default());
        compute(&mut workspace, 1_024);
        compute(&mut workspace, 64);
        assert_eq!(workspace.kept.capacity(), 64);
    }

    #[test]
    fn of_larger_hashes_one_is_computed_at_a_time() {
        let shared = Arc::<HashCounterAndLargeHashLock>::default();
        let workspace = Workspace::new(64, Arc::clone(&shared));
        workspace.with_room_for(64 * 1_024, || assert!(shared.large.try_lock().is_ok()));
        workspace.with_room_for(64 * 1_024 + 1, || assert!(shared.large.try_lock().is_err()));
        assert!(shared.large.try_lock().is_ok());
    }
}
