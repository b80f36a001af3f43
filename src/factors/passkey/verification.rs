//! Verifies passkeys and security keys: at a sign-in without a name, at one that has had its first factor, and of signed-in
//! users.

use serde_json::Value;
use uuid::Uuid;

use crate::audit::{Actor, Kind};
use crate::auth::Identity;
use crate::challenges::{
    Challenge, ChallengeMethod, ChallengeToken, ChallengeWithoutMail, ChallengedAccount, CheckedProof,
    Purpose, UsedPasskey,
};
use crate::database::DatabaseError;
use crate::error::Code;
use crate::factors::Proof;
use crate::factors::email_code::CodeError;
use crate::http::client::Client;
use crate::mail::Recipient;
use crate::network_rate_limits::LimitedAttempt;
use crate::users::{User, UserIdAndName, account_locked, find_recipient};

use super::store::{self, RedeemedPasskey, SoughtChallenge};
use super::{
    AssertionResponse, PasskeyAttemptError, PasskeyError, PasskeyFactor, PasskeyKind, RequestOptions,
    VerifiedAssertion,
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

/// A checked answer of somebody who is not signed in, whose challenge has yet to be redeemed.
pub struct CheckedPasskey<'a> {
    answer: CheckedAnswer,
    /// The event that a refusal is.
    failure: Kind,
    attempt: LimitedAttempt<'a>,
}

impl CheckedPasskey<'_> {
    /// Ends the attempt without counting it: the service failed.
    pub fn forget(self) {
        self.attempt.forget();
    }
}

/// What a challenge is used for.
struct UsedChallenge {
    purpose: Purpose,
    login_id: Option<Uuid>,
    /// `None`: of a signed-in user, whose tries are counted elsewhere.
    address: Option<String>,
}

/// A signed-in user's answer with a right signature, which the step-up uses up.
pub struct ConfirmedPasskey {
    /// The proof for the login.
    pub proof: Proof,
    /// What is used up with it.
    pub checked: CheckedProof,
    /// The answer, for what came of it.
    pub answer: CheckedAnswer,
}

/// An answer with a right signature.
pub struct CheckedAnswer {
    challenge: UsedChallenge,
    token_hash: [u8; 32],
    assertion: VerifiedAssertion,
    /// The account's credential version, if the challenge is an account's.
    version: Option<i32>,
    /// For the audit trail.
    owner: Option<UserIdAndName>,
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

