//! Sign-ins that wait for something: the second factor, a provider, the link of an identity. A challenge keeps what they began with
//! until then. Such a one is no login: there is no credential of it, and nothing in the list of logins.

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::auth::LoginRequest;
use crate::challenges::{ChallengeToken, Purpose};
use crate::clock::write_rfc3339;
use crate::crypto::SecretBytes;
use crate::database::DatabaseError;
use crate::error::{Code, Problem};
use crate::factors::provider::{ProviderAttempts, ProviderIdentity};
use crate::factors::second_factor::{NewPending, PendingSecondFactor};
use crate::logins::{Amr, Transport};

use super::SignIn;
use super::policy::Authenticated;
use super::start_login::Attempt;

/// A sign-in that waits for something.
#[derive(Debug)]
pub struct PendingSignIn {
    pub(super) token: ChallengeToken,
    pub(super) kept: KeptAttempt,
}

/// What a sign-in waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PendingStep {
    /// A second factor.
    #[default]
    SecondFactor,
    /// A provider's word.
    Provider,
    /// A proof of the account that an identity is to be linked to.
    Link,
    /// A code by mail, for an identity that is yet to be linked.
    Mail,
}

/// An identity at a provider that is to be linked to the account, once that was proved without it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct UnlinkedIdentity {
    pub(super) identity: ProviderIdentity,
    /// The account. `None`: it is not known yet.
    pub(super) account: Option<Uuid>,
    /// When the provider's word came.
    pub(super) said_at: DateTime<Utc>,
}

/// How long a provider's word waits for proofs of the account, however often one challenge takes the place of another.
pub(super) const LONGEST_WAIT_FOR_LINK: TimeDelta = TimeDelta::minutes(30);

/// What is kept of the steps before.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct KeptAttempt {
    #[serde(default)]
    pub(super) step: PendingStep,
    pub(super) amr: Amr,
    pub(super) remember_me: Option<bool>,
    pub(super) transport: Option<Transport>,
    pub(super) device_name: Option<String>,
    #[serde(default)]
    pub(super) unlinked: Option<UnlinkedIdentity>,
    /// Where the code by mail went.
    #[serde(default)]
    pub(super) mailed_to: Option<String>,
}

impl KeptAttempt {
    pub(super) fn to_secret(&self) -> SecretBytes {
        SecretBytes::new(serde_json::to_vec(self).unwrap_or_default())
    }
}

impl PendingSignIn {
    /// The sign-in of a challenge with this state. `None`: a challenge with a code by mail alone.
    pub(super) fn of_state(token: ChallengeToken, state: &SecretBytes) -> Option<Self> {
        let kept = match ProviderAttempts::carried(state) {
            Some(carried) => {
                let kept = match carried {
                    Some(carried) => serde_json::from_value(carried).ok()?,
                    None => KeptAttempt::default(),
                };
                KeptAttempt { step: PendingStep::Provider, ..kept }
            }
            None => serde_json::from_slice(state.reveal()).ok()?,
        };
        Some(Self { token, kept })
    }

    /// The same, when another challenge takes its place: whatever was proved of an account has to be proved anew.
    pub(super) fn without_proofs(self) -> Self {
        let kept = KeptAttempt { amr: Amr::default(), mailed_to: None, ..self.kept };
        Self { kept, ..self }
    }

    /// The methods that were proved.
    pub(super) fn amr(&self) -> Amr {
        self.kept.amr
    }
}

impl SignIn {
    /// Finds the sign-in that a request goes on with, if any. What was asked for then holds unless it is asked for again.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn resume(
        &self,
        mut request: LoginRequest,
    ) -> Result<(LoginRequest, Option<PendingSignIn>), DatabaseError> {
        let token = request.challenge.as_ref().and_then(|token| ChallengeToken::parse(token.expose_secret()));
        let Some(token) = token else { return Ok((request, None)) };
        let state = self.challenges.state(&token, Purpose::Login, None).await?;
        // None: a challenge with a code by mail, or one that is over.
        let pending = state.and_then(|state| PendingSignIn::of_state(token, &state));
        let Some(pending) = pending else { return Ok((request, None)) };
        let kept = &pending.kept;
        request.remember_me = request.remember_me.or(kept.remember_me);
        request.transport = request.transport.or(kept.transport);
        request.device_name = request.device_name.take().or_else(|| kept.device_name.clone());
        Ok((request, Some(pending)))
    }

    /// Keeps an attempt until its second factor comes.
    pub(super) async fn pend(
        &self,
        attempt: &Attempt,
        authenticated: &Authenticated,
    ) -> Result<PendingSecondFactor, DatabaseError> {
        let kept = KeptAttempt { unlinked: attempt.unlinked.clone(), ..attempt.kept(authenticated.amr) };
        let new = NewPending {
            user_id: authenticated.user.id,
            version: authenticated.version,
            state: kept.to_secret(),
        };
        self.second_factors.pend(new).await
    }

    /// The answer to a first factor where a second is wanted: the ways to go on, with the options for a passkey or security
    /// key.
    pub(super) async fn second_factor_required(&self, pending: PendingSecondFactor) -> Problem {
        let PendingSecondFactor { challenge, user_id, mut methods } = pending;
        let options = match &self.passkeys {
            Some(passkeys) => passkeys.options_of(&challenge.token, user_id).await,
            None => Ok(None),
        };
        let options = match options {
            Ok(options) => options,
            Err(error) => return error.into(),
        };
        methods.extend(options.as_ref().map(|_| "passkey"));
        let mut expires_at = String::new();
        write_rfc3339(challenge.expires_at, &mut expires_at);
        let detail = "Go on with the challenge, and a proof of the second factor.";
        let problem = Problem::new(Code::SecondFactorRequired, detail)
            .with("challenge", challenge.token.reveal())
            .with("expires_at", expires_at)
            .with("methods", methods);
        match options {
            Some(options) => problem.with("passkey", options),
            None => problem,
        }
    }
}
