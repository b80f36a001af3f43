//! Unit tests of token verification: the same rules as dualauth's own.

mod claims;
mod form;
mod header;
mod keys;
mod signature;

use std::sync::OnceLock;

use serde_json::Value;

use super::*;
use crate::VerifyError;
use crate::testing::{ALGORITHMS, HERE, TestKey, with};

const NOW: i64 = 1_790_000_000;

/// The role of a key: whether it is in the set.
#[derive(Clone, Copy)]
enum Role {
    Published,
    Next,
    Strange,
}

/// A key for each algorithm and role, generated once for all tests, because RSA takes a while.
fn key(algorithm: usize, role: Role) -> &'static TestKey {
    static KEYS: [[OnceLock<TestKey>; 3]; 3] = [const { [const { OnceLock::new() }; 3] }; 3];
    KEYS[algorithm][role as usize].get_or_init(|| TestKey::new(ALGORITHMS[algorithm]))
}

fn set_of(jwks: impl IntoIterator<Item = Value>) -> KeySet {
    KeySet::new(JwkSet { keys: jwks.into_iter().collect() }, &KeySet::default())
}

fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().expect("an object").remove(name).expect("a member to leave out");
    object
}

/// Signs any tokens with a key of the set, so that a refusal is due to the token's content alone.
struct Forger {
    keys: KeySet,
    /// The place of its algorithm.
    algorithm: usize,
    key: &'static TestKey,
    header: Value,
    claims: Value,
}

impl Forger {
    /// One for each algorithm.
    fn all() -> [Self; 3] {
        [0, 1, 2].map(|algorithm| {
            let key = key(algorithm, Role::Published);
            let keys = set_of([key.jwk.clone()]);
            let claims = crate::testing::claims(NOW);
            let forger = Self { keys, algorithm, key, header: key.header(), claims };
            forger.assert_accepted(&forger.good_token());
            forger
        })
    }

    fn strange(&self) -> &'static TestKey {
        key(self.algorithm, Role::Strange)
    }

    fn good_token(&self) -> String {
        self.token(&self.header, &self.claims)
    }

    fn token(&self, header: &impl ToString, claims: &impl ToString) -> String {
        self.key.token_of(header, claims)
    }

    /// The signed parts of a good token.
    fn message(&self) -> String {
        self.good_token().rsplit_once('.').expect("three parts").0.to_owned()
    }

    fn sign(&self, message: &str) -> String {
        format!("{message}.{}", self.key.signature(message))
    }

    fn verify(&self, token: &str) -> Result<Claims, VerifyError> {
        self.verify_at(token, NOW)
    }

    fn verify_at(&self, token: &str, now: i64) -> Result<Claims, VerifyError> {
        let (_, claims) = self.keys.verify(token).map_err(|_| VerifyError::InvalidToken)?;
        claims.check(HERE, HERE, now).map(|()| claims)
    }

    #[track_caller]
    fn assert_accepted(&self, token: &str) -> Claims {
        self.verify(token).unwrap_or_else(|error| panic!("{error:?} ({}): {token}", self.key.alg))
    }

    #[track_caller]
    fn assert_invalid(&self, token: &str) {
        self.assert_refused(token, VerifyError::InvalidToken);
    }

    #[track_caller]
    fn assert_refused(&self, token: &str, error: VerifyError) {
        assert_eq!(self.verify(token).err(), Some(error), "{}: {token}", self.key.alg);
    }

    #[track_caller]
    fn assert_header_refused(&self, header: impl ToString) {
        self.assert_invalid(&self.token(&header, &self.claims));
    }

    #[track_caller]
    fn assert_claims_refused(&self, claims: impl ToString) {
        self.assert_invalid(&self.token(&self.header, &claims));
    }
}
