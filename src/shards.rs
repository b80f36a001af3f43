//! A table in parts that are locked one by one, so that workers seldom wait for each other.

use std::sync::{Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 16;

/// Below this many entries there is one part: it is then exact which of them was used least recently.
const SMALL: usize = 1_024;

/// The parts, by the hash of what is looked for.
#[derive(Debug)]
pub struct Shards<T>(Vec<Mutex<T>>);

impl<T> Shards<T> {
    /// For so many entries. `shard` makes a part, for the number of entries that fall to it.
    pub fn new(entries: usize, shard: impl Fn(usize) -> T) -> Self {
        let count = if entries < SMALL { 1 } else { SHARDS };
        Self((0..count).map(|_| Mutex::new(shard(entries.div_ceil(count)))).collect())
    }

    /// The part that this hash falls to. A hash is as good in one byte as in another.
    pub fn of(&self, hash: &[u8; 32]) -> MutexGuard<'_, T> {
        lock(&self.0[usize::from(hash[0]) % self.0.len()])
    }

    /// One part after the other.
    pub fn each(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        self.0.iter().map(lock)
    }
}

fn lock<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
