//! Resetting a forgotten password: with a code by mail, and with two-step sign-in with the second factor as well. Ends every
//! login, and signs nobody in.

use secrecy::{ExposeSecret, SecretString};

use crate::audit::{Actor, Kind, NewEvent};
use crate::auth::ChallengeHalves;
use crate::challenges::{Challenge, ChallengeToken, Purpose};
use crate::error::Problem;
use crate::factors::email_code::{CodeAttempt, CodeError, EmailCodeFactor, settle};
use crate::factors::passkey::{PasskeyAttemptError, PasskeyFactor, PasskeyHalves, VerifiedPasskeyUser};
use crate::factors::second_factor::{PendingSecondFactor, SecondFactorTry, SecondFactors};
use crate::http::client::Client;
use crate::logins::Amr;
use crate::mail::Message;
use crate::users::{PasswordError, UserIdAndName};

use super::reset_store::{self, PendingReset, Reset, TriedReset};
use super::{ChangePasswordError, PasswordFactor};

/// The outcome of a reset with a right code.
#[derive(Debug)]
pub enum ResetOutcome {
    /// The password was set.
    Reset,
    /// The account has two-step sign-in: the same challenge goes on with a code of the second factor.
    SecondFactorWanted(PendingSecondFactor),
}

/// Why a password was not reset.
#[derive(Debug, thiserror::Error)]
pub enum ResetPasswordError {
    /// The new password breaks the rules.
    #[error(transparent)]
    New(#[from] ChangePasswordError),
    /// No hash could be computed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The challenge was not redeemed.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The challenge was not redeemed by a passkey or security key.
    #[error(transparent)]
    Passkey(#[from] PasskeyAttemptError),
}

impl From<ResetPasswordError> for Problem {
    fn from(error: ResetPasswordError) -> Self {
        match error {
            ResetPasswordError::New(error) => error.into(),
            ResetPasswordError::Password(error) => error.into(),
            ResetPasswordError::Code(error) => error.into(),
            ResetPasswordError::Passkey(error) => error.into(),
        }
    }
}

impl PasswordFactor {
    /// Sets a new password with both halves of a challenge. The new password is checked and hashed before the code is tried:
    /// a refused one uses nothing up.
    ///
    /// # Errors
    /// See [`ResetPasswordError`].
    pub async fn reset(
        &self,
        codes: &EmailCodeFactor,
        second_factors: &SecondFactors,
        halves: &ChallengeHalves,
        new: &SecretString,
        client: &Client,
    ) -> Result<ResetOutcome, ResetPasswordError> {
        let actor = client.actor();
        self.check_new(new)?;
        let token = ChallengeToken::parse(halves.challenge.expose_secret());
        let is_pending = match &token {
            Some(token) => {
                let pending = second_factors.is_pending(token, Purpose::ResetPassword).await;
                pending.map_err(CodeError::from)?
            }
            None => false,
        };
        let outcome = match token {
            Some(token) if is_pending => {
                let code = halves.code.expose_secret();
                let outcome =
                    self.reset_by_second_factor(second_factors, &token, code, new, client, &actor).await;
                if outcome.is_ok() || code_error(&outcome).is_some() {
                    second_factors.record_try(Purpose::ResetPassword, code, code_error(&outcome), &actor);
                }
                outcome
            }
            _ => {
                let outcome = self.reset_by_mail(codes, second_factors, halves, new, client, &actor).await;
                if outcome.is_ok() || code_error(&outcome).is_some() {
                    codes.record(Purpose::ResetPassword, code_error(&outcome), &actor);
                }
                outcome
            }
        };
        if let Ok(ResetOutcome::Reset) = &outcome {
            self.mails.wake_up();
            self.logins.notify_and_catch_up().await;
        }
        outcome
    }

    /// Goes on with a reset that has had its mail: sets the new password with a passkey or security key of the account.
    ///
    /// # Errors
    /// See [`ResetPasswordError`].
    pub async fn reset_by_passkey(
        &self,
        passkeys: &PasskeyFactor,
        halves: PasskeyHalves<'_>,
        new: &SecretString,
        client: &Client,
    ) -> Result<(), ResetPasswordError> {
        let (purpose, failure, actor) = (Purpose::ResetPassword, Kind::SecondFactorFailed, client.actor());
        self.check_new(new)?;
        let checked = passkeys.check(purpose, halves, client, &actor, failure).await?;
        let hash = match self.hasher.hash(new.expose_secret()).await {
            Ok(hash) => hash,
            Err(error) => {
                checked.forget();
                return Err(error.into());
            }
        };
        let VerifiedPasskeyUser { user, recipient, proof, attempt, .. } =
            passkeys.redeem(checked, &actor).await?;
        let notice = self.mails.seal_notice(&recipient, Message::PasswordReset);
        let reset = Reset { address: &client.address.to_string(), hash: &hash, notice: notice.as_ref() };
        // A second statement, after the one that has used the challenge up: it sets the password only while the account is as
        // it was proved. Of all resets and other changes of that version, one succeeds.
        let is_reset =
            reset_store::after_proof(&self.pool, user.id, proof.version(), reset, self.clock.now()).await;
        match is_reset {
            Ok(true) => {}
            Ok(false) => return Err(CodeError::Expired.into()),
            Err(error) => return Err(settle(attempt, error.into()).into()),
        }
        attempt.forget();
        self.record_reset(user.into(), &actor);
        self.mails.wake_up();
        self.logins.notify_and_catch_up().await;
        Ok(())
    }

    async fn reset_by_mail(
        &self,
        codes: &EmailCodeFactor,
        second_factors: &SecondFactors,
        halves: &ChallengeHalves,
        new: &SecretString,
        client: &Client,
        actor: &Actor,
    ) -> Result<ResetOutcome, ResetPasswordError> {
        let (challenge, code) = (halves.challenge.expose_secret(), halves.code.expose_secret());
        let attempt = codes.attempt(Purpose::ResetPassword, challenge, code, client).await?;
        let hash = match self.hasher.hash(new.expose_secret()).await {
            Ok(hash) => hash,
            Err(error) => {
                attempt.limited.forget();
                return Err(error.into());
            }
        };
        match self.redeem_mailed(codes, attempt, &hash, client, actor).await? {
            None => Ok(ResetOutcome::Reset),
            Some(PendingReset { user_id, id, expires_at }) => {
                let token = ChallengeToken::parse(challenge).ok_or(CodeError::Expired)?;
                let methods = second_factors.methods(user_id).await.map_err(CodeError::from)?;
                let challenge = Challenge { token, id, expires_at };
                second_factors.count_pending(Purpose::ResetPassword);
                Ok(ResetOutcome::SecondFactorWanted(PendingSecondFactor { challenge, user_id, methods }))
            }
        }
    }

    /// `None`: the password was reset.
    async fn redeem_mailed(
        &self,
        codes: &EmailCodeFactor,
        attempt: CodeAttempt<'_>,
        hash: &str,
        client: &Client,
        actor: &Actor,
    ) -> Result<Option<PendingReset>, CodeError> {
        let CodeAttempt { halves, user, is_locked_account, limited } = attempt;
        // It tells of the reset as well.
        let message = if is_locked_account { Message::AccountUnlocked } else { Message::PasswordReset };
        let notice = codes.seal_notice(user.as_ref(), message);
        let reset = Reset { address: &client.address.to_string(), hash, notice: notice.as_ref() };
        match (reset_store::by_mail(&self.pool, &halves, reset, self.clock.now()).await, user) {
            (Ok(Some(TriedReset::Reset)), Some((user, _))) => {
                limited.forget();
                self.record_reset(user, actor);
                Ok(None)
            }
            (Ok(Some(TriedReset::Pending(pending))), Some(_)) => {
                limited.forget();
                Ok(Some(pending))
            }
            (Ok(Some(TriedReset::WrongCode)), user) => Err(CodeError::WrongCode(user.map(|(user, _)| user))),
            (Ok(_), _) => Err(CodeError::Expired),
            (Err(error), _) => Err(settle(limited, error.into())),
        }
    }

    async fn reset_by_second_factor(
        &self,
        second_factors: &SecondFactors,
        token: &ChallengeToken,
        code: &str,
        new: &SecretString,
        client: &Client,
        actor: &Actor,
    ) -> Result<ResetOutcome, ResetPasswordError> {
        let SecondFactorTry { user, recipient, code, notice: recovery_notice, limited, .. } =
            second_factors.begin_try(Purpose::ResetPassword, token, code, client).await?;
        let hash = match self.hasher.hash(new.expose_secret()).await {
            Ok(hash) => hash,
            Err(error) => {
                limited.forget();
                return Err(error.into());
            }
        };
        let owner = UserIdAndName::from(user);
        let notice = self.mails.seal_notice(&recipient, Message::PasswordReset);
        let reset = Reset { address: &client.address.to_string(), hash: &hash, notice: notice.as_ref() };
        let (token_hash, now) = (token.hash(), self.clock.now());
        let tried = reset_store::by_second_factor(
            &self.pool,
            &token_hash,
            &code,
            recovery_notice.as_ref(),
            reset,
            now,
        );
        let (method, tried) = match tried.await {
            Ok(tried) => tried.ok_or(CodeError::Expired)?,
            Err(error) => return Err(settle(limited, error.into()).into()),
        };
        if let Some(method) = method {
            let used = NewEvent::new(Kind::RecoveryCodeUsed, actor);
            second_factors.record_use(Amr::of_names([method.as_str()]), used, &owner);
        }
        match tried {
            TriedReset::Reset => {
                limited.forget();
                self.record_reset(owner, actor);
                Ok(ResetOutcome::Reset)
            }
            TriedReset::WrongCode => Err(CodeError::WrongCode(Some(owner)).into()),
            TriedReset::Changed | TriedReset::Pending(_) => Err(CodeError::Expired.into()),
        }
    }

    fn record_reset(&self, user: UserIdAndName, actor: &Actor) {
        let UserIdAndName { id, username } = user;
        self.trail.record(NewEvent::new(Kind::PasswordReset, actor).of_user(id, username));
    }
}

fn code_error<T>(outcome: &Result<T, ResetPasswordError>) -> Option<&CodeError> {
    match outcome {
        Err(ResetPasswordError::Code(error)) => Some(error),
        _ => None,
    }
}
