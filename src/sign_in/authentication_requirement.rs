//! Checks that the login of a request was authenticated recently and strongly enough.

use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::auth::{AuthenticationRequirement, Identity, SecondFactorMethods};
use crate::database::DatabaseError;
use crate::error::Problem;
use crate::logins::Acr;

use super::SignIn;

impl SignIn {
    /// Checks that the user authenticated within `STEP_UP_MAX_AGE`, and by two factors if the account has two-step sign-in.
    ///
    /// # Errors
    /// `insufficient_user_authentication`.
    pub async fn check_fresh(&self, identity: &Identity) -> Result<(), Problem> {
        let user = identity.user_id;
        // Where a second factor is required, whoever has one does not add another by the first alone.
        let is_aal2_wanted = self.second_factors.has_two_step(user).await?
            || self.second_factor_required && !self.second_factor_methods(user).await?.is_empty();
        let acr = is_aal2_wanted.then_some(Acr::Aal2);
        let recent = AuthenticationRequirement { acr, max_age: Some(self.step_up_max_age) };
        self.check_freshness(identity, &recent).await
    }

    /// Like [`SignIn::check_fresh`], only for accounts with two-step sign-in.
    ///
    /// # Errors
    /// `insufficient_user_authentication`.
    pub async fn check_two_step_fresh(&self, identity: &Identity) -> Result<(), Problem> {
        if self.second_factors.has_two_step(identity.user_id).await? {
            self.check_fresh(identity).await?;
        }
        Ok(())
    }

    /// Checks that a login meets requirements. Queries the database only if it does not, for the methods of step-up.
    ///
    /// # Errors
    /// `insufficient_user_authentication`, with the `methods` of step-up by which this login would meet them.
    pub async fn check_freshness(
        &self,
        identity: &Identity,
        wanted: &AuthenticationRequirement,
    ) -> Result<(), Problem> {
        if wanted.is_met_by(&identity.authentication, self.clock.now()) {
            return Ok(());
        }
        // Another first factor does not raise the assurance level.
        let first_suffices = wanted.acr.is_none_or(|acr| identity.authentication.acr >= acr);
        let has_password = first_suffices && self.password.is_set(identity.user_id).await?;
        let mut methods = if has_password { vec!["password"] } else { Vec::new() };
        methods.extend(self.second_factor_methods(identity.user_id).await?);
        let providers =
            if first_suffices { self.step_up_providers(identity.user_id).await? } else { Vec::new() };
        methods.extend(providers.iter().map(String::as_str));
        if methods.is_empty()
            && first_suffices
            && self.mails.is_on()
            && self.email_code.is_all_of(identity.user_id).await?
        {
            methods.push("email");
        }
        Err(wanted.problem(&methods))
    }
}

impl SecondFactorMethods for SignIn {
    fn of_user(&self, user: Uuid) -> BoxFuture<'_, Result<Vec<&'static str>, DatabaseError>> {
        Box::pin(self.second_factor_methods(user))
    }
}
