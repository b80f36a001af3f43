//! Hands a login off to the other mode: it is the same login there, and nobody signs in.

use secrecy::ExposeSecret;
use secrecy::SecretString;

use crate::auth::{AuthenticationRequirement, Identity};
use crate::database::DatabaseError;
use crate::error::{Code, Problem};
use crate::http::client::Client;
use crate::logins::{Acr, ExchangeError, HandoffCode, HandoffOutcome, Login, Presentation};
use crate::network_rate_limits::Limited;
use crate::telemetry::{self, RequestUser};

use super::SignIn;

/// Why a hand-off code was of no use.
#[derive(Debug, thiserror::Error)]
pub enum HandoffError {
    /// It is unknown, used or expired; or its login has ended, or was authenticated again since.
    #[error("the code is of no use")]
    Unusable,
    /// The mode has a credential of the login already.
    #[error("the login is presented in this mode already")]
    PresentedBefore,
    /// With `SECOND_FACTOR=required`: the login is below aal2. With the methods by which it can step up.
    #[error("the login is below aal2")]
    BelowAal2(Vec<&'static str>),
    /// There were too many wrong codes from this network.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// The database did not respond.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<HandoffError> for Problem {
    fn from(error: HandoffError) -> Self {
        match error {
            HandoffError::Unusable => Self::new(
                Code::ChallengeExpired,
                "The hand-off code is unknown, used or expired, or its login has ended or was stepped up since. Make a new one.",
            ),
            HandoffError::PresentedBefore => Self::new(
                Code::Conflict,
                "This mode has a credential of the login already. The code can be used in the other mode.",
            ),
            HandoffError::BelowAal2(methods) => {
                AuthenticationRequirement { acr: Some(Acr::Aal2), max_age: None }.problem(&methods)
            }
            HandoffError::Limited(limited) => limited.into(),
            HandoffError::Database(error) => error.into(),
        }
    }
}

impl SignIn {
    /// Creates a code that hands the login of a request off.
    ///
    /// # Errors
    /// See [`ExchangeError`].
    pub async fn create_handoff(
        &self,
        identity: &Identity,
        client: &Client,
    ) -> Result<HandoffCode, ExchangeError> {
        self.logins.create_handoff(identity.claimed_login(), identity.mode, &identity.actor(client)).await
    }

    /// The name of the user whose login a code hands off. The code is not used up.
    ///
    /// # Errors
    /// See [`HandoffError`].
    pub async fn inspect_handoff(
        &self,
        code: &SecretString,
        client: &Client,
    ) -> Result<String, HandoffError> {
        let attempt = self.limits.login.begin(client.network()).await?;
        let code = HandoffCode::parse(code.expose_secret()).ok_or(HandoffError::Unusable)?;
        // In no mode: only its user is wanted.
        let login = self.logins.find_handoff(&code, "").await?.ok_or(HandoffError::Unusable)?;
        attempt.forget();
        Ok(login.user.username)
    }

    /// Presents the login of a code in another mode as well, and uses the code up.
    ///
    /// # Errors
    /// See [`HandoffError`].
    pub async fn redeem_handoff(
        &self,
        code: &SecretString,
        presentation: Presentation,
        client: &Client,
    ) -> Result<Login, HandoffError> {
        let attempt = self.limits.login.begin(client.network()).await?;
        let code = HandoffCode::parse(code.expose_secret()).ok_or(HandoffError::Unusable)?;
        let least_acr = if self.second_factor_required { Acr::Aal2 } else { Acr::Aal1 };
        let outcome = self.logins.redeem_handoff(&code, presentation, least_acr, &client.actor()).await?;
        if matches!(outcome, HandoffOutcome::Unusable) {
            return Err(HandoffError::Unusable);
        }
        attempt.forget();
        match outcome {
            HandoffOutcome::Presented(login) => {
                let Presentation { mode, .. } = presentation;
                telemetry::set_user(RequestUser { user: login.user.id, login: login.id, mode });
                Ok(*login)
            }
            HandoffOutcome::BelowLeastAcr(user) => {
                Err(HandoffError::BelowAal2(self.second_factor_methods(user).await?))
            }
            HandoffOutcome::PresentedBefore => Err(HandoffError::PresentedBefore),
            HandoffOutcome::Unusable => Err(HandoffError::Unusable),
        }
    }
}
