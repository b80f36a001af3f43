//! A table in shards with one lock each, so that threads rarely wait for each other.

use std::sync::{Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 16;

/// Below this number of entries there is one shard, so that the least recently used entry is found exactly.
const SMALL: usize = 1_024;

/// The shards, selected by the key's hash.
#[derive(Debug)]
pub struct Shards<T>(Vec<Mutex<T>>);

impl<T> Shards<T> {
    /// Shards for this number of entries. `shard` creates one, for its share of the entries.
    pub fn new(entries: usize, shard: impl Fn(usize) -> T) -> Self {
        let count = if entries < SMALL { 1 } else { SHARDS };
        Self((0..count).map(|_| Mutex::new(shard(entries.div_ceil(count)))).collect())
    }

    /// The shard of this hash, of any length. Any byte of a hash is equally distributed.
    pub fn of<const N: usize>(&self, hash: &[u8; N]) -> MutexGuard<'_, T> {
        lock(&self.0[usize::from(hash[0]) % self.0.len()])
    }

    /// Iterates over the shards, and locks one at a time.
    pub fn each(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        self.0.iter().map(lock)
    }
}

fn lock<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
