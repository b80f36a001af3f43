//! Challenges by mail: asking for one, resetting a password, and proving an address.

use secrecy::{ExposeSecret, SecretString};

use crate::auth::{
    AuthenticationRequirement, ChallengeAnswer, ChallengeHalves, Identity, PasskeyAnswer, UserBody,
};
use crate::challenges::{Challenge, ChallengeMethod, Purpose};
use crate::error::{Code, FieldError, Problem};
use crate::factors::email_code::CodeError;
use crate::factors::passkey::PasskeyHalves;
use crate::factors::password::ResetOutcome;
use crate::http::client::Client;
use crate::logins::Acr;
use crate::mail::Language;
use crate::network_rate_limits::Limiter;
use crate::users::check_email;

use super::SignIn;

/// What somebody who is not signed in may ask a challenge for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrangerPurpose {
    /// Signing in.
    Login,
    /// Setting a new password.
    ResetPassword,
}

impl SignIn {
    /// Counts a challenge to sign in that anybody may ask for.
    pub(super) fn count_challenge(
        &self,
        limiter: &Limiter,
        method: ChallengeMethod,
        client: &Client,
    ) -> Result<(), Problem> {
        let counted = limiter.count(client.network()).map_err(CodeError::from);
        if let Err(error) = &counted {
            self.metrics.challenge(Purpose::Login.as_str(), method.as_str(), Code::RateLimited.as_str());
            if let Some(entry) = error.limited_event(Purpose::Login, &client.actor()) {
                self.trail.record(entry);
            }
        }
        Ok(counted?)
    }

    /// Whether a code by mail signs in (`EMAIL_SIGN_IN`).
    pub fn offers_codes(&self) -> bool {
        self.email_code.signs_in()
    }

    /// Creates a challenge for whoever reads the mail of this address.
    ///
    /// # Errors
    /// `validation_failed`, `rate_limited`, and `unavailable` when mails are off.
    pub async fn challenge_stranger(
        &self,
        purpose: StrangerPurpose,
        address: Option<&str>,
        language: Language,
        client: &Client,
    ) -> Result<Challenge, Problem> {
        let purpose = match purpose {
            StrangerPurpose::Login if !self.email_code.signs_in() => return Err(unknown_method()),
            StrangerPurpose::Login => Purpose::Login,
            StrangerPurpose::ResetPassword => Purpose::ResetPassword,
        };
        let address = self.check_mail(address, client)?;
        Ok(self.email_code.challenge_stranger(purpose, address, language).await?)
    }

    /// Creates a challenge of this login for whoever reads the mail of this address.
    ///
    /// # Errors
    /// `insufficient_user_authentication` unless the login is fresh; `validation_failed`, `rate_limited`, and `unavailable`
    /// when mails are off.
    pub async fn challenge_own_address(
        &self,
        identity: &Identity,
        address: Option<&str>,
        client: &Client,
    ) -> Result<Challenge, Problem> {
        self.check_fresh(identity).await?;
        let address = self.check_mail(address, client)?;
        // To prove today's address is a part of enrolling. To change it is not.
        if self.second_factor_required && !self.email_code.is_of(identity.user_id, address).await? {
            let aal2 = AuthenticationRequirement { acr: Some(Acr::Aal2), max_age: None };
            self.check_freshness(identity, &aal2).await?;
        }
        let challenge =
            self.email_code.challenge_address(identity.user_id, identity.login_id, address).await?;
        challenge.ok_or_else(account_gone)
    }

    /// Creates a challenge to step up by a code that goes to the account's address: only for whoever has neither a password nor
    /// a factor.
    ///
    /// # Errors
    /// `validation_failed` if there is another way, or the address is not proved; `rate_limited`, and `unavailable` when mails
    /// are off.
    pub async fn challenge_own_mail(
        &self,
        identity: &Identity,
        client: &Client,
    ) -> Result<Challenge, Problem> {
        if !self.email_code.is_all_of(identity.user_id).await? {
            let detail = "is for accounts with a proved email, and neither a password nor a factor";
            return Err(Problem::validation(vec![FieldError::of("method", detail)]));
        }
        self.check_mail_is_on()?;
        self.limits.mail.count(client.network())?;
        let challenge = self.email_code.challenge_owner(identity).await?;
        challenge.ok_or_else(account_gone)
    }

    pub(super) fn check_mail<'a>(
        &self,
        address: Option<&'a str>,
        client: &Client,
    ) -> Result<&'a str, Problem> {
        let invalid = |detail: String| Problem::validation(vec![FieldError::of("email", detail)]);
        let address = address.ok_or_else(|| invalid("is missing".to_owned()))?;
        check_email(address).map_err(invalid)?;
        self.check_mail_is_on()?;
        self.limits.mail.count(client.network())?;
        Ok(address)
    }

    pub(super) fn check_mail_is_on(&self) -> Result<(), Problem> {
        let detail = "Mail is off: this service has no mail server (SMTP_URL).";
        if self.mails.is_on() { Ok(()) } else { Err(Problem::new(Code::Unavailable, detail)) }
    }

    /// Sets a new password for whoever has both halves of a challenge, and with two-step sign-in the second factor as well.
    /// Ends every login, and signs nobody in.
    ///
    /// # Errors
    /// `invalid_code`, `challenge_expired`, `second_factor_required`, `validation_failed`, `rate_limited`.
    pub async fn reset_password(
        &self,
        proof: &ChallengeAnswer,
        new_password: &SecretString,
        client: &Client,
    ) -> Result<(), Problem> {
        let halves = match proof {
            ChallengeAnswer::Code(halves) => halves,
            ChallengeAnswer::Passkey(PasskeyAnswer { challenge, passkey }) => {
                let halves = PasskeyHalves { challenge: challenge.expose_secret(), passkey };
                let passkeys = self.passkeys()?;
                return Ok(self.password.reset_by_passkey(passkeys, halves, new_password, client).await?);
            }
        };
        let reset =
            self.password.reset(&self.email_code, &self.second_factors, halves, new_password, client).await?;
        match reset {
            ResetOutcome::Reset => Ok(()),
            ResetOutcome::SecondFactorWanted(pending) => Err(self.second_factor_required(pending).await),
        }
    }

    /// Proves an address of a signed-in user, who has it from then on.
    ///
    /// # Errors
    /// `invalid_code`, `challenge_expired`, `conflict`, `rate_limited`.
    pub async fn prove_address(
        &self,
        identity: &Identity,
        halves: &ChallengeHalves,
        client: &Client,
    ) -> Result<UserBody, Problem> {
        let (challenge, code) = (halves.challenge.expose_secret(), halves.code.expose_secret());
        Ok(self.email_code.prove_address(identity, challenge, code, client).await?.into())
    }
}

/// A method that is not set up for what the challenge is for.
pub(super) fn unknown_method() -> Problem {
    Problem::validation(vec![FieldError::of("method", "is not set up here for this")])
}

/// The account's logins were revoked, but this node has not read that yet.
pub(super) fn account_gone() -> Problem {
    Problem::new(Code::NotAuthenticated, "The account was deleted.")
}
