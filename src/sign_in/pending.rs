//! Sign-ins that have had their first factor: a challenge keeps what they began with until the second. Such a one is no login:
//! there is no credential of it, and nothing in the list of logins.

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::auth::LoginRequest;
use crate::challenges::{ChallengeToken, Purpose};
use crate::clock::write_rfc3339;
use crate::crypto::SecretBytes;
use crate::database::DatabaseError;
use crate::error::{Code, Problem};
use crate::factors::second_factor::{NewPending, PendingSecondFactor};
use crate::logins::{Amr, Transport};

use super::SignIn;
use super::policy::Authenticated;
use super::start_login::Attempt;

/// A sign-in that waits for its second factor.
#[derive(Debug)]
pub struct PendingSignIn {
    pub(super) token: ChallengeToken,
    kept: KeptAttempt,
}

/// What is kept of the first step.
#[derive(Debug, Serialize, Deserialize)]
struct KeptAttempt {
    amr: Amr,
    remember_me: Option<bool>,
    transport: Option<Transport>,
    device_name: Option<String>,
}

impl PendingSignIn {
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
        let kept = state.and_then(|state| serde_json::from_slice::<KeptAttempt>(state.reveal()).ok());
        let Some(kept) = kept else { return Ok((request, None)) };
        request.remember_me = request.remember_me.or(kept.remember_me);
        request.transport = request.transport.or(kept.transport);
        request.device_name = request.device_name.take().or_else(|| kept.device_name.clone());
        Ok((request, Some(PendingSignIn { token, kept })))
    }

    /// Keeps an attempt until its second factor comes.
    pub(super) async fn pend(
        &self,
        attempt: &Attempt,
        authenticated: &Authenticated,
    ) -> Result<PendingSecondFactor, DatabaseError> {
        let kept = KeptAttempt {
            amr: authenticated.amr,
            remember_me: attempt.remember_me,
            transport: attempt.transport,
            device_name: attempt.device_name.clone(),
        };
        let new = NewPending {
            user_id: authenticated.user.id,
            version: authenticated.version,
            state: SecretBytes::new(serde_json::to_vec(&kept).unwrap_or_default()),
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