    /// The options for a challenge that waits for the first factor. `None`: the user has no passkeys here.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn first_factor_options_of(
        &self,
        token: &ChallengeToken,
        user: Uuid,
    ) -> Result<Option<RequestOptions>, DatabaseError> {
        let mut own = self.of_user(user).await?;
        own.retain(|passkey| passkey.kind == PasskeyKind::Passkey);
        Ok((!own.is_empty()).then(|| self.party.request_options(token, &own)))
    }

    /// Whether the user has a passkey or security key that can be used here.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn has_any(&self, user: Uuid) -> Result<bool, DatabaseError> {
        Ok(!self.of_user(user).await?.is_empty())
    }

    /// Verifies the passkey of somebody who is not signed in, as [`Self::check`] and [`Self::redeem`] do.
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
        let checked = self.check(purpose, halves, client, actor, failure).await?;
        self.redeem(checked, actor).await
    }

    /// Checks the answer of somebody who is not signed in: of anybody's passkey, or of a second factor of the challenge's
    /// user. The challenge has yet to be redeemed. A refusal is an event of the kind `failure`.
    ///
    /// # Errors
    /// See [`PasskeyAttemptError`].
    pub async fn check(
        &self,
        purpose: Purpose,
        halves: PasskeyHalves<'_>,
        client: &Client,
        actor: &Actor,
        failure: Kind,
    ) -> Result<CheckedPasskey<'_>, PasskeyAttemptError> {
        let answer = AssertionResponse::read(halves.passkey)?;
        let attempt = self.begin(client, failure, purpose, actor).await?;
        let challenge = UsedChallenge { purpose, login_id: None, address: Some(client.address.to_string()) };
        match self.check_answer(challenge, halves.challenge, &answer).await {
            Ok(answer) => Ok(CheckedPasskey { answer, failure, attempt }),
            Err(error) => {
                self.record_failure(&error, failure, purpose, actor);
                Err(error.settle(attempt))
            }
        }
    }

    /// Redeems the challenge of a checked answer.
    ///
    /// # Errors
    /// See [`PasskeyAttemptError`].
    pub async fn redeem<'a>(
        &self,
        checked: CheckedPasskey<'a>,
        actor: &Actor,
    ) -> Result<VerifiedPasskeyUser<'a>, PasskeyAttemptError> {
        let CheckedPasskey { answer, failure, attempt } = checked;
        let purpose = answer.challenge.purpose;
        match self.redeem_answer(answer).await {
            Ok((redeemed, proof)) => {
                let RedeemedPasskey { user, recipient, has_two_step, .. } = redeemed;
                Ok(VerifiedPasskeyUser { user, recipient, has_two_step, proof, attempt })
            }
            Err(error) => {
                self.record_failure(&error, failure, purpose, actor);
                Err(error.settle(attempt))
            }
        }
    }

    /// Verifies a passkey or security key of a signed-in user, who has asked for the challenge in the same login. What has come
    /// of it is told to [`Self::record_used`] or [`Self::why_unused`].
    ///
    /// # Errors
    /// See [`PasskeyAttemptError`].
    pub async fn confirm(
        &self,
        identity: &Identity,
        halves: PasskeyHalves<'_>,
        client: &Client,
    ) -> Result<ConfirmedPasskey, PasskeyAttemptError> {
        let answer = AssertionResponse::read(halves.passkey)?;
        let (failure, purpose, actor) = (Kind::StepUpFailed, Purpose::StepUp, identity.actor(client));
        let attempt = self.begin(client, failure, purpose, &actor).await?;
        match self.check_own(identity, halves.challenge, &answer).await {
            Ok(confirmed) => {
                attempt.forget();
                Ok(confirmed)
            }
            Err(error) => {
                self.record_failure(&error, failure, purpose, &actor);
                Err(error.settle(attempt))
            }
        }
    }

    /// Counts that an answer has been used up.
    pub fn record_used(&self, answer: &CheckedAnswer) {
        let purpose = answer.challenge.purpose.as_str();
        self.metrics.challenge(purpose, answer.assertion.kind.as_str(), "redeemed");
    }

    /// Finds out why an answer was not used up although its signature is right: its challenge is over, or the counter is behind.
    /// Records it.
    pub async fn why_unused(&self, answer: CheckedAnswer, actor: &Actor) -> PasskeyAttemptError {
        let CheckedAnswer { challenge, token_hash, assertion, owner, .. } = answer;
        let (purpose, login_id) = (challenge.purpose, challenge.login_id);
        let error = match store::is_live(&self.pool, &token_hash, purpose, login_id, self.clock.now()).await {
            Ok(true) => {
                let why = PasskeyError::CounterBehind;
                self.refuse(&challenge, &token_hash, assertion.kind, why, owner).await
            }
            Ok(false) => CodeError::Expired.into(),
            Err(error) => error.into(),
        };
        self.record_failure(&error, Kind::StepUpFailed, purpose, actor);
        error
    }

    async fn check_own(
        &self,
        identity: &Identity,
        token: &str,
        answer: &AssertionResponse,
    ) -> Result<ConfirmedPasskey, PasskeyAttemptError> {
        let now = self.clock.now();
        let closed_until = store::count_own_attempt(&self.pool, identity.user_id, now).await?;
        if let Some(until) = closed_until {
            return Err(CodeError::from(account_locked(until, now)).into());
        }
        let login_id = Some(identity.login_id);
        let challenge = UsedChallenge { purpose: Purpose::StepUp, login_id, address: None };
        let answer = self.check_answer(challenge, token, answer).await?;
        let version = answer.version.ok_or(CodeError::Expired)?;
        let VerifiedAssertion { passkey_id: id, sign_count, backed_up, .. } = answer.assertion;
        let checked = CheckedProof {
            purpose: Some(Purpose::StepUp),
            token_hash: Some(answer.token_hash),
            passkey: Some(UsedPasskey { id, sign_count, backed_up }),
            ..CheckedProof::default()
        };
        Ok(ConfirmedPasskey { proof: answer.assertion.proof(version), checked, answer })
    }

    async fn check_answer(
        &self,
        challenge: UsedChallenge,
        token: &str,
        answer: &AssertionResponse,
    ) -> Result<CheckedAnswer, PasskeyAttemptError> {
        let now = self.clock.now();
        let token = ChallengeToken::parse(token).ok_or(CodeError::Expired)?;
        let UsedChallenge { purpose, login_id, ref address } = challenge;
        let (token_hash, address) = (token.hash(), address.as_deref());
        let (credential_id, rp_id) = (answer.credential_id(), self.party.id());
        let sought =
            SoughtChallenge { token_hash: &token_hash, purpose, login_id, credential_id, rp_id, address };
        let found = store::find_challenge(&self.pool, &sought, now).await?.ok_or(CodeError::Expired)?;
        if let Some(until) = found.locked_until {
            let limited = account_locked(until, now);
            return Err(CodeError::AccountLocked { limited, user: found.owner }.into());
        }
        let verified = match &found.passkey {
            Some(passkey) => self.party.verify_assertion(answer, &token, passkey, found.challenged),
            None => Err(PasskeyError::UnknownCredential),
        };
        match verified {
            Ok(assertion) => {
                let (version, owner) = (found.version, found.owner);
                Ok(CheckedAnswer { challenge, token_hash, assertion, version, owner })
            }
            Err(why) => {
                let kind = found.passkey.map_or(PasskeyKind::Passkey, |passkey| passkey.kind);
                Err(self.refuse(&challenge, &token_hash, kind, why, found.owner).await)
            }
        }
    }

    async fn redeem_answer(
        &self,
        checked: CheckedAnswer,
    ) -> Result<(RedeemedPasskey, Proof), PasskeyAttemptError> {
        let CheckedAnswer { challenge, token_hash, assertion, owner, .. } = checked;
        let UsedChallenge { purpose, login_id, .. } = challenge;
        let now = self.clock.now();
        let redeemed = store::redeem(&self.pool, &token_hash, purpose, login_id, &assertion, now).await?;
        let redeemed = redeemed.ok_or(CodeError::Expired)?;
        if !redeemed.is_counted {
            let why = PasskeyError::CounterBehind;
            return Err(self.refuse(&challenge, &token_hash, assertion.kind, why, owner).await);
        }
        self.metrics.challenge(purpose.as_str(), assertion.kind.as_str(), "redeemed");
        let proof = assertion.proof(redeemed.version);
        Ok((redeemed, proof))
    }

    /// Counts an answer as refused.
    async fn refuse(
        &self,
        challenge: &UsedChallenge,
        token_hash: &[u8; 32],
        kind: PasskeyKind,
        why: PasskeyError,
        user: Option<UserIdAndName>,
    ) -> PasskeyAttemptError {
        let (purpose, address) = (challenge.purpose, challenge.address.as_deref());
        let counted = store::count_refused(&self.pool, token_hash, purpose, address, self.clock.now()).await;
        if let Err(error) = counted {
            return error.into();
        }
        self.metrics.challenge(purpose.as_str(), kind.as_str(), Code::InvalidCode.as_str());
        PasskeyAttemptError::Refused { why, user }
    }
}
