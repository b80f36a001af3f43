//! What a second factor costs, as `comparison.json` has it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::statistics::Estimate;
use super::super::target::AuthMode;
use super::ActionCost;

/// The cost of two-step sign-in (a password, then a TOTP), and of requests of a login that began so, in dualauth's default
/// configuration by Bearer. Each ratio is that of the servers' CPU time in the same round, against an account with a password
/// alone.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedSecondFactor)]
pub struct SecondFactorCost {
    /// `session` or `jwt`.
    pub mode: AuthMode,
    /// Sign-in by the password.
    pub login: Option<ActionCost>,
    /// Sign-in in two steps: both requests.
    pub two_step_login: Option<ActionCost>,
    /// The second as a multiple of the first.
    pub login_ratio: Option<Estimate>,
    /// A request of a login that began by the password.
    pub request: Option<ActionCost>,
    /// The same request of a login that began in two steps.
    pub two_step_request: Option<ActionCost>,
    /// The second as a multiple of the first: 1 if a request does not know of factors.
    pub request_ratio: Option<Estimate>,
}
