//! The second factors of an account: its authenticator and its recovery codes, by the one `code` that stands for either.

mod error;
mod management;
mod store;
mod verification;

use std::sync::Arc;

use uuid::Uuid;

use crate::audit::Trail;
use crate::challenges::{ChallengeCode, Challenges, CheckedProof, Purpose};
use crate::clock::Clock;
use crate::crypto::{Sealer, SecretBytes};
use crate::database::{ConnectionPool, DatabaseError};
use crate::logins::Logins;
use crate::mail::{Mails, SealedMail};
use crate::metrics::Metrics;
use crate::network_rate_limits::Limiter;
use crate::users::find_recipient;

use super::email_code::CodeError;
use super::recovery_code;
use super::totp::{self, TotpSecret};
use super::{FactorContext, RemovalRules};

pub use self::error::SecondFactorError;
pub use self::management::{Factors, ListedTotp};
pub(super) use self::verification::SecondFactorTry;
pub use self::verification::{ConfirmedSecondFactor, NewPending, PendingSecondFactor, VerifiedSecondFactor};

/// Enrols, verifies, lists and removes second factors.
pub struct SecondFactors {
    pub(super) pool: ConnectionPool,
    pub(super) challenges: Arc<Challenges>,
    pub(super) mails: Arc<Mails>,
    pub(super) secrets: Sealer,
    /// What authenticators call the service.
    pub(super) issuer: String,
    /// `LOGIN_LIMIT`.
    pub(super) limit: Limiter,
    removal: RemovalRules,
    pub(super) clock: Clock,
    pub(super) logins: Logins,
    pub(super) trail: Trail,
    pub(super) metrics: Metrics,
}

impl SecondFactors {
    /// Enrols and verifies second factors. `issuer` is the name that authenticators show.
    pub fn new(context: &FactorContext<'_>, issuer: String) -> Self {
        Self {
            pool: context.pool.clone(),
            challenges: Arc::clone(&context.challenges),
            mails: Arc::clone(&context.mails),
            secrets: Sealer::derive(context.secret, totp::SEALING_PURPOSE),
            issuer,
            limit: context.limit.clone(),
            removal: context.removal.clone(),
            clock: context.clock.clone(),
            logins: context.logins.clone(),
            trail: context.trail.clone(),
            metrics: context.metrics.clone(),
        }
    }

    /// Whether each login of the user takes two factors.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn has_two_step(&self, user: Uuid) -> Result<bool, DatabaseError> {
        store::has_two_step(&self.pool, user).await
    }

    /// The account's credential version. `None`: the user is gone.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn version(&self, user: Uuid) -> Result<Option<i32>, DatabaseError> {
        Ok(find_recipient(&self.pool, user).await?.map(|(version, _)| version))
    }

    /// The proof that a code may be, for this authenticator.
    async fn read_code(&self, code: &str, totp: Option<&SealedTotp>) -> ReadCode {
        let code = ChallengeCode::typed(code);
        let code = code.reveal();
        let secret = match totp.filter(|_| totp::is_totp(code)) {
            Some(totp) => self.unseal(totp).await,
            None => None,
        };
        ReadCode {
            totp_step: secret.and_then(|secret| secret.step_of(code, self.clock.now())),
            recovery_hash: recovery_code::hash(code),
        }
    }

    /// Counts a try at a challenge, or at a step-up. No error: it was redeemed.
    pub(super) fn count_try(&self, purpose: &str, method: &str, error: Option<&CodeError>) {
        if let Some(outcome) = error.map_or(Some("redeemed"), CodeError::metric_outcome) {
            self.metrics.challenge(purpose, method, outcome);
        }
    }

    /// The secret of an authenticator. One that is sealed under the previous `APP_SECRET` is sealed anew.
    async fn unseal(&self, totp: &SealedTotp) -> Option<TotpSecret> {
        let Some(unsealed) = self.secrets.unseal(&totp.id.to_string(), &totp.secret) else {
            tracing::error!(totp = %totp.id, "the secret of an authenticator can't be unsealed: was APP_SECRET replaced?");
            return None;
        };
        if unsealed.is_sealed_under_previous {
            let anew = self.seal(totp.id, &unsealed.secret);
            // A failure is only logged: the next use tries again.
            if let Err(error) = totp::store::replace_secret(&self.pool, totp.id, &totp.secret, &anew).await {
                tracing::warn!(totp = %totp.id, %error, "the secret of an authenticator was not sealed anew");
            }
        }
        Some(TotpSecret::new(unsealed.secret))
    }

    /// # Panics
    /// When the system's random number generator fails.
    #[expect(
        clippy::expect_used,
        reason = "no secret can be made without randomness, whatever the caller did"
    )]
    pub(super) fn seal(&self, id: Uuid, secret: &SecretBytes) -> Vec<u8> {
        self.secrets.seal(&id.to_string(), secret).expect("the system's random number generator works")
    }
}

/// The method that a code is of by its form, as metrics name it.
fn method_of(code: &str) -> &'static str {
    let code = ChallengeCode::typed(code);
    match code.reveal() {
        code if totp::is_totp(code) => "totp",
        code if recovery_code::hash(code).is_some() => "recovery_code",
        _ => "second_factor",
    }
}

/// An authenticator as it is stored.
struct SealedTotp {
    id: Uuid,
    secret: Vec<u8>,
}

/// What the database compares a code with.
pub(super) struct ReadCode {
    /// The time step of a right TOTP, which may have been used.
    pub(super) totp_step: Option<i64>,
    /// SHA-256 of what has the form of a recovery code.
    pub(super) recovery_hash: Option<[u8; 32]>,
}

impl ReadCode {
    /// What is used up with it.
    fn checked(&self, purpose: Purpose, notice: Option<SealedMail>) -> CheckedProof {
        CheckedProof {
            purpose: Some(purpose),
            totp_step: self.totp_step,
            recovery_hash: self.recovery_hash,
            notice,
            ..CheckedProof::default()
        }
    }
}
