//! Sign-in: starts logins, and authenticates their users again (step-up).
//!
//! An attempt ([`start_login`]) is the request for a login. `factors` verifies the user and gives proofs. If the proofs are
//! enough ([`policy`]) the login starts, in one function for every factor. The login keeps how and when the user
//! authenticated. A route may require that to be recent ([`authentication_requirement`]); a step-up ([`step_up`]) renews it.

mod authentication_requirement;
mod challenges;
mod create_account;
mod factors;
mod handoff;
mod links;
mod passkeys;
mod pending;
mod policy;
mod providers;
mod start_login;
mod step_up;

use std::sync::Arc;
use std::time::Duration;

use crate::audit::Trail;
use crate::auth::{Identity, ReturnTo};
use crate::challenges::Challenges;
use crate::clock::Clock;
use crate::config::RegistrationPolicy;
use crate::database::DatabaseError;
use crate::factors::email_code::EmailCodeFactor;
use crate::factors::passkey::PasskeyFactor;
use crate::factors::password::PasswordFactor;
use crate::factors::provider::{Identities, ProviderAttempts};
use crate::factors::second_factor::SecondFactors;
use crate::http::client::Client;
use crate::logins::Logins;
use crate::mail::Mails;
use crate::metrics::Metrics;
use crate::network_rate_limits::Limits;
use crate::users::Accounts;

pub use self::challenges::StrangerPurpose;
pub use self::create_account::Registration;
pub use self::handoff::HandoffError;
pub use self::passkeys::PasskeyChallenge;
pub use self::pending::PendingSignIn;
pub use self::start_login::NewLoginSpec;
pub use self::step_up::StepUpError;

/// The use cases of registration, sign-in and step-up.
pub struct SignIn {
    /// The user accounts.
    pub accounts: Accounts,
    /// The logins.
    pub logins: Logins,
    /// The password factor.
    pub password: PasswordFactor,
    /// Codes by mail.
    pub email_code: EmailCodeFactor,
    /// Authenticators and recovery codes.
    pub second_factors: SecondFactors,
    /// Passkeys and security keys. `None`: there are none where the service is reached by an address.
    pub passkeys: Option<PasskeyFactor>,
    /// Attempts to sign in at providers.
    pub provider_attempts: ProviderAttempts,
    /// The identities at providers that accounts have.
    pub identities: Identities,
    /// Which URLs a sign-in elsewhere may return to.
    pub return_to: ReturnTo,
    /// Challenges, for registrations and sign-ins in two steps.
    pub challenges: Arc<Challenges>,
    /// The mails.
    pub mails: Arc<Mails>,
    /// `REGISTRATION`.
    pub registration: RegistrationPolicy,
    /// The rate limits per network.
    pub limits: Limits,
    /// `SECOND_FACTOR=required`.
    pub second_factor_required: bool,
    /// `STEP_UP_MAX_AGE`.
    pub step_up_max_age: Duration,
    /// The time source.
    pub clock: Clock,
    /// The audit trail, for failed authentications.
    pub trail: Trail,
    /// Counters of sign-ins.
    pub metrics: Metrics,
}

impl SignIn {
    /// Ends every login of a user, in every mode.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn end_all(&self, identity: &Identity, client: &Client) -> Result<(), DatabaseError> {
        self.accounts.sign_out(identity.user_id, &identity.actor(client)).await?;
        self.logins.notify_and_catch_up().await;
        Ok(())
    }
}
