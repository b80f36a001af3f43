//! Verifies passkeys and security keys: at a sign-in without a name, at one that has had its first factor, and of signed-in
//! users.

use serde_json::Value;
use uuid::Uuid;

use crate::audit::{Actor, Kind};
use crate::auth::Identity;
use crate::challenges::{
    Challenge, ChallengeMethod, ChallengeToken, ChallengeWithoutMail, ChallengedAccount, Purpose,
};
use crate::database::DatabaseError;
use crate::factors::Proof;
use crate::factors::email_code::CodeError;
use crate::http::client::Client;
use crate::mail::Recipient;
use crate::network_rate_limits::LimitedAttempt;
use crate::users::{User, account_locked, find_recipient};

use super::store::{self, RedeemedPasskey, SoughtChallenge};
use super::{
    AssertionResponse, PasskeyAttemptError, PasskeyError, PasskeyFactor, PasskeyKind, RequestOptions,
};

/// A user who has proved to have a passkey or security key.
pub struct VerifiedPasskeyUser<'a> {
    /// The user.
    pub user: User,
    /// Where the user gets mail.
    pub recipient: Recipient,
    /// Whether a login of the user takes two factors.
    pub has_two_step: bool,
    /// The proof for the login.
    pub proof: Proof,
    /// Counts as a failure unless it is told that it was none.
    pub attempt: LimitedAttempt<'a>,
}

/// The two halves of a challenge, as a request has them.
#[derive(Clone, Copy, Debug)]
pub struct PasskeyHalves<'a> {
    /// The token.
    pub challenge: &'a str,
    /// `PublicKeyCredential.toJSON()`.
    pub passkey: &'a Value,
}

