//! Cache of verified access tokens, so that each signature is verified only once. What can change later (expiry,
//! revocations, keys) is checked at every request, not cached.

use std::hash::Hasher;
use std::sync::Arc;

use hashlink::LruCache;
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::crypto::random_bytes;
use crate::shards::Shards;

use super::keys::VerifiedToken;

/// The most recently used verified tokens, by the fingerprint of the whole token.
pub(super) struct VerifiedTokens {
    /// Secret and new at each start: whoever does not know it can't make a token with another one's fingerprint.
    key: [u8; 16],
    tokens: Shards<LruCache<Fingerprint, Arc<VerifiedToken>>>,
}

/// The cache key: SipHash-2-4 of the whole token, 128 bits. As a keyed pseudorandom function it resists collisions like a MAC,
/// in a seventh of the instructions of SHA-256.
pub(super) type Fingerprint = [u8; 16];

impl VerifiedTokens {
    /// A cache of at most `size` tokens.
    pub(super) fn new(size: usize) -> Self {
        Self { key: random_bytes(), tokens: Shards::new(size, LruCache::new) }
    }

    /// The fingerprint of a token, as it was received.
    pub(super) fn fingerprint(&self, token: &str) -> Fingerprint {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(token.as_bytes());
        hasher.finish128().as_bytes()
    }

    /// The verified token, if it is cached.
    pub(super) fn find(&self, fingerprint: &Fingerprint) -> Option<Arc<VerifiedToken>> {
        self.tokens.of(fingerprint).get(fingerprint).map(Arc::clone)
    }

    /// Caches a verified token.
    pub(super) fn insert(&self, fingerprint: Fingerprint, verified: &Arc<VerifiedToken>) {
        self.tokens.of(&fingerprint).insert(fingerprint, Arc::clone(verified));
    }
}
