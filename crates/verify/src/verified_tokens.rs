//! Cache of verified tokens, so that each signature is verified only once. What can change later (expiry, revocations, keys)
//! is checked with every request, not cached.

use std::hash::Hasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::error::Unspecified;
use hashlink::LruCache;
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::Claims;
use crate::key::PublicKey;

/// How many locks there are, so that threads rarely wait for each other.
const SHARDS: usize = 16;

/// The most recently used verified tokens, by the fingerprint of the whole token.
pub(crate) struct VerifiedTokens {
    /// Secret and new at each start: whoever does not know it can't make a token with another one's fingerprint.
    secret: [u8; 16],
    shards: Vec<Mutex<LruCache<Fingerprint, VerifiedToken>>>,
}

struct VerifiedToken {
    key: Arc<PublicKey>,
    claims: Arc<Claims>,
}

/// SipHash-2-4 of the whole token, 128 bits: as a keyed pseudorandom function it resists collisions like a MAC, in a seventh of the
/// instructions of SHA-256.
pub(crate) type Fingerprint = [u8; 16];

impl VerifiedTokens {
    /// A cache of about `size` tokens.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(crate) fn new(size: usize) -> Result<Self, Unspecified> {
        let mut secret = [0; 16];
        aws_lc_rs::rand::fill(&mut secret)?;
        let shards = (0..SHARDS).map(|_| Mutex::new(LruCache::new(size.div_ceil(SHARDS)))).collect();
        Ok(Self { secret, shards })
    }

    /// The fingerprint of a token, as it was received.
    pub(crate) fn fingerprint(&self, token: &str) -> Fingerprint {
        let mut hasher = SipHasher24::new_with_key(&self.secret);
        hasher.write(token.as_bytes());
        hasher.finish128().as_bytes()
    }

    /// The claims of a token, if they are cached and the key that verified it is still accepted.
    pub(crate) fn find(
        &self,
        fingerprint: &Fingerprint,
        accepts: impl Fn(&Arc<PublicKey>) -> bool,
    ) -> Option<Arc<Claims>> {
        let mut shard = self.shard(fingerprint);
        shard.get(fingerprint).filter(|token| accepts(&token.key)).map(|token| Arc::clone(&token.claims))
    }

    /// Caches a verified token.
    pub(crate) fn insert(&self, fingerprint: Fingerprint, key: Arc<PublicKey>, claims: Arc<Claims>) {
        self.shard(&fingerprint).insert(fingerprint, VerifiedToken { key, claims });
    }

    fn shard(&self, fingerprint: &Fingerprint) -> MutexGuard<'_, LruCache<Fingerprint, VerifiedToken>> {
        let shard = &self.shards[usize::from(fingerprint[0]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
