//! Factors of a signed-in user: enrolling, removing, and making new recovery codes, each on a fresh login.

use secrecy::SecretString;
use uuid::Uuid;

use crate::auth::{ChallengeHalves, Identity};
use crate::challenges::Challenge;
use crate::error::{Code, FieldError, Problem};
use crate::factors::second_factor::Factors;
use crate::factors::totp::{EnrolledTotp, TotpSetup};
use crate::http::client::Client;
use crate::logins::{Acr, Amr, Authentication};

use super::challenges::account_gone;
use super::{SignIn, policy};

/// The maximum length of a factor's name, in code points.
const MAX_FACTOR_NAME: usize = 64;

/// The name of an authenticator that was given none.
const DEFAULT_TOTP_NAME: &str = "Authenticator";

impl SignIn {
    /// Creates a challenge that enrols an authenticator.
    ///
    /// # Errors
    /// `insufficient_user_authentication` unless the login is fresh; `email_not_verified`; `conflict` if there is one.
    pub async fn challenge_totp(&self, identity: &Identity) -> Result<(Challenge, TotpSetup), Problem> {
        self.check_fresh(identity).await?;
        Ok(self.second_factors.begin_totp(identity).await?)
    }

    /// Enrols the authenticator of a challenge. That is a proof of this login.
    ///
    /// # Errors
    /// `invalid_code`, `challenge_expired`, `validation_failed`, `conflict`, `rate_limited`.
    pub async fn enrol_totp(
        &self,
        identity: &Identity,
        halves: &ChallengeHalves,
        name: Option<String>,
        client: &Client,
    ) -> Result<EnrolledTotp, Problem> {
        check_factor_name(name.as_deref())?;
        let name = name.unwrap_or_else(|| DEFAULT_TOTP_NAME.to_owned());
        let before = self.live_authentication(identity).await?;
        let authentication = policy::with_proof(before, Amr::TOTP, Acr::Aal1, self.clock.now());
        Ok(self.second_factors.complete_totp(identity, halves, name, authentication, client).await?)
    }

    /// How the user of a login has authenticated, as it stands in the database.
    pub(super) async fn live_authentication(&self, identity: &Identity) -> Result<Authentication, Problem> {
        let login = self.logins.find_live(identity.login_id, identity.mode).await?;
        let ended = || Problem::new(Code::NotAuthenticated, "The login has ended.");
        Ok(login.ok_or_else(ended)?.authentication)
    }

    /// The factors of the user.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn list_factors(&self, identity: &Identity) -> Result<Factors, Problem> {
        let factors = self.second_factors.list(identity.user_id).await?;
        factors.ok_or_else(account_gone)
    }

    /// Removes a factor.
    ///
    /// # Errors
    /// `insufficient_user_authentication` unless the login is fresh; `not_found`, `last_factor`.
    pub async fn remove_factor(&self, identity: &Identity, id: Uuid, client: &Client) -> Result<(), Problem> {
        self.check_fresh(identity).await?;
        Ok(self.second_factors.remove(identity, id, client).await?)
    }

    /// Removes the password.
    ///
    /// # Errors
    /// `insufficient_user_authentication` unless the login is fresh; `not_found`, `last_factor`.
    pub async fn remove_password(&self, identity: &Identity, client: &Client) -> Result<(), Problem> {
        self.check_fresh(identity).await?;
        Ok(self.password.remove(identity, client).await?)
    }

    /// Makes new recovery codes.
    ///
    /// # Errors
    /// `insufficient_user_authentication` unless the login is fresh; `conflict` without two-step sign-in.
    pub async fn renew_recovery_codes(
        &self,
        identity: &Identity,
        client: &Client,
    ) -> Result<Vec<SecretString>, Problem> {
        self.check_fresh(identity).await?;
        Ok(self.second_factors.renew_recovery_codes(identity, client).await?)
    }
}

pub(super) fn check_factor_name(name: Option<&str>) -> Result<(), Problem> {
    if name.is_none_or(|name| name.chars().count() <= MAX_FACTOR_NAME) {
        return Ok(());
    }
    let detail = format!("must have {MAX_FACTOR_NAME} characters at most");
    Err(Problem::validation(vec![FieldError::of("name", detail)]))
}
