//! Step-up: authenticates the user of a live login again, and replaces all its credentials by a new one.

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;

use crate::audit::{Actor, Kind, NewEvent};
use crate::auth::{ChallengeHalves, Identity, PasskeyAnswer, StepUpProof, StepUpSecret};
use crate::challenges::{CheckedProof, Purpose};
use crate::database::DatabaseError;
use crate::error::{Code, Problem};
use crate::factors::Proof;
use crate::factors::email_code::CodeError;
use crate::factors::passkey::{ConfirmedPasskey, PasskeyAttemptError, PasskeyHalves};
use crate::factors::password::{ConfirmPasswordError, Confirmed};
use crate::factors::second_factor::ConfirmedSecondFactor;
use crate::http::client::Client;
use crate::logins::{Login, StepUp, StepUpOutcome};
use crate::users::UserIdAndName;

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
                let outcome = self
                    .apply_step_up(
                        &login,
                        identity.mode,
                        (proof, self.clock.now()),
                        CheckedProof::default(),
                        next,
                        actor,
                    )
                    .await;
                attempt.end(matches!(outcome, Ok(None)));
                outcome?.ok_or_else(|| ConfirmPasswordError::WrongPassword.into())
            }
            StepUpProof::Code(code) => {
                self.step_up_by_code(identity, &login, code.expose_secret(), client, next, actor).await
            }
            StepUpProof::Passkey(PasskeyAnswer { challenge, passkey }) => {
                let passkeys = self.passkeys.as_ref().ok_or(StepUpError::NoPasskeys)?;
                let halves = PasskeyHalves { challenge: challenge.expose_secret(), passkey };
                let ConfirmedPasskey { proof, checked, answer } =
                    passkeys.confirm(identity, halves, client).await?;
                let proof = (proof, self.clock.now());
                match self.apply_step_up(&login, identity.mode, proof, checked, next, actor).await? {
                    Some(login) => {
                        passkeys.record_used(&answer);
                        Ok(login)
                    }
                    None => Err(passkeys.why_unused(answer, actor).await.into()),
                }
            }
            StepUpProof::Challenge(halves) => {
                let proof = self.proof_of_own_challenge(identity, halves, client).await?;
                let outcome = self
                    .apply_step_up(&login, identity.mode, proof, CheckedProof::default(), next, actor)
                    .await;
                outcome?.ok_or_else(|| CodeError::Expired.into())
            }
        }
    }

    /// A code that came by mail, or by a provider's redirect; and when they proved themselves.
    async fn proof_of_own_challenge(
        &self,
        identity: &Identity,
        halves: &ChallengeHalves,
        client: &Client,
    ) -> Result<(Proof, DateTime<Utc>), StepUpError> {
        if self.is_of_provider(identity, halves, Purpose::StepUp).await? {
            return self.proof_of_own_provider(identity, halves, client).await;
        }
        let (challenge, code) = (halves.challenge.expose_secret(), halves.code.expose_secret());
        let proof = self.email_code.confirm(identity, challenge, code, client).await?;
        Ok((proof, self.clock.now()))
    }

    /// The word of a provider that is linked to the account; and when they proved themselves there, which may be minutes ago.
    async fn proof_of_own_provider(
        &self,
        identity: &Identity,
        halves: &ChallengeHalves,
        client: &Client,
    ) -> Result<(Proof, DateTime<Utc>), StepUpError> {
        let (came, account) = self.redeem_own(identity, halves, Purpose::StepUp, client).await?;
        let linked = self.identities.find(&came).await?.filter(|linked| linked.user_id == identity.user_id);
        let Some(linked) = linked else {
            // Somebody else came back, or the identity is not linked any more. The challenge is used up.
            self.trail.record(NewEvent::to_oneself(Kind::StepUpFailed, &identity.actor(client)));
            return Err(CodeError::Expired.into());
        };
        let now = self.clock.now();
        self.identities.record_use(linked.id, &came, now).await?;
        let proves_both_factors = came.proves_both_factors;
        let proof = Proof::Provider { proves_both_factors, version: account.version };
        Ok((proof, came.auth_time.map_or(now, |at| at.min(now))))
    }

    async fn step_up_by_code(
        &self,
        identity: &Identity,
        login: &Login,
        code: &str,
        client: &Client,
        next: &StepUpSecret,
        actor: &Actor,
    ) -> Result<Login, StepUpError> {
        let confirmed = self.second_factors.confirm(identity, code, client).await?;
        let ConfirmedSecondFactor { proof, checked, attempt } = confirmed;
        let proved = (proof, self.clock.now());
        let outcome = self.apply_step_up(login, identity.mode, proved, checked, next, actor).await;
        let owner = UserIdAndName { id: identity.user_id, username: identity.username.clone() };
        match outcome {
            Ok(Some(login)) => {
                attempt.forget();
                self.second_factors.record_used(Purpose::StepUp, code, proof, &owner, actor);
                Ok(login)
            }
            Ok(None) => {
                let error = CodeError::WrongCode(Some(owner));
                self.second_factors.record_unconfirmed(code, &error, actor);
                Err(error.into())
            }
            Err(error) => {
                attempt.forget();
                Err(error)
            }
        }
    }

    /// Uses the proof up and raises the login, or neither. `None`: the proof was used by another, or the account has changed.
    async fn apply_step_up(
        &self,
        login: &Login,
        mode: &'static str,
        (proof, at): (Proof, DateTime<Utc>),
        checked: CheckedProof,
        next: &StepUpSecret,
        actor: &Actor,
    ) -> Result<Option<Login>, StepUpError> {
        let step_up = StepUp {
            mode,
            generation: login.generations.current,
            shown: next.shown,
            authentication: policy::with_proof(
                login.authentication,
                proof.amr(),
                proof.acr(),
                login.authentication.time.map_or(at, |before| at.max(before)),
            ),
            password_version: proof.version(),
            secret_hash: next.new_hash,
            proof: checked,
        };
        match self.logins.step_up(login.id, &step_up, actor).await? {
            StepUpOutcome::SteppedUp(login) => Ok(Some(*login)),
            StepUpOutcome::NotPresented => Err(StepUpError::NotPresented),
            StepUpOutcome::Overtaken => Err(StepUpError::ConcurrentRenewal),
            StepUpOutcome::ProofChanged => Ok(None),
            StepUpOutcome::Ended => Err(StepUpError::LoginEnded),
        }
    }
}
