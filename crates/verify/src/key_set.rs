//! The keys of the JWK set, and the verification of a token's signature.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::claims::{Claims, decode};
use crate::key::{Jwk, PublicKey, kid_of_header};

/// A JWK set (RFC 7517, section 5).
#[derive(Deserialize)]
pub(crate) struct JwkSet {
    keys: Vec<Value>,
}

/// Why a token was refused by its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignatureError {
    /// The token is malformed, or its signature is wrong.
    Invalid,
    /// The token names a key that is not in the set; it may be newer than the set.
    UnknownKey,
}

/// The keys that verify.
#[derive(Debug, Default)]
pub(crate) struct KeySet(Vec<Arc<PublicKey>>);

impl KeySet {
    /// The supported keys of a set. A key that was known before keeps its identity, since verified tokens refer to it.
    pub(crate) fn new(set: JwkSet, known: &Self) -> Self {
        let mut keys = Self::default();
        for jwk in set.keys.into_iter().filter_map(|jwk| serde_json::from_value::<Jwk>(jwk).ok()) {
            let same = known.0.iter().find(|key| *key.jwk() == jwk).map(Arc::clone);
            let Some(key) = same.or_else(|| PublicKey::new(jwk).map(Arc::new)) else { continue };
            if keys.of_kid(key.kid()).is_none() {
                keys.0.push(key);
            }
        }
        keys
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Verifies a token's signature with the key that it names.
    pub(crate) fn verify(&self, token: &str) -> Result<(Arc<PublicKey>, Claims), SignatureError> {
        let (message, signature) = token.rsplit_once('.').ok_or(SignatureError::Invalid)?;
        let (header, claims) = message.split_once('.').ok_or(SignatureError::Invalid)?;
        let Some(key) = self.0.iter().find(|key| key.matches_header(header)) else {
            // For a known `kid` a fetch would not help: a key never changes its algorithm.
            let names_an_unknown = kid_of_header(header).is_some_and(|kid| self.of_kid(&kid).is_none());
            return Err(if names_an_unknown { SignatureError::UnknownKey } else { SignatureError::Invalid });
        };
        if !key.verifies(message.as_bytes(), signature) {
            return Err(SignatureError::Invalid);
        }
        let claims = decode(claims).ok_or(SignatureError::Invalid)?;
        Ok((Arc::clone(key), claims))
    }

    /// Whether this very key is among them.
    pub(crate) fn accepts(&self, key: &Arc<PublicKey>) -> bool {
        self.0.iter().any(|own| Arc::ptr_eq(own, key))
    }

    fn of_kid(&self, kid: &str) -> Option<&Arc<PublicKey>> {
        self.0.iter().find(|key| key.kid() == kid)
    }
}

#[cfg(test)]
mod tests;