impl PasskeyFactor {
    /// Creates a challenge for anybody's passkey: to sign in without a name. Nothing is looked up.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn challenge_anybody(&self) -> Result<(Challenge, RequestOptions), DatabaseError> {
        self.create(Purpose::Login, None, None, &[]).await
    }

    /// Creates a challenge for the passkeys and security keys of a signed-in user. `None`: there are none, or the user is gone.
    ///
    /// # Errors
    /// If a query fails.
    pub async fn challenge_owner(
        &self,
        identity: &Identity,
    ) -> Result<Option<(Challenge, RequestOptions)>, DatabaseError> {
        let user_id = identity.user_id;
        let Some((version, _)) = find_recipient(&self.pool, user_id).await? else { return Ok(None) };
        let own = self.of_user(user_id).await?;
        if own.is_empty() {
            return Ok(None);
        }
        let account = ChallengedAccount { user_id, version };
        self.create(Purpose::StepUp, Some(account), Some(identity.login_id), &own).await.map(Some)
    }

    async fn create(
        &self,
        purpose: Purpose,
        account: Option<ChallengedAccount>,
        login_id: Option<Uuid>,
        allowed: &[super::StoredPasskey],
    ) -> Result<(Challenge, RequestOptions), DatabaseError> {
        let method = ChallengeMethod::Passkey;
        let new = ChallengeWithoutMail { purpose, method, account, login_id, state: None };
        let challenge = self.challenges.create(new).await?;
        self.metrics.challenge(purpose.as_str(), method.as_str(), "created");
        let options = self.party.request_options(&challenge.token, allowed);
        Ok((challenge, options))
    }

    /// The options for a challenge that waits for a second factor. `None`: the user has neither passkeys nor security keys
    /// here.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn options_of(
        &self,
        token: &ChallengeToken,
        user: Uuid,
    ) -> Result<Option<RequestOptions>, DatabaseError> {
        let own = self.of_user(user).await?;
        Ok((!own.is_empty()).then(|| self.party.request_options(token, &own)))
    }

    /// Whether the user has a passkey or security key that can be used here.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn has_any(&self, user: Uuid) -> Result<bool, DatabaseError> {
        Ok(!self.of_user(user).await?.is_empty())
    }

    /// Verifies the passkey of somebody who is not signed in: anybody's, or a second factor of the challenge's user. A refusal
    /// is an event of the kind `failure`.
    ///
    /// # Errors
    /// See [`PasskeyAttemptError`].
    pub async fn verify(
        &self,
        purpose: Purpose,
        halves: PasskeyHalves<'_>,
        client: &Client,
        actor: &Actor,
        failure: Kind,
    ) -> Result<VerifiedPasskeyUser<'_>, PasskeyAttemptError> {
        let answer = AssertionResponse::read(halves.passkey)?;
        let attempt = self.limit.begin(client.network()).await.map_err(CodeError::from)?;
        let address = client.address.to_string();
        match self.redeem(purpose, None, halves.challenge, &answer, Some(&address)).await {
            Ok((redeemed, proof)) => {
                let RedeemedPasskey { user, recipient, has_two_step, .. } = redeemed;
                Ok(VerifiedPasskeyUser { user, recipient, has_two_step, proof, attempt })
            }
            Err(error) => {
                self.record_refusal(&error, failure, purpose, actor);
                Err(error.settle(attempt))
            }
        }
    }

    /// Verifies a passkey or security key of a signed-in user, who has asked for the challenge in the same login.
    ///
    /// # Errors
    /// See [`PasskeyAttemptError`].
    pub async fn confirm(
        &self,
        identity: &Identity,
        halves: PasskeyHalves<'_>,
        client: &Client,
    ) -> Result<Proof, PasskeyAttemptError> {
        let answer = AssertionResponse::read(halves.passkey)?;
        let attempt = self.limit.begin(client.network()).await.map_err(CodeError::from)?;
        match self.use_own(identity, halves.challenge, &answer).await {
            Ok(proof) => {
                attempt.forget();
                Ok(proof)
            }
            Err(error) => {
                self.record_refusal(&error, Kind::StepUpFailed, Purpose::StepUp, &identity.actor(client));
                Err(error.settle(attempt))
            }
        }
    }

    async fn use_own(
        &self,
        identity: &Identity,
        token: &str,
        answer: &AssertionResponse,
    ) -> Result<Proof, PasskeyAttemptError> {
        let now = self.clock.now();
        let closed_until = store::count_own_attempt(&self.pool, identity.user_id, now).await?;
        if let Some(until) = closed_until {
            return Err(CodeError::from(account_locked(until, now)).into());
        }
        let (_, proof) = self.redeem(Purpose::StepUp, Some(identity.login_id), token, answer, None).await?;
        Ok(proof)
    }

    async fn redeem(
        &self,
        purpose: Purpose,
        login_id: Option<Uuid>,
        token: &str,
        answer: &AssertionResponse,
        address: Option<&str>,
    ) -> Result<(RedeemedPasskey, Proof), PasskeyAttemptError> {
        let now = self.clock.now();
        let token = ChallengeToken::parse(token).ok_or(CodeError::Expired)?;
        let token_hash = &token.hash();
        let (credential_id, rp_id) = (answer.credential_id(), self.party.id());
        let sought = SoughtChallenge { token_hash, purpose, login_id, credential_id, rp_id, address };
        let found = store::find_challenge(&self.pool, &sought, now).await?.ok_or(CodeError::Expired)?;
        if let Some(until) = found.locked_until {
            return Err(CodeError::from(account_locked(until, now)).into());
        }
        let verified = match &found.passkey {
            Some(passkey) => self.party.verify_assertion(answer, &token, passkey, found.challenged),
            None => Err(PasskeyError::UnknownCredential),
        };
        let why = match verified {
            Ok(assertion) => {
                let redeemed = store::redeem(&self.pool, &sought, &assertion, now).await?;
                let redeemed = redeemed.ok_or(CodeError::Expired)?;
                if redeemed.is_counted {
                    self.count_use(purpose, assertion.kind, "redeemed");
                    let proof = assertion.kind.proof(assertion.backup_eligible, redeemed.version);
                    return Ok((redeemed, proof));
                }
                PasskeyError::CounterBehind
            }
            Err(why) => why,
        };
        store::count_refused(&self.pool, token_hash, purpose, address, now).await?;
        let kind = found.passkey.map_or(PasskeyKind::Passkey, |passkey| passkey.kind);
        self.count_use(purpose, kind, "invalid_code");
        Err(PasskeyAttemptError::Refused { why, user: found.owner })
    }

    fn count_use(&self, purpose: Purpose, kind: PasskeyKind, outcome: &str) {
        self.metrics.challenge(purpose.as_str(), kind.as_str(), outcome);
    }
}
