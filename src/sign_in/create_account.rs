//! Registration: creates an account, without signing in.

use crate::auth::{RegisterRequest, UserBody};
use crate::error::Problem;
use crate::http::client::Client;
use crate::users::RegistrationInput;

use super::SignIn;

impl SignIn {
    /// Creates an account. `mode` is the mode whose route was called, for the audit trail.
    ///
    /// # Errors
    /// `validation_failed`, `conflict`, `rate_limited`.
    pub async fn register(
        &self,
        request: RegisterRequest,
        client: &Client,
        mode: &'static str,
    ) -> Result<UserBody, Problem> {
        self.limits.register.count(client.network())?;
        let RegisterRequest { username, email, password } = request;
        let new = RegistrationInput { username, email, password, admin: false };
        Ok(self.accounts.register(&new, &client.actor().in_mode(mode)).await?.into())
    }
}
