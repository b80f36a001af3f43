//! The form of introspection (RFC 7662) and revocation (RFC 7009) requests.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::auth::Credential;
use crate::error::{Code, Problem};
use crate::logins::Transport;

use super::authenticated_form::ClientForm;

/// The form of introspection and revocation requests.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"token": "eyJ…"}))]
pub(super) struct TokenRequest {
    /// The token, as the requesting service received it.
    #[serde(default)]
    #[schema(value_type = String, min_length = 1, required = true)]
    token: SecretString,
    /// Accepted, but ignored: the type of every token is recognised by the token itself.
    #[serde(default)]
    #[schema(example = "access_token")]
    #[expect(dead_code, reason = "ignored, but a repeated parameter must be an error")]
    token_type_hint: String,
    /// The client's id, unless it is in `Authorization`.
    #[serde(default)]
    #[schema(example = "")]
    client_id: String,
    /// The client's secret, unless it is in `Authorization`.
    #[serde(default)]
    #[schema(value_type = String, example = "")]
    client_secret: SecretString,
}

impl ClientForm for TokenRequest {
    type Content = Credential;

    fn client_id(&self) -> &str {
        &self.client_id
    }

    fn client_secret(&self) -> &SecretString {
        &self.client_secret
    }

    /// The token.
    fn content(self) -> Result<Credential, Problem> {
        match self.token.expose_secret() {
            "" => Err(Problem::new(Code::MalformedRequest, "The form has no `token`.")),
            token => Ok(Credential::new(token, Transport::Bearer)),
        }
    }
}
