//! Challenges whose code comes by a callback: whoever is called back by their `state` makes the code, once.

use uuid::Uuid;

use crate::crypto::{SecretBytes, random_bytes};
use crate::database::DatabaseError;

use super::{Challenge, ChallengeCode, ChallengeToken, ChallengeWithoutMail, Challenges, Purpose, store};

/// A challenge that was called back. Nobody calls it back a second time.
#[derive(Debug)]
pub struct CalledBack {
    /// The challenge's id.
    pub id: Uuid,
    /// What it is good for.
    pub purpose: Purpose,
    /// What was kept.
    pub state: SecretBytes,
    token_hash: Vec<u8>,
}

/// The outcome of a code, tried at a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TriedCode {
    /// Whether it is right. The challenge is used up then.
    pub is_right: bool,
    /// The account's id, if the challenge is of one.
    pub user_id: Option<Uuid>,
    /// The account's `password_version` when the challenge was created.
    pub version: Option<i32>,
}

impl Challenges {
    /// Creates a challenge that is called back by what has this SHA-256.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn create_for_callback(
        &self,
        new: ChallengeWithoutMail,
        callback_hash: &[u8; 32],
    ) -> Result<Challenge, DatabaseError> {
        self.insert(new, Some(callback_hash)).await
    }

    /// Takes the call back to a challenge that can still be redeemed. `None`: it was called back, or is over.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn take_callback(&self, callback_hash: &[u8; 32]) -> Result<Option<CalledBack>, DatabaseError> {
        let taken = store::take_callback(&self.pool, callback_hash, self.clock.now()).await?;
        Ok(taken.and_then(|row| {
            let state = self.states.unseal(&row.id.to_string(), &row.state)?.secret;
            let purpose = Purpose::of_name(&row.purpose)?;
            Some(CalledBack { id: row.id, purpose, state, token_hash: row.token_hash })
        }))
    }

    /// Makes the code of a challenge that was called back, and keeps `state` from then on. `None`: it is over.
    ///
    /// # Errors
    /// If the query fails.
    ///
    /// # Panics
    /// When the system's random number generator fails.
    pub async fn answer_callback(
        &self,
        called_back: &CalledBack,
        state: &SecretBytes,
    ) -> Result<Option<ChallengeCode>, DatabaseError> {
        let code = ChallengeCode::typed(&format!("{:032x}", u128::from_ne_bytes(random_bytes())));
        let code_mac =
            self.codes.sign(&[called_back.token_hash.as_slice(), code.reveal().as_bytes()].concat());
        let sealed = self.seal_state(called_back.id, state);
        let now = self.clock.now();
        let is_there = store::answer_callback(&self.pool, called_back.id, &code_mac, &sealed, now).await?;
        Ok(is_there.then_some(code))
    }

    /// Tries a code: counts, compares, and uses the challenge up. `None`: it is over.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn try_code(
        &self,
        token: &ChallengeToken,
        code: &ChallengeCode,
        purpose: Purpose,
        login: Option<Uuid>,
    ) -> Result<Option<TriedCode>, DatabaseError> {
        store::try_code(&self.pool, &self.hash(token, code), purpose, login, self.clock.now()).await
    }

    /// Counts a try at a challenge whose other half is checked elsewhere. `false`: it is over.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn begin_try(&self, token: &ChallengeToken, purpose: Purpose) -> Result<bool, DatabaseError> {
        store::begin_try(&self.pool, &token.hash(), purpose, self.clock.now()).await
    }

    /// Uses a challenge up, whose other half was checked elsewhere, be it at the last try. `false`: it is over.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn use_up(&self, token: &ChallengeToken, purpose: Purpose) -> Result<bool, DatabaseError> {
        store::use_up(&self.pool, &token.hash(), purpose, self.clock.now()).await
    }
}
