//! Cache of verified access tokens, so that each signature is verified only once. What can change later (expiry,
//! revocations, keys) is checked at every request, not cached.

use std::sync::Arc;

use hashlink::LruCache;

use crate::crypto::sha256;
use crate::shards::Shards;

use super::keys::VerifiedToken;

/// The most recently used verified tokens, by the hash of the whole token.
pub(super) struct VerifiedTokens(Shards<LruCache<[u8; 32], Arc<VerifiedToken>>>);

/// The cache key: SHA-256 of the whole token.
pub(super) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(super) fn of(token: &str) -> Self {
        Self(sha256(token.as_bytes()))
    }
}

impl VerifiedTokens {
    /// A cache of at most `size` tokens.
    pub(super) fn new(size: usize) -> Self {
        Self(Shards::new(size, LruCache::new))
    }

    /// The verified token, if it is cached.
    pub(super) fn find(&self, hash: &TokenHash) -> Option<Arc<VerifiedToken>> {
        self.0.of(&hash.0).get(&hash.0).map(Arc::clone)
    }

    /// Caches a verified token.
    pub(super) fn insert(&self, hash: &TokenHash, verified: &Arc<VerifiedToken>) {
        self.0.of(&hash.0).insert(hash.0, Arc::clone(verified));
    }
}
