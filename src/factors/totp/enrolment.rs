//! Enrols an authenticator: a challenge of the login keeps the secret until the first code of it comes.

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::audit::{Kind, NewEvent};
use crate::auth::{ChallengeHalves, Identity};
use crate::challenges::{
    Challenge, ChallengeCode, ChallengeMethod, ChallengeToken, ChallengeWithoutMail, ChallengedAccount,
    Purpose,
};
use crate::database::DatabaseError;
use crate::error::{Code, Problem};
use crate::factors::email_code::{CodeError, settle};
use crate::factors::recovery_code::NewRecoveryCodes;
use crate::factors::second_factor::{ListedTotp, SecondFactors};
use crate::http::client::Client;
use crate::logins::Authentication;
use crate::mail::Message;
use crate::users::{UserIdAndName, find_recipient};

use super::{TotpSecret, TotpSetup, store};

/// Why no authenticator was enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolmentError {
    /// The user has one.
    #[error("there is an authenticator already")]
    AlreadyEnrolled,
    /// The email is not proved, and mails are on.
    #[error("the email is not proved")]
    EmailNotVerified,
    /// The user was deleted.
    #[error("the account was deleted")]
    AccountGone,
    /// The challenge was not redeemed.
    #[error(transparent)]
    Code(#[from] CodeError),
}

impl From<DatabaseError> for EnrolmentError {
    fn from(error: DatabaseError) -> Self {
        Self::Code(error.into())
    }
}

impl From<EnrolmentError> for Problem {
    fn from(error: EnrolmentError) -> Self {
        match error {
            EnrolmentError::AlreadyEnrolled => {
                Self::new(Code::Conflict, "You have an authenticator already. Remove it first.")
            }
            EnrolmentError::EmailNotVerified => Self::new(
                Code::EmailNotVerified,
                "Prove your email first: it is where you would be told of changes to your account.",
            ),
            // The account's logins were revoked, but this node has not read that yet.
            EnrolmentError::AccountGone => Self::new(Code::NotAuthenticated, "The account was deleted."),
            EnrolmentError::Code(error) => error.into(),
        }
    }
}

/// An authenticator that was enrolled.
#[derive(Debug)]
pub struct EnrolledTotp {
    /// As it is listed.
    pub totp: ListedTotp,
    /// Recovery codes, shown once: when it turned two-step sign-in on.
    pub recovery_codes: Vec<SecretString>,
}

impl SecondFactors {
    /// Checks that the user may enrol a factor. Returns the account's credential version.
    ///
    /// # Errors
    /// See [`EnrolmentError`].
    pub async fn check_enrolment(&self, user: Uuid) -> Result<i32, EnrolmentError> {
        let found = find_recipient(&self.pool, user).await?;
        let (version, own) = found.ok_or(EnrolmentError::AccountGone)?;
        if self.mails.is_on() && !own.is_verified {
            return Err(EnrolmentError::EmailNotVerified);
        }
        Ok(version)
    }

    /// Creates the challenge of an enrolment. The caller must have checked that the login is fresh. Nothing of the account
    /// changes until the challenge is redeemed.
    ///
    /// # Errors
    /// See [`EnrolmentError`].
    pub async fn begin_totp(&self, identity: &Identity) -> Result<(Challenge, TotpSetup), EnrolmentError> {
        let user_id = identity.user_id;
        let version = self.check_enrolment(user_id).await?;
        if store::exists(&self.pool, user_id).await? {
            return Err(EnrolmentError::AlreadyEnrolled);
        }
        let secret = TotpSecret::generate();
        let new = ChallengeWithoutMail {
            purpose: Purpose::Factor,
            method: ChallengeMethod::Totp,
            account: Some(ChallengedAccount { user_id, version }),
            login_id: Some(identity.login_id),
            state: Some(secret.bytes().clone()),
        };
        let challenge = self.challenges.create(new).await?;
        self.metrics.challenge(Purpose::Factor.as_str(), ChallengeMethod::Totp.as_str(), "created");
        Ok((challenge, TotpSetup::new(&secret, &self.issuer, &identity.username)))
    }

