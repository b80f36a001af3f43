//! Settings of passwords and their hashes.

/// Settings of passwords and their hashes.
#[derive(Clone, Debug)]
pub struct PasswordConfig {
    /// `PASSWORD_MIN_LENGTH`, in code points.
    pub min_length: usize,
    /// `ARGON2_MEMORY_KIB`, `ARGON2_ITERATIONS`, `ARGON2_PARALLELISM` (RFC 9106).
    pub argon2: argon2::Params,
    /// `HASH_CONCURRENCY`: number of hashes computed at the same time.
    pub concurrency: usize,
}

impl PasswordConfig {
    /// Maximum memory of a hash, in KiB.
    pub const MAX_MEMORY_KIB: u32 = 256 * 1024;

    /// Maximum memory in KiB times iterations: a few seconds of work.
    const MAX_WORK_KIB: u64 = 4 * 1024 * 1024;

    /// Checks that argon2 with these parameters is within the limits.
    ///
    /// # Errors
    /// The limits, in words.
    pub fn check_argon2(memory_kib: u32, iterations: u32) -> Result<(), String> {
        let work = u64::from(memory_kib) * u64::from(iterations);
        if memory_kib <= Self::MAX_MEMORY_KIB && work <= Self::MAX_WORK_KIB {
            return Ok(());
        }
        Err(format!(
            "{} KiB of memory, and {} multiplied by the iterations",
            Self::MAX_MEMORY_KIB,
            Self::MAX_WORK_KIB
        ))
    }
}
