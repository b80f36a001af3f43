//! The key ring: a node's in-memory copy of the signing keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use jsonwebtoken::jwk::{Jwk, JwkSet};

use super::KeyState;
use super::key::{JwtKey, kid_of_header};
use crate::jwt::claims::{Claims, decode};

/// A key in the ring.
pub(super) struct RingKey {
    pub(super) key: Arc<JwtKey>,
    pub(super) state: KeyState,
    pub(super) created_at: DateTime<Utc>,
    pub(super) activated_at: Option<DateTime<Utc>>,
    /// When the key is retired. `None`: not yet superseded.
    pub(super) verify_until: Option<DateTime<Utc>>,
}

impl RingKey {
    fn verifies_at(&self, now: DateTime<Utc>) -> bool {
        self.verify_until.is_none_or(|until| now < until)
    }
}

/// A token whose signature was verified, and the key that verified it.
pub(in crate::jwt) struct VerifiedToken {
    key: Arc<JwtKey>,
    pub(in crate::jwt) claims: Claims,
}

/// Why a token was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenRejection {
    /// The token is malformed, or its signature is wrong.
    Invalid,
    /// The token names a key that is not in the ring; it may be newer than the ring.
    UnknownKey,
}

/// The keys that verify, and which of them signs.
#[derive(Default)]
pub(super) struct Ring {
    entries: Vec<RingKey>,
    signing: Option<String>,
}

impl Ring {
    /// A ring of keys; `signing` is the `kid` of the one that signs.
    pub(super) fn new(entries: Vec<RingKey>, signing: Option<String>) -> Self {
        Self { entries, signing }
    }

    pub(super) fn of_state(&self, state: KeyState) -> Option<&RingKey> {
        self.entries.iter().find(|entry| entry.state == state)
    }

    pub(super) fn of_kid(&self, kid: &str) -> Option<&RingKey> {
        self.entries.iter().find(|entry| entry.key.kid == kid)
    }

    /// The key that this node signs with.
    pub(super) fn signing(&self) -> Option<&RingKey> {
        self.of_kid(self.signing.as_ref()?).filter(|entry| entry.key.can_sign())
    }

    /// Verifies a token's signature with the key that it names.
    pub(super) fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<VerifiedToken, TokenRejection> {
        let (message, signature) = token.rsplit_once('.').ok_or(TokenRejection::Invalid)?;
        let (header, claims) = message.split_once('.').ok_or(TokenRejection::Invalid)?;
        let Some(entry) = self.entries.iter().find(|entry| entry.key.matches_header(header)) else {
            // For a known `kid` a reload would not help: a key never changes its algorithm.
            let names_an_unknown = kid_of_header(header).is_some_and(|kid| self.of_kid(&kid).is_none());
            return Err(if names_an_unknown { TokenRejection::UnknownKey } else { TokenRejection::Invalid });
        };
        if !entry.verifies_at(now) || !entry.key.verifies(message.as_bytes(), signature) {
            return Err(TokenRejection::Invalid);
        }
        let claims = decode(claims).ok_or(TokenRejection::Invalid)?;
        Ok(VerifiedToken { key: Arc::clone(&entry.key), claims })
    }

    /// Returns `true` if the key of a token that was verified earlier is still valid.
    pub(super) fn still_accepts(&self, verified: &VerifiedToken, now: DateTime<Utc>) -> bool {
        self.entries.iter().any(|entry| Arc::ptr_eq(&entry.key, &verified.key) && entry.verifies_at(now))
    }

    /// The algorithms of the published keys (RFC 7518, section 3.1).
    pub(super) fn published_algorithms(&self, now: DateTime<Utc>) -> Vec<&'static str> {
        let published = |entry: &&RingKey| entry.verifies_at(now) && entry.key.public.is_some();
        let algorithms: BTreeSet<_> =
            self.entries.iter().filter(published).map(|entry| entry.key.algorithm.as_str()).collect();
        algorithms.into_iter().collect()
    }

    /// The public keys of all keys that verify, the next one included, as a JWK set (RFC 7517, section 5).
    pub(super) fn public(&self, now: DateTime<Utc>) -> JwkSet {
        let verifying = self.entries.iter().filter(|entry| entry.verifies_at(now));
        JwkSet { keys: verifying.filter_map(|entry| entry.key.public.clone()).collect::<Vec<Jwk>>() }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
