//! Resetting a forgotten password with a code by mail. Ends every login, and signs nobody in.

use secrecy::{ExposeSecret, SecretString};

use crate::audit::{Actor, Kind, NewEvent};
use crate::challenges::Purpose;
use crate::error::Problem;
use crate::factors::email_code::{CodeAttempt, CodeError, EmailCodeFactor, settle};
use crate::http::client::Client;
use crate::mail::Message;
use crate::users::{PasswordError, UserIdAndName};

use super::{ChangePasswordError, PasswordFactor, store};

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
}

impl From<ResetPasswordError> for Problem {
    fn from(error: ResetPasswordError) -> Self {
        match error {
            ResetPasswordError::New(error) => error.into(),
            ResetPasswordError::Password(error) => error.into(),
            ResetPasswordError::Code(error) => error.into(),
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
        challenge: &str,
        code: &str,
        new: &SecretString,
        client: &Client,
    ) -> Result<(), ResetPasswordError> {
        let actor = client.actor();
        self.check_new(new)?;
        let outcome = self.try_reset(codes, challenge, code, new, client, &actor).await;
        match &outcome {
            Ok(()) => codes.record(Purpose::ResetPassword, None, &actor),
            Err(ResetPasswordError::Code(error)) => {
                codes.record(Purpose::ResetPassword, Some(error), &actor);
            }
            Err(ResetPasswordError::New(_) | ResetPasswordError::Password(_)) => {}
        }
        outcome?;
        self.mails.wake_up();
        self.logins.notify_and_catch_up().await;
        Ok(())
    }

    async fn try_reset(
        &self,
        codes: &EmailCodeFactor,
        challenge: &str,
        code: &str,
        new: &SecretString,
        client: &Client,
        actor: &Actor,
    ) -> Result<(), ResetPasswordError> {
        let attempt = codes.attempt(Purpose::ResetPassword, challenge, code, client).await?;
        let hash = match self.hasher.hash(new.expose_secret()).await {
            Ok(hash) => hash,
            Err(error) => {
                attempt.limited.forget();
                return Err(error.into());
            }
        };
        Ok(self.redeem(codes, attempt, &hash, client, actor).await?)
    }

    async fn redeem(
        &self,
        codes: &EmailCodeFactor,
        attempt: CodeAttempt<'_>,
        hash: &str,
        client: &Client,
        actor: &Actor,
    ) -> Result<(), CodeError> {
        let CodeAttempt { halves, user, is_locked_account, limited } = attempt;
        // It tells of the reset as well.
        let message = if is_locked_account { Message::AccountUnlocked } else { Message::PasswordReset };
        let notice = codes.seal_notice(user.as_ref(), message);
        let reset = store::Reset {
            halves: &halves,
            address: &client.address.to_string(),
            hash,
            notice: notice.as_ref(),
        };
        match (store::reset_password(&self.pool, reset, self.clock.now()).await, user) {
            (Ok(Some((true, true))), Some((UserIdAndName { id, username }, _))) => {
                limited.forget();
                self.trail.record(NewEvent::new(Kind::PasswordReset, actor).of_user(id, username));
                Ok(())
            }
            (Ok(Some((false, _))), user) => Err(CodeError::WrongCode(user.map(|(user, _)| user))),
            (Ok(_), _) => Err(CodeError::Expired),
            (Err(error), _) => Err(settle(limited, error.into())),
        }
    }
}
