//! Step-up: authenticates the user of a live login again, and replaces all its credentials by a new one.

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;

use crate::audit::{Actor, Kind, NewEvent};
use crate::auth::{ChallengeHalves, Identity, PasskeyAnswer, StepUpProof, StepUpSecret};
use crate::database::DatabaseError;
use crate::error::{Code, Problem};
use crate::factors::Proof;
use crate::factors::email_code::CodeError;
use crate::factors::passkey::{PasskeyAttemptError, PasskeyHalves};
use crate::factors::password::{ConfirmPasswordError, Confirmed};
use crate::factors::second_factor::ConfirmedSecondFactor;
use crate::http::client::Client;
use crate::logins::{Login, StepUp, StepUpOutcome};

use super::challenges::unknown_method;
use super::{SignIn, policy};

/// Why a step-up failed.
#[derive(Debug, thiserror::Error)]
pub enum StepUpError {
    /// The password could not be confirmed.
    #[error(transparent)]
    Unconfirmed(#[from] ConfirmPasswordError),
    /// The second factor could not be confirmed.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The passkey or security key could not be confirmed.
    #[error(transparent)]
    Passkey(#[from] PasskeyAttemptError),
    /// There are no passkeys here.
    #[error("there are no passkeys here")]
    NoPasskeys,
    /// The login was refreshed or stepped up meanwhile, and the client has yet to receive that credential.
    #[error("the login was renewed meanwhile")]
    ConcurrentRenewal,
    /// The credential was an access token of a login that has no refresh token.
    #[error("the mode has no credential of the login that could be replaced")]
    NotPresented,
    /// The login has ended.
    #[error("the login has ended")]
    LoginEnded,
}

impl From<DatabaseError> for StepUpError {
    fn from(error: DatabaseError) -> Self {
        Self::Unconfirmed(error.into())
    }
}

impl StepUpError {
    /// The problem document; `ended` is the mode's own error for a login that has ended.
    pub fn problem(self, ended: impl Into<Problem>) -> Problem {
        match self {
            Self::Unconfirmed(error) => error.into(),
            Self::Code(error) => error.into(),
            Self::Passkey(error) => error.into(),
            Self::NoPasskeys => unknown_method(),
            Self::ConcurrentRenewal => Problem::new(
                Code::Conflict,
                "The login was refreshed or stepped up meanwhile. Try again with the credential that came of it.",
            ),
            Self::NotPresented => Problem::new(
                Code::Conflict,
                "This mode has no credential of the login that a step-up could replace. Step up in the other mode, or hand the login off first.",
            ),
            Self::LoginEnded => ended.into(),
        }
    }
}

impl SignIn {
    /// Authenticates the user of a live login again. Returns the updated login, whose only valid credential is then the one
    /// made of `next`. A failure never ends the login.
    ///
    /// # Errors
    /// See [`StepUpError`].
    pub async fn step_up(
        &self,
        identity: &Identity,
        proof: &StepUpProof,
        client: &Client,
        next: &StepUpSecret,
    ) -> Result<Login, StepUpError> {
        let actor = identity.actor(client);
        let outcome = self.try_step_up(identity, proof, client, next, &actor).await;
        match &outcome {
            Err(StepUpError::Unconfirmed(error)) => {
                self.password.record_unconfirmed(error, Kind::StepUpFailed, &actor);
            }
            Err(StepUpError::Code(CodeError::WrongCode(_))) => {
                self.trail.record(NewEvent::to_oneself(Kind::StepUpFailed, &actor));
            }
            _ => {}
        }
        outcome
    }

    async fn try_step_up(
        &self,
        identity: &Identity,
        proof: &StepUpProof,
        client: &Client,
        next: &StepUpSecret,
        actor: &Actor,
    ) -> Result<Login, StepUpError> {
        // Read before the password is verified: if a refresh renews the login meanwhile, the step-up must fail rather than
        // invalidate a credential that the client has not received yet.
        let login = self.logins.find_live(identity.login_id, identity.mode).await?;
        let login = login.ok_or(StepUpError::LoginEnded)?;
        if !login.is_presented {
            return Err(StepUpError::NotPresented);
        }
        if next.shown.is_some_and(|generation| !self.logins.is_presented_by(&login, generation)) {
            return Err(StepUpError::ConcurrentRenewal);
        }
        match proof {
            StepUpProof::Password(password) => {
                let Confirmed { proof, attempt } =
                    self.password.confirm(identity.user_id, password, client).await?;
                let outcome =
                    self.apply_step_up(&login, identity.mode, proof, next, self.clock.now(), actor).await;
                let has_changed =
                    matches!(outcome, Err(StepUpError::Unconfirmed(ConfirmPasswordError::WrongPassword)));
                attempt.end(has_changed);
                outcome
            }
            StepUpProof::Code(code) => {
                let confirmed = self.second_factors.confirm(identity, code.expose_secret(), client).await?;
                let ConfirmedSecondFactor { proof, attempt } = confirmed;
                attempt.forget();
                self.apply_step_up(&login, identity.mode, proof, next, self.clock.now(), actor).await
            }
            StepUpProof::Passkey(PasskeyAnswer { challenge, passkey }) => {
                let passkeys = self.passkeys.as_ref().ok_or(StepUpError::NoPasskeys)?;
                let halves = PasskeyHalves { challenge: challenge.expose_secret(), passkey };
                let proof = passkeys.confirm(identity, halves, client).await?;
                self.apply_step_up(&login, identity.mode, proof, next, self.clock.now(), actor).await
            }
            StepUpProof::Challenge(ChallengeHalves { challenge, code }) => {
                let (challenge, code) = (challenge.expose_secret(), code.expose_secret());
                let proof = self.email_code.confirm(identity, challenge, code, client).await?;
                self.apply_step_up(&login, identity.mode, proof, next, self.clock.now(), actor).await
            }
        }
    }

    async fn apply_step_up(
        &self,
        login: &Login,
        mode: &'static str,
        proof: Proof,
        next: &StepUpSecret,
        now: DateTime<Utc>,
        actor: &Actor,
    ) -> Result<Login, StepUpError> {
        let step_up = StepUp {
            mode,
            generation: login.generations.current,
            shown: next.shown,
            authentication: policy::with_proof(login.authentication, proof, now),
            password_version: proof.version(),
            secret_hash: next.new_hash,
        };
        match self.logins.step_up(login.id, &step_up, actor).await? {
            StepUpOutcome::SteppedUp(login) => Ok(*login),
            StepUpOutcome::NotPresented => Err(StepUpError::NotPresented),
            StepUpOutcome::Overtaken => Err(StepUpError::ConcurrentRenewal),
            StepUpOutcome::ProofChanged => Err(ConfirmPasswordError::WrongPassword.into()),
            StepUpOutcome::Ended => Err(StepUpError::LoginEnded),
        }
    }
}
