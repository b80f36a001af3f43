//! Verifies second factors: of sign-ins that have had their first factor, and of signed-in users.

use uuid::Uuid;

use crate::audit::{Actor, Kind, NewEvent};
use crate::auth::Identity;
use crate::challenges::{
    Challenge, ChallengeMethod, ChallengeToken, ChallengeWithoutMail, ChallengedAccount, CheckedProof,
    Purpose,
};
use crate::crypto::SecretBytes;
use crate::database::DatabaseError;
use crate::factors::Proof;
use crate::factors::email_code::{CodeError, settle};
use crate::http::client::Client;
use crate::logins::Amr;
use crate::mail::{Message, Recipient, SealedMail};
use crate::network_rate_limits::LimitedAttempt;
use crate::users::{User, UserIdAndName, account_locked, find_recipient};

use super::store::{self, PendingAccount};
use super::{ReadCode, SecondFactors, method_of};

/// A sign-in that has had its first factor.
pub struct NewPending {
    /// The user.
    pub user_id: Uuid,
    /// The account's credential version at the first proof.
    pub version: i32,
    /// What is to be kept until then.
    pub state: SecretBytes,
}

/// A challenge that waits for a second factor.
#[derive(Debug)]
pub struct PendingSecondFactor {
    /// The challenge.
    pub challenge: Challenge,
    /// The user.
    pub user_id: Uuid,
    /// The ways to go on by a code: `totp`, `recovery_code`.
    pub methods: Vec<&'static str>,
}

/// A user who has shown a right code of a second factor, which the login that begins uses up.
pub struct VerifiedSecondFactor<'a> {
    /// The user.
    pub user: User,
    /// Where the user gets mail.
    pub recipient: Recipient,
    /// The proof for the login.
    pub proof: Proof,
    /// What is used up with it.
    pub checked: CheckedProof,
    /// Counts as a failure unless it is told that it was none.
    pub attempt: LimitedAttempt<'a>,
}

/// A try at the second factor of a challenge that can still be redeemed.
pub(in crate::factors) struct SecondFactorTry<'a> {
    pub(in crate::factors) user: User,
    /// The account's credential version.
    version: i32,
    pub(in crate::factors) recipient: Recipient,
    pub(in crate::factors) code: ReadCode,
    /// Queued if the code is a recovery code, and right.
    pub(in crate::factors) notice: Option<SealedMail>,
    /// Counts as a failure unless it is told that it was none.
    pub(in crate::factors) limited: LimitedAttempt<'a>,
}

/// A signed-in user who has shown a right code of a second factor, which the step-up uses up.
pub struct ConfirmedSecondFactor<'a> {
    /// The proof for the login.
    pub proof: Proof,
    /// What is used up with it.
    pub checked: CheckedProof,
    /// See [`VerifiedSecondFactor::attempt`].
    pub attempt: LimitedAttempt<'a>,
}

impl SecondFactors {
    /// Creates the challenge that a second factor goes on with.
    ///
    /// # Errors
    /// If a query fails.
    pub async fn pend(&self, new: NewPending) -> Result<PendingSecondFactor, DatabaseError> {
        let NewPending { user_id, version, state } = new;
        let purpose = Purpose::Login;
        let methods = self.methods(user_id).await?;
        let account = Some(ChallengedAccount { user_id, version });
        let method = ChallengeMethod::SecondFactor;
        let new = ChallengeWithoutMail { purpose, method, account, login_id: None, state: Some(state) };
        let challenge = self.challenges.create(new).await?;
        self.count_pending(purpose);
        Ok(PendingSecondFactor { challenge, user_id, methods })
    }

    /// Counts a challenge that has had its first factor.
    pub(in crate::factors) fn count_pending(&self, purpose: Purpose) {
        let method = ChallengeMethod::SecondFactor.as_str();
        self.metrics.challenge(purpose.as_str(), method, "created");
    }

