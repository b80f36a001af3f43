//! HOW A LOGIN BEGINS, and how its owner proves once more that it is theirs.
//!
//! The story: an attempt ([`attempt`]) says which login is wanted, and from where. What proves its user comes from `factors`.
//! When that is enough ([`policy`]) the login begins, in one function, whatever proved it. Later it says how it was
//! proved, and when; a route may want that to be recent ([`freshness`]), and a step-up ([`step_up`]) makes it so.

mod attempt;
mod freshness;
mod policy;
mod register;
mod step_up;

use std::time::Duration;

use crate::audit::Trail;
use crate::auth::Identity;
use crate::clock::Clock;
use crate::database::DatabaseError;
use crate::factors::password::PasswordFactor;
use crate::http::client::Client;
use crate::logins::Logins;
use crate::metrics::Metrics;
use crate::rate_limits::Limits;
use crate::users::Accounts;

pub use self::attempt::LoginPresentation;
pub use self::freshness::Freshness;
pub use self::step_up::StepUpError;

/// Opens accounts, begins logins, and has them proved once more.
pub struct SignIn {
    /// Where accounts are opened.
    pub accounts: Accounts,
    /// Where logins begin.
    pub logins: Logins,
    /// The first factor that there is.
    pub password: PasswordFactor,
    /// How often one network may do what.
    pub limits: Limits,
    /// `STEP_UP_MAX_AGE`.
    pub step_up_max_age: Duration,
    /// The time.
    pub clock: Clock,
    /// Is told of those who did not prove who they are.
    pub trail: Trail,
    /// Counts who signs in.
    pub metrics: Metrics,
}

impl SignIn {
    /// Ends every login of a user, in every mode.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn end_all(&self, identity: &Identity, client: &Client) -> Result<(), DatabaseError> {
        self.accounts.sign_out(identity.user_id, &identity.actor(client)).await?;
        self.logins.notify_and_catch_up().await;
        Ok(())
    }
}
