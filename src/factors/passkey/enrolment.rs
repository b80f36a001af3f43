//! Enrols passkeys and security keys: a challenge of the login says which, and the authenticator answers it.

use secrecy::SecretString;
use serde_json::Value;
use uuid::Uuid;

use crate::audit::{Kind, NewEvent};
use crate::auth::Identity;
use crate::challenges::{
    Challenge, ChallengeMethod, ChallengeToken, ChallengeWithoutMail, ChallengedAccount, Purpose,
};
use crate::database::DatabaseError;
use crate::error::Code;
use crate::factors::email_code::CodeError;
use crate::factors::recovery_code::NewRecoveryCodes;
use crate::http::client::Client;
use crate::logins::{Amr, Authentication};
use crate::mail::{Message, SealedMail};
use crate::network_rate_limits::LimitedAttempt;
use crate::users::UserIdAndName;

use super::store::{self, NewPasskey, PasskeyEnrolment};
use super::{
    CreationOptions, ListedPasskey, PasskeyAttemptError, PasskeyFactor, PasskeyKind, RegistrationResponse,
    VerifiedRegistration,
};

/// A registration that may be enrolled.
pub struct CheckedRegistration<'a> {
    token: ChallengeToken,
    registration: VerifiedRegistration,
    notice: Option<SealedMail>,
    attempt: LimitedAttempt<'a>,
}

impl CheckedRegistration<'_> {
    /// What it was registered as.
    pub fn kind(&self) -> PasskeyKind {
        self.registration.kind
    }

    /// How its owner has authenticated by it.
    pub fn amr(&self) -> Amr {
        let Self { registration, .. } = self;
        let user_verified = registration.kind == PasskeyKind::Passkey;
        registration.kind.amr(registration.backup_eligible, user_verified)
    }
}

/// A passkey or security key that was enrolled.
#[derive(Debug)]
pub struct EnrolledPasskey {
    /// As it is listed.
    pub passkey: ListedPasskey,
    /// Recovery codes, shown once: when it turned two-step sign-in on.
    pub recovery_codes: Vec<SecretString>,
}

impl PasskeyFactor {
    /// Creates the challenge of an enrolment. The caller must have checked that the login is fresh, and gives the account's
    /// credential version. Nothing of the account changes until the challenge is redeemed.
    ///
    /// # Errors
    /// If a query fails.
    pub async fn begin_enrolment(
        &self,
        identity: &Identity,
        kind: PasskeyKind,
        version: i32,
    ) -> Result<(Challenge, CreationOptions), DatabaseError> {
        let user = UserIdAndName { id: identity.user_id, username: identity.username.clone() };
        let registered = self.of_user(user.id).await?;
        let method = match kind {
            PasskeyKind::Passkey => ChallengeMethod::Passkey,
            PasskeyKind::SecurityKey => ChallengeMethod::SecurityKey,
        };
        let new = ChallengeWithoutMail {
            purpose: Purpose::Factor,
            method,
            account: Some(ChallengedAccount { user_id: user.id, version }),
            login_id: Some(identity.login_id),
            state: None,
        };
        let challenge = self.challenges.create(new).await?;
        self.metrics.challenge(Purpose::Factor.as_str(), method.as_str(), "created");
        let options = self.party.creation_options(&challenge.token, &user, kind, &registered);
        Ok((challenge, options))
    }