    /// The second factors that the user can prove by a code: `totp`, `recovery_code`.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn methods(&self, user: Uuid) -> Result<Vec<&'static str>, DatabaseError> {
        let (has_totp, recovery_codes) = store::methods(&self.pool, user).await?;
        let methods = [("totp", has_totp), ("recovery_code", recovery_codes > 0)];
        Ok(methods.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect())
    }

    /// Verifies the second factor of a sign-in. Whether the login has begun by it is told to [`Self::record_used`] or
    /// [`Self::record_unused`].
    ///
    /// # Errors
    /// See [`CodeError`].
    pub async fn verify(
        &self,
        token: &ChallengeToken,
        code: &str,
        client: &Client,
        actor: &Actor,
    ) -> Result<VerifiedSecondFactor<'_>, CodeError> {
        let outcome = self.try_verify(token, code, client).await;
        if let Err(error) = &outcome {
            self.record_try(Purpose::Login, code, Some(error), actor);
        }
        outcome
    }

    /// Records that a right code has been used up.
    pub fn record_used(
        &self,
        purpose: Purpose,
        code: &str,
        proof: Proof,
        owner: &UserIdAndName,
        actor: &Actor,
    ) {
        self.count_try(purpose.as_str(), method_of(code), None);
        self.record_use(proof.amr(), NewEvent::new(Kind::RecoveryCodeUsed, actor), owner);
    }

    /// Records that a right code was used by another, or has come too late for its challenge. Returns which.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn record_unused(
        &self,
        token: &ChallengeToken,
        code: &str,
        owner: UserIdAndName,
        actor: &Actor,
    ) -> Result<CodeError, DatabaseError> {
        let is_pending = self.is_pending(token, Purpose::Login).await?;
        let error = if is_pending { CodeError::WrongCode(Some(owner)) } else { CodeError::Expired };
        self.record_try(Purpose::Login, code, Some(&error), actor);
        Ok(error)
    }

    async fn try_verify(
        &self,
        token: &ChallengeToken,
        code: &str,
        client: &Client,
    ) -> Result<VerifiedSecondFactor<'_>, CodeError> {
        let purpose = Purpose::Login;
        let SecondFactorTry { user, version, recipient, code, notice, limited } =
            self.begin_try(purpose, token, code, client).await?;
        let (address, now) = (client.address.to_string(), self.clock.now());
        let method = match store::method_of(&self.pool, user.id, &code).await {
            Ok(method) => method,
            Err(error) => return Err(settle(limited, error.into())),
        };
        let Some(method) = method else {
            let counted = store::count_wrong(&self.pool, &token.hash(), purpose, &address, now).await;
            return Err(match counted {
                Ok(true) => CodeError::WrongCode(Some(user.into())),
                Ok(false) => CodeError::Expired,
                Err(error) => settle(limited, error.into()),
            });
        };
        let checked = CheckedProof {
            token_hash: Some(token.hash()),
            address: Some(address),
            ..code.checked(purpose, notice)
        };
        Ok(VerifiedSecondFactor {
            user,
            recipient,
            proof: proof(&method, version),
            checked,
            attempt: limited,
        })
    }

    /// Whether this is a challenge that has had its first factor, and waits for the second.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn is_pending(&self, token: &ChallengeToken, purpose: Purpose) -> Result<bool, DatabaseError> {
        store::is_pending(&self.pool, &token.hash(), purpose, self.clock.now()).await
    }

    /// Begins a try at the second factor of such a challenge. The caller redeems it.
    pub(in crate::factors) async fn begin_try(
        &self,
        purpose: Purpose,
        token: &ChallengeToken,
        code: &str,
        client: &Client,
    ) -> Result<SecondFactorTry<'_>, CodeError> {
        let limited = self.limit.begin(client.network()).await?;
        let (address, now) = (client.address.to_string(), self.clock.now());
        let found = store::find_pending(&self.pool, &token.hash(), purpose, &address, now).await;
        let PendingAccount { user, version, recipient, totp, recovery_codes_left, locked_until } = match found
        {
            Ok(Some(found)) => found,
            Ok(None) => return Err(CodeError::Expired),
            Err(error) => return Err(settle(limited, error.into())),
        };
        if let Some(until) = locked_until {
            return Err(CodeError::AccountLocked {
                limited: account_locked(until, now),
                user: Some(user.into()),
            });
        }
        let code = self.read_code(code, totp.as_ref()).await;
        let notice = self.recovery_notice(&code, &recipient, recovery_codes_left);
        Ok(SecondFactorTry { user, version, recipient, code, notice, limited })
    }

    /// Counts a try at a challenge, and records a wrong code, and what a limit rejects. No error: it was redeemed.
    pub(in crate::factors) fn record_try(
        &self,
        purpose: Purpose,
        code: &str,
        error: Option<&CodeError>,
        actor: &Actor,
    ) {
        self.count_try(purpose.as_str(), method_of(code), error);
        if let Some(CodeError::WrongCode(Some(user))) = error {
            let entry = NewEvent::new(Kind::SecondFactorFailed, actor);
            self.trail.record(entry.of_user(user.id, &user.username));
        }
        self.record_limited(purpose, error, actor);
    }

    /// Records what a limit rejects.
    pub(in crate::factors) fn record_limited(
        &self,
        purpose: Purpose,
        error: Option<&CodeError>,
        actor: &Actor,
    ) {
        if let Some(entry) = error.and_then(|error| error.limited_event(purpose, actor)) {
            self.trail.record(entry);
        }
    }

    /// Verifies a second factor of a signed-in user. That the step-up has used it up is told to [`Self::record_used`].
    ///
    /// # Errors
    /// See [`CodeError`]; never [`CodeError::Expired`].
    pub async fn confirm(
        &self,
        identity: &Identity,
        code: &str,
        client: &Client,
    ) -> Result<ConfirmedSecondFactor<'_>, CodeError> {
        let outcome = self.try_confirm(identity, code, client).await;
        if let Err(error) = &outcome {
            self.record_unconfirmed(code, error, &identity.actor(client));
        }
        outcome
    }

    /// Counts a failed try at a step-up, and records what a limit rejects. A wrong code is for the caller to record.
    pub fn record_unconfirmed(&self, code: &str, error: &CodeError, actor: &Actor) {
        self.count_try(Purpose::StepUp.as_str(), method_of(code), Some(error));
        self.record_limited(Purpose::StepUp, Some(error), actor);
    }

    async fn try_confirm(
        &self,
        identity: &Identity,
        code: &str,
        client: &Client,
    ) -> Result<ConfirmedSecondFactor<'_>, CodeError> {
        let limited = self.limit.begin(client.network()).await?;
        match self.check_own(identity, code).await {
            Ok((proof, checked)) => Ok(ConfirmedSecondFactor { proof, checked, attempt: limited }),
            Err(error) => Err(settle(limited, error)),
        }
    }

    async fn check_own(&self, identity: &Identity, code: &str) -> Result<(Proof, CheckedProof), CodeError> {
        let (user, now) = (identity.user_id, self.clock.now());
        let owner = UserIdAndName { id: user, username: identity.username.clone() };
        let wrong = || CodeError::WrongCode(Some(owner.clone()));
        let counted = store::own_totp_and_count_attempt(&self.pool, user, now).await?;
        let totp = counted.map_err(|until| account_locked(until, now))?;
        let code = self.read_code(code, totp.as_ref()).await;
        let (_, recovery_codes_left) = store::methods(&self.pool, user).await?;
        let (version, recipient) = find_recipient(&self.pool, user).await?.ok_or_else(wrong)?;
        let notice = self.recovery_notice(&code, &recipient, recovery_codes_left);
        let method = store::method_of(&self.pool, user, &code).await?.ok_or_else(wrong)?;
        Ok((proof(&method, version), code.checked(Purpose::StepUp, notice)))
    }

    fn recovery_notice(&self, code: &ReadCode, to: &Recipient, left: i64) -> Option<SealedMail> {
        code.recovery_hash?;
        self.mails.seal_notice(to, Message::RecoveryCodeUsed { left: (left - 1).max(0) })
    }

    /// Records the use of a recovery code, if the method is one.
    pub(in crate::factors) fn record_use(&self, method: Amr, used: NewEvent, owner: &UserIdAndName) {
        if method == Amr::RECOVERY_CODE {
            self.trail.record(used.of_user(owner.id, &owner.username));
            self.mails.wake_up();
        }
    }
}

/// The proof by a method that the database names.
fn proof(method: &str, version: i32) -> Proof {
    if Amr::of_names([method]) == Amr::RECOVERY_CODE {
        Proof::RecoveryCode { version }
    } else {
        Proof::Totp { version }
    }
}
