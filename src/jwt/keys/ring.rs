//! The signing keys that a node knows, as they were when it last read them.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use jsonwebtoken::jwk::{Jwk, JwkSet};

use super::KeyState;
use super::key::{JwtKey, named_kid};
use crate::jwt::claims::{Claims, decode};

/// A key in the ring.
pub(super) struct RingKey {
    pub(super) key: Arc<JwtKey>,
    pub(super) state: KeyState,
    pub(super) created_at: DateTime<Utc>,
    pub(super) activated_at: Option<DateTime<Utc>>,
    /// It is retired from then on.
    pub(super) verify_until: Option<DateTime<Utc>>,
}

impl RingKey {
    fn verifies_at(&self, now: DateTime<Utc>) -> bool {
        self.verify_until.is_none_or(|until| now < until)
    }
}

/// A token whose signature is good, and the key that it is good by.
pub(in crate::jwt) struct VerifiedToken {
    key: Arc<JwtKey>,
    pub(in crate::jwt) claims: Claims,
}

/// Why a token does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenRejection {
    /// Its signature is bad, or it is no token.
    Invalid,
    /// It names a key that is not in the ring, and that may be newer.
    UnknownKey,
}

/// All keys that verify, and the one that signs.
#[derive(Default)]
pub(super) struct Ring {
    entries: Vec<RingKey>,
    signing: Option<String>,
}

impl Ring {
    /// Of these keys, of which one signs.
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

    /// What a token says, if it is of one of these keys.
    pub(super) fn open(&self, token: &str, now: DateTime<Utc>) -> Result<VerifiedToken, TokenRejection> {
        let (message, signature) = token.rsplit_once('.').ok_or(TokenRejection::Invalid)?;
        let (header, claims) = message.split_once('.').ok_or(TokenRejection::Invalid)?;
        let Some(entry) = self.entries.iter().find(|entry| entry.key.is_of(header)) else {
            // A key that is known does not change its algorithm: no look would tell more.
            let names_an_unknown = named_kid(header).is_some_and(|kid| self.of_kid(&kid).is_none());
            return Err(if names_an_unknown { TokenRejection::UnknownKey } else { TokenRejection::Invalid });
        };
        if !entry.verifies_at(now) || !entry.key.verifies(message.as_bytes(), signature) {
            return Err(TokenRejection::Invalid);
        }
        let claims = decode(claims).ok_or(TokenRejection::Invalid)?;
        Ok(VerifiedToken { key: Arc::clone(&entry.key), claims })
    }

    /// Whether what was opened before would open now.
    pub(super) fn accepts(&self, opened: &VerifiedToken, now: DateTime<Utc>) -> bool {
        self.entries.iter().any(|entry| Arc::ptr_eq(&entry.key, &opened.key) && entry.verifies_at(now))
    }

    /// The algorithms by which others verify (RFC 7518, section 3.1).
    pub(super) fn published_algorithms(&self, now: DateTime<Utc>) -> Vec<&'static str> {
        let published = |entry: &&RingKey| entry.verifies_at(now) && entry.key.public.is_some();
        let algorithms: BTreeSet<_> =
            self.entries.iter().filter(published).map(|entry| entry.key.algorithm.as_str()).collect();
        algorithms.into_iter().collect()
    }

    /// The public halves of all that verify, also of the next one (RFC 7517, section 5).
    pub(super) fn public(&self, now: DateTime<Utc>) -> JwkSet {
        let verifying = self.entries.iter().filter(|entry| entry.verifies_at(now));
        JwkSet { keys: verifying.filter_map(|entry| entry.key.public.clone()).collect::<Vec<Jwk>>() }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
