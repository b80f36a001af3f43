//! Passkeys and security keys: challenges for them, enrolling one, and signing in by one.

use secrecy::ExposeSecret;
use uuid::Uuid;

use crate::audit::{Actor, Kind};
use crate::auth::{Identity, PasskeyAnswer};
use crate::challenges::{Challenge, ChallengeMethod, Purpose};
use crate::database::DatabaseError;
use crate::error::{FieldError, Problem};
use crate::factors::passkey::{
    CreationOptions, EnrolledPasskey, PasskeyFactor, PasskeyHalves, PasskeyKind, RequestOptions,
    VerifiedPasskeyUser,
};
use crate::http::client::Client;
use crate::logins::{Acr, Amr};

use super::SignIn;
use super::challenges::unknown_method;
use super::factors::check_factor_name;
use super::pending::PendingSignIn;
use super::policy::{self, Authenticated};
use super::start_login::{Attempt, Outcome, end_code};

/// A challenge that a passkey or security key of an account answers.
pub type PasskeyChallenge = (Challenge, RequestOptions);

impl SignIn {
    pub(super) fn passkeys(&self) -> Result<&PasskeyFactor, Problem> {
        self.passkeys.as_ref().ok_or_else(unknown_method)
    }

    /// Creates a challenge that enrols a passkey or security key.
    ///
    /// # Errors
    /// `insufficient_user_authentication` unless the login is fresh; `email_not_verified`; `validation_failed` if there are no
    /// passkeys here.
    pub async fn challenge_passkey_enrolment(
        &self,
        identity: &Identity,
        kind: PasskeyKind,
    ) -> Result<(Challenge, CreationOptions), Problem> {
        let passkeys = self.passkeys()?;
        self.check_fresh(identity).await?;
        let version = self.second_factors.check_enrolment(identity.user_id).await?;
        Ok(passkeys.begin_enrolment(identity, kind, version).await?)
    }

    /// Creates a challenge to sign in by a passkey, without a name.
    ///
    /// # Errors
    /// `validation_failed` if there are no passkeys here; `rate_limited`.
    pub async fn challenge_any_passkey(&self, client: &Client) -> Result<PasskeyChallenge, Problem> {
        let passkeys = self.passkeys()?;
        self.count_challenge(&self.limits.passkey_challenge, ChallengeMethod::Passkey, client)?;
        Ok(passkeys.challenge_anybody().await?)
    }

    /// Creates a challenge to step up by a passkey or security key.
    ///
    /// # Errors
    /// `validation_failed` if there are no passkeys here, or the user has none.
    pub async fn challenge_own_passkey(&self, identity: &Identity) -> Result<PasskeyChallenge, Problem> {
        let challenge = self.passkeys()?.challenge_owner(identity).await?;
        challenge.ok_or_else(|| {
            let error =
                FieldError::of("method", "is none of your account: it has no passkey or security key");
            Problem::validation(vec![error])
        })
    }

    /// Enrols the passkey or security key of a challenge. That is a proof of this login.
    ///
    /// # Errors
    /// `invalid_code`, `challenge_expired`, `validation_failed`, `conflict`, `rate_limited`.
    pub async fn enrol_passkey(
        &self,
        identity: &Identity,
        answer: &PasskeyAnswer,
        name: Option<String>,
        client: &Client,
    ) -> Result<EnrolledPasskey, Problem> {
        check_factor_name(name.as_deref())?;
        let passkeys = self.passkeys()?;
        let PasskeyAnswer { challenge, passkey } = answer;
        let checked =
            passkeys.check_registration(identity, challenge.expose_secret(), passkey, client).await?;
        let before = self.live_authentication(identity).await?;
        let authentication = policy::with_proof(before, checked.amr(), Acr::Aal1, self.clock.now());
        let name = name.unwrap_or_else(|| checked.kind().default_name().to_owned());
        Ok(passkeys.enrol(identity, checked, name, authentication, client).await?)
    }

    /// Signs in by a passkey without a name, or by a passkey or security key as the second factor.
    pub(super) async fn start_by_passkey(
        &self,
        attempt: Attempt,
        pending: Option<PendingSignIn>,
        answer: &PasskeyAnswer,
        actor: &Actor,
    ) -> Result<Outcome, Problem> {
        let halves = PasskeyHalves { challenge: answer.challenge.expose_secret(), passkey: &answer.passkey };
        let failure = if pending.is_some() { Kind::SecondFactorFailed } else { Kind::ChallengeFailed };
        let verified =
            self.passkeys()?.verify(Purpose::Login, halves, &attempt.client, actor, failure).await?;
        let VerifiedPasskeyUser { user, recipient, has_two_step, proof, attempt: counted } = verified;
        let before = pending.map_or(Amr::default(), |pending| pending.amr());
        let proved = Authenticated::new(user, before, proof, self.clock.now());
        let outcome = self.go_on(attempt, proved.decide(has_two_step), &recipient, actor).await;
        end_code(counted, outcome)
    }

    /// The ways in which the user can prove a second factor.
    pub(super) async fn second_factor_methods(&self, user: Uuid) -> Result<Vec<&'static str>, DatabaseError> {
        let mut methods = self.second_factors.methods(user).await?;
        if let Some(passkeys) = &self.passkeys
            && passkeys.has_any(user).await?
        {
            methods.push("passkey");
        }
        Ok(methods)
    }
}
