//! Step-up: one more proof for a login that is live, which gives it a new credential. Every earlier one is dead then.

use chrono::{DateTime, Utc};

use crate::audit::{Actor, Kind};
use crate::auth::{Identity, RotatedSecret, StepUpRequest};
use crate::database::DatabaseError;
use crate::error::{Code, Problem};
use crate::factors::Proof;
use crate::factors::password::{ConfirmPasswordError, Confirmed};
use crate::http::client::Client;
use crate::logins::{Login, StepUp, StepUpOutcome};

use super::{SignIn, policy};

/// Why a login was not stepped up.
#[derive(Debug, thiserror::Error)]
pub enum StepUpError {
    /// The password proved nothing.
    #[error(transparent)]
    Unconfirmed(#[from] ConfirmPasswordError),
    /// The login was refreshed or stepped up in the meantime: that credential is on its way to its owner.
    #[error("the login was renewed meanwhile")]
    Overtaken,
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
    /// As a problem; a login that has ended is refused with `ended`, in its mode's words.
    pub fn problem(self, ended: impl Into<Problem>) -> Problem {
        match self {
            Self::Unconfirmed(error) => error.into(),
            Self::Overtaken => Problem::new(
                Code::Conflict,
                "The login was refreshed or stepped up meanwhile. Try again with the credential that came of it.",
            ),
            Self::LoginEnded => ended.into(),
        }
    }
}

impl SignIn {
    /// Has somebody prove once more that a live login is theirs. Gives the login as it is then, to be presented by a credential made of
    /// `next` alone. It is ended in no case.
    ///
    /// # Errors
    /// See [`StepUpError`].
    pub async fn step_up(
        &self,
        identity: &Identity,
        request: &StepUpRequest,
        client: &Client,
        next: &RotatedSecret,
    ) -> Result<Login, StepUpError> {
        let actor = identity.actor(client);
        let outcome = self.try_step_up(identity, request, client, next, &actor).await;
        if let Err(StepUpError::Unconfirmed(error)) = &outcome {
            self.password.record_unconfirmed(error, Kind::StepUpFailed, &actor);
        }
        outcome
    }

    async fn try_step_up(
        &self,
        identity: &Identity,
        request: &StepUpRequest,
        client: &Client,
        next: &RotatedSecret,
        actor: &Actor,
    ) -> Result<Login, StepUpError> {
        // As it stands before the proof: what renews it while that is checked must not be dead before it has arrived.
        let login = self.logins.find_live(identity.login_id).await?.ok_or(StepUpError::LoginEnded)?;
        if next.shown.is_some_and(|generation| !self.logins.is_presented_by(&login, generation)) {
            return Err(StepUpError::Overtaken);
        }
        let Confirmed { proof, attempt } =
            self.password.confirm(identity.user_id, &request.password, client).await?;
        let outcome = self.raise(&login, proof, next, self.clock.now(), actor).await;
        attempt.end(matches!(outcome, Err(StepUpError::Unconfirmed(ConfirmPasswordError::WrongPassword))));
        outcome
    }

    async fn raise(
        &self,
        login: &Login,
        proof: Proof,
        next: &RotatedSecret,
        now: DateTime<Utc>,
        actor: &Actor,
    ) -> Result<Login, StepUpError> {
        let step_up = StepUp {
            generation: login.generations.current,
            shown: next.shown,
            authentication: policy::raise(login.authentication, proof, now),
            password_version: proof.version(),
            secret_hash: next.new_hash,
        };
        match self.logins.step_up(login.id, &step_up, actor).await? {
            StepUpOutcome::SteppedUp(login) => Ok(*login),
            StepUpOutcome::Overtaken => Err(StepUpError::Overtaken),
            StepUpOutcome::ProofChanged => Err(ConfirmPasswordError::WrongPassword.into()),
            StepUpOutcome::Ended => Err(StepUpError::LoginEnded),
        }
    }
}