    /// Redeems such a challenge with the first code of the authenticator. `authentication` is the login's with the proof
    /// that this is. The first second factor turns two-step sign-in on, and ends every other login of the user.
    ///
    /// # Errors
    /// See [`EnrolmentError`].
    pub async fn complete_totp(
        &self,
        identity: &Identity,
        halves: &ChallengeHalves,
        name: String,
        authentication: Authentication,
        client: &Client,
    ) -> Result<EnrolledTotp, EnrolmentError> {
        let actor = identity.actor(client);
        let outcome = self.complete_within_limit(identity, halves, name, authentication, client).await;
        let (purpose, method) = (Purpose::Factor.as_str(), ChallengeMethod::Totp.as_str());
        match &outcome {
            Ok(_) => self.count_try(purpose, method, None),
            Err(EnrolmentError::Code(error)) => self.count_try(purpose, method, Some(error)),
            Err(EnrolmentError::AlreadyEnrolled) => {
                self.metrics.challenge(purpose, method, Code::Conflict.as_str());
            }
            Err(_) => {}
        }
        match &outcome {
            Ok(_) => {
                self.trail.record(NewEvent::to_oneself(Kind::FactorAdded, &actor).with("factor", "totp"))
            }
            Err(EnrolmentError::Code(CodeError::WrongCode(_))) => self.trail.record(
                NewEvent::to_oneself(Kind::ChallengeFailed, &actor).with("for", Purpose::Factor.as_str()),
            ),
            Err(EnrolmentError::Code(error)) => self.record_limited(Purpose::Factor, Some(error), &actor),
            Err(_) => {}
        }
        if outcome.is_ok() {
            self.tell_of_change().await;
        }
        outcome
    }

    async fn complete_within_limit(
        &self,
        identity: &Identity,
        halves: &ChallengeHalves,
        name: String,
        authentication: Authentication,
        client: &Client,
    ) -> Result<EnrolledTotp, EnrolmentError> {
        let limited = self.limit.begin(client.network()).await.map_err(CodeError::from)?;
        match self.try_complete(identity, halves, name, authentication, self.clock.now()).await {
            Err(EnrolmentError::Code(error)) => Err(EnrolmentError::Code(settle(limited, error))),
            outcome => {
                limited.forget();
                outcome
            }
        }
    }

    async fn try_complete(
        &self,
        identity: &Identity,
        halves: &ChallengeHalves,
        name: String,
        authentication: Authentication,
        now: DateTime<Utc>,
    ) -> Result<EnrolledTotp, EnrolmentError> {
        let login_id = identity.login_id;
        let token = ChallengeToken::parse(halves.challenge.expose_secret()).ok_or(CodeError::Expired)?;
        let state = self.challenges.state(&token, Purpose::Factor, Some(login_id)).await?;
        let secret = TotpSecret::new(state.ok_or(CodeError::Expired)?);
        let code = ChallengeCode::typed(halves.code.expose_secret());
        let new = NewRecoveryCodes::generate();
        let id = Uuid::now_v7();
        let has_two_step = self.has_two_step(identity.user_id).await?;
        let message = if has_two_step { Message::FactorAdded } else { Message::TwoStepTurnedOn };
        let notice = self.notice(identity.user_id, message).await?;
        let enrolment = store::Enrolment {
            token_hash: &token.hash(),
            user_id: identity.user_id,
            login_id,
            id,
            sealed: self.seal(id, secret.bytes()),
            step: secret.step_of(code.reveal(), now),
            name: &name,
            recovery_hashes: &new.hashes,
            authentication,
            notice: notice.as_ref(),
        };
        let owner = || UserIdAndName { id: identity.user_id, username: identity.username.clone() };
        match store::enrol(&self.pool, enrolment, now).await? {
            None => Err(CodeError::Expired.into()),
            Some(store::Outcome::WrongCode) => Err(CodeError::WrongCode(Some(owner())).into()),
            Some(store::Outcome::AlreadyEnrolled) => Err(EnrolmentError::AlreadyEnrolled),
            Some(store::Outcome::Enrolled { is_first }) => Ok(EnrolledTotp {
                totp: ListedTotp { id, name, created_at: now, last_used_at: None },
                recovery_codes: if is_first { new.codes } else { Vec::new() },
            }),
        }
    }
}
