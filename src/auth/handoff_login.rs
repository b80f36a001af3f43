//! A sign-in by a hand-off code: the member of the body, and what does not go with it.

use secrecy::SecretString;

use crate::error::{FieldError, Problem};

use super::LoginRequest;

impl LoginRequest {
    /// The hand-off code, if the request has one. A login that is handed off is what it was before, so nothing but the transport can
    /// be said beside it.
    ///
    /// # Errors
    /// `validation_failed`: members that don't go with it.
    pub fn take_handoff(&mut self) -> Result<Option<SecretString>, Problem> {
        let Some(code) = self.handoff.take() else { return Ok(None) };
        let others = [
            ("username", self.username.is_some()),
            ("password", self.password.is_some()),
            ("challenge", self.challenge.is_some()),
            ("code", self.code.is_some()),
            ("passkey", self.passkey.is_some()),
            ("id_token", self.id_token.is_some()),
            ("remember_me", self.remember_me.is_some()),
            ("device_name", self.device_name.is_some()),
        ];
        let others = others.into_iter().filter(|(_, is_there)| *is_there);
        let errors: Vec<_> =
            others.map(|(name, _)| FieldError::of(name, "does not go with `handoff`")).collect();
        if errors.is_empty() { Ok(Some(code)) } else { Err(Problem::validation(errors)) }
    }
}
