//! Access tokens that were verified lately. A signature, once good, stays good: it is computed once for each token.
//! Whatever can change, the time, the revocations, the keys, is looked at with every request.

use std::sync::Arc;

use hashlink::LruCache;

use crate::crypto::sha256;
use crate::shards::Shards;

use super::keys::VerifiedToken;

/// What verified tokens say, by the hash of the whole token: the most recently used ones.
pub(super) struct VerifiedTokens(Shards<LruCache<[u8; 32], Arc<VerifiedToken>>>);

/// How a token is found.
pub(super) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(super) fn of(token: &str) -> Self {
        Self(sha256(token.as_bytes()))
    }
}

impl VerifiedTokens {
    /// Of so many tokens.
    pub(super) fn new(size: usize) -> Self {
        Self(Shards::new(size, LruCache::new))
    }

    /// What a token says, if it is remembered.
    pub(super) fn find(&self, hash: &TokenHash) -> Option<Arc<VerifiedToken>> {
        self.0.of(&hash.0).get(&hash.0).map(Arc::clone)
    }

    /// Remembers it.
    pub(super) fn insert(&self, hash: &TokenHash, opened: &Arc<VerifiedToken>) {
        self.0.of(&hash.0).insert(hash.0, Arc::clone(opened));
    }
}