    /// Verifies the answer to such a challenge.
    ///
    /// # Errors
    /// See [`PasskeyAttemptError`].
    pub async fn check_registration(
        &self,
        identity: &Identity,
        token: &str,
        answer: &Value,
        client: &Client,
    ) -> Result<CheckedRegistration<'_>, PasskeyAttemptError> {
        let answer = RegistrationResponse::read(answer)?;
        let (failure, purpose, actor) = (Kind::ChallengeFailed, Purpose::Factor, identity.actor(client));
        let attempt = self.begin(client, failure, purpose, &actor).await?;
        match self.verify_enrolment(identity, token, &answer).await {
            Ok((token, registration, notice)) => {
                Ok(CheckedRegistration { token, registration, notice, attempt })
            }
            Err(error) => {
                self.record_failure(&error, failure, purpose, &actor);
                Err(error.settle(attempt))
            }
        }
    }

    async fn verify_enrolment(
        &self,
        identity: &Identity,
        token: &str,
        answer: &RegistrationResponse,
    ) -> Result<(ChallengeToken, VerifiedRegistration, Option<SealedMail>), PasskeyAttemptError> {
        let (purpose, now) = (Purpose::Factor, self.clock.now());
        let token = ChallengeToken::parse(token).ok_or(CodeError::Expired)?;
        let found = store::find_enrolment(&self.pool, &token.hash(), identity.login_id, now).await?;
        let found = found.ok_or(CodeError::Expired)?;
        match self.party.verify_registration(answer, &token, found.kind) {
            Ok(registration) => {
                let turns_two_step_on = found.kind == PasskeyKind::SecurityKey && !found.has_two_step;
                let message = if turns_two_step_on { Message::TwoStepTurnedOn } else { Message::FactorAdded };
                Ok((token, registration, self.mails.seal_notice(&found.recipient, message)))
            }
            Err(why) => {
                store::count_refused(&self.pool, &token.hash(), purpose, None, now).await?;
                self.metrics.challenge(purpose.as_str(), found.kind.as_str(), Code::InvalidCode.as_str());
                Err(PasskeyAttemptError::Refused { why, user: None })
            }
        }
    }

    /// Enrols it. `authentication` is the login's with the proof that this is. The first security key turns two-step sign-in
    /// on, unless an authenticator has, and ends every other login of the user.
    ///
    /// # Errors
    /// See [`PasskeyAttemptError`].
    pub async fn enrol(
        &self,
        identity: &Identity,
        checked: CheckedRegistration<'_>,
        name: String,
        authentication: Authentication,
        client: &Client,
    ) -> Result<EnrolledPasskey, PasskeyAttemptError> {
        let CheckedRegistration { token, registration, notice, attempt } = checked;
        let (codes, id, now) = (NewRecoveryCodes::generate(), Uuid::now_v7(), self.clock.now());
        let new = NewPasskey {
            token_hash: &token.hash(),
            login_id: identity.login_id,
            id,
            rp_id: self.party.id(),
            registration: &registration,
            name: &name,
            recovery_hashes: &codes.hashes,
            authentication,
            notice: notice.as_ref(),
        };
        let enrolled = store::enrol(&self.pool, new, now).await;
        attempt.forget();
        let is_first = match enrolled? {
            Some(PasskeyEnrolment::Enrolled { is_first }) => is_first,
            Some(PasskeyEnrolment::AlreadyRegistered) => {
                let (purpose, kind) = (Purpose::Factor.as_str(), registration.kind.as_str());
                self.metrics.challenge(purpose, kind, Code::Conflict.as_str());
                return Err(PasskeyAttemptError::AlreadyRegistered);
            }
            None => {
                let error = CodeError::Expired.into();
                self.record_failure(&error, Kind::ChallengeFailed, Purpose::Factor, &identity.actor(client));
                return Err(error);
            }
        };
        let kind = registration.kind;
        let entry = NewEvent::to_oneself(Kind::FactorAdded, &identity.actor(client));
        self.trail.record(entry.with("factor", kind.as_str()));
        self.metrics.challenge(Purpose::Factor.as_str(), kind.as_str(), "redeemed");
        self.mails.wake_up();
        self.logins.notify_and_catch_up().await;
        let synced = registration.backup_eligible;
        let rp_id = self.party.id().to_owned();
        let passkey = ListedPasskey { id, kind, name, synced, rp_id, created_at: now, last_used_at: None };
        Ok(EnrolledPasskey { passkey, recovery_codes: if is_first { codes.codes } else { Vec::new() } })
    }
}
