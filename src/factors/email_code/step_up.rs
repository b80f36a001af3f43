//! Codes by mail that authenticate a signed-in user again who has nothing else to do it by: neither a password nor a factor.

use uuid::Uuid;

use crate::auth::Identity;
use crate::challenges::{Challenge, ChallengeCode, ChallengeToken, ChallengedAccount, NewChallenge, Purpose};
use crate::database::DatabaseError;
use crate::factors::Proof;
use crate::http::client::Client;
use crate::mail::{Mail, Message};
use crate::users::{self, UserIdAndName, account_locked};

use super::store::{self, CodeOfLogin, TriedCode};
use super::{CodeError, EmailCodeFactor, settle};

impl EmailCodeFactor {
    /// Whether a code by mail is all by which this user can authenticate again: there is a proved address, and neither a
    /// password nor a factor.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn is_all_of(&self, user: Uuid) -> Result<bool, DatabaseError> {
        store::has_only_mail(&self.pool, user, self.rp_id.as_deref(), &self.step_up_providers).await
    }

    /// Creates a challenge of this login whose code goes to the account's address. `None`: the user is gone.
    ///
    /// # Errors
    /// If a query fails.
    pub async fn challenge_owner(&self, identity: &Identity) -> Result<Option<Challenge>, DatabaseError> {
        let user_id = identity.user_id;
        let Some((version, own)) = users::find_recipient(&self.pool, user_id).await? else { return Ok(None) };
        let new = NewChallenge {
            purpose: Purpose::StepUp,
            account: Some(ChallengedAccount { user_id, version }),
            login_id: Some(identity.login_id),
            state: None,
            address: &own.address,
        };
        let to = Some(own.address.clone());
        let challenge = self.challenges.mail_code(new, |code, expires_at| Mail {
            to,
            language: own.language,
            message: Message::StepUpCode(code),
            expires_at,
        });
        let challenge = challenge.await?;
        self.metrics.challenge(Purpose::StepUp.as_str(), "email", "created");
        Ok(Some(challenge))
    }

    /// Redeems such a challenge of this login. A wrong code is for the caller to record.
    ///
    /// # Errors
    /// See [`CodeError`].
    pub async fn confirm(
        &self,
        identity: &Identity,
        challenge: &str,
        code: &str,
        client: &Client,
    ) -> Result<Proof, CodeError> {
        let purpose = Purpose::StepUp;
        let outcome = self.confirm_within_limit(identity, challenge, code, client).await;
        let error = outcome.as_ref().err();
        if let Some(entry) = error.and_then(|error| error.limited_event(purpose, &identity.actor(client))) {
            self.trail.record(entry);
        }
        self.count(purpose, error);
        outcome
    }

    async fn confirm_within_limit(
        &self,
        identity: &Identity,
        challenge: &str,
        code: &str,
        client: &Client,
    ) -> Result<Proof, CodeError> {
        let limited = self.limit.begin(client.network()).await?;
        match self.redeem_for_step_up(identity, challenge, code).await {
            Ok(proof) => {
                limited.forget();
                Ok(proof)
            }
            Err(error) => Err(settle(limited, error)),
        }
    }

    async fn redeem_for_step_up(
        &self,
        identity: &Identity,
        challenge: &str,
        code: &str,
    ) -> Result<Proof, CodeError> {
        let token = ChallengeToken::parse(challenge).ok_or(CodeError::Expired)?;
        let (user_id, now) = (identity.user_id, self.clock.now());
        let code = CodeOfLogin {
            halves: &self.challenges.hash(&token, &ChallengeCode::typed(code)),
            user_id,
            login_id: identity.login_id,
            rp_id: self.rp_id.as_deref(),
            providers: &self.step_up_providers,
        };
        let user = || UserIdAndName { id: user_id, username: identity.username.clone() };
        match store::redeem_for_step_up(&self.pool, code, now).await? {
            Some(TriedCode::Right(version)) => Ok(Proof::EmailCode { version }),
            Some(TriedCode::Wrong) => Err(CodeError::WrongCode(Some(user()))),
            Some(TriedCode::TooMany(until)) => {
                Err(CodeError::AccountLocked { limited: account_locked(until, now), user: Some(user()) })
            }
            Some(TriedCode::Changed) | None => Err(CodeError::Expired),
        }
    }
}
