//! Access tokens that were verified lately. A signature, once good, stays good: it is computed once for each token.
//! Whatever can change, the time, the revocations, is looked at with every request.

use std::sync::Arc;

use hashlink::LruCache;

use crate::shards::Shards;
use crate::tokens::sha256;

use super::keys::Claims;

/// The claims of verified tokens, by the hash of the whole token: the most recently used ones.
pub(super) struct Verified(Shards<LruCache<[u8; 32], Arc<Claims>>>);

impl Verified {
    /// Of so many tokens.
    pub(super) fn new(size: usize) -> Self {
        Self(Shards::new(size, LruCache::new))
    }

    /// What a token says: as remembered, or as `open` finds it, which is remembered then.
    pub(super) fn claims<E>(
        &self,
        token: &str,
        open: impl FnOnce() -> Result<Claims, E>,
    ) -> Result<Arc<Claims>, E> {
        let hash = sha256(token.as_bytes());
        if let Some(claims) = self.0.of(&hash).get(&hash) {
            return Ok(Arc::clone(claims));
        }
        let claims = Arc::new(open()?);
        self.0.of(&hash).insert(hash, Arc::clone(&claims));
        Ok(claims)
    }
}
