//! Introspection of session tokens for OAuth clients (RFC 7662).

use crate::auth::{ActiveIntrospectionResponse, AuthError, Credential};

use super::SessionMode;

impl SessionMode {
    /// The introspection of a session token. It counts as a use of the session, since the client acts for it.
    pub(super) async fn describe(
        &self,
        token: &Credential,
    ) -> Result<Option<ActiveIntrospectionResponse>, AuthError> {
        Ok(self.identify(token).await?.map(ActiveIntrospectionResponse::from))
    }
}
