//! The form of introspection (RFC 7662) and revocation (RFC 7009) requests, and its client's authentication.

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::auth::Credential;
use crate::error::{Code, Problem};
use crate::http::form::Form;
use crate::logins::Transport;

use super::client_authentication::{IdAndSecret, authenticate, basic_credentials, invalid_client};
use super::error::with_oauth_error;

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

impl TokenRequest {
    /// The client credentials in the form, if both are there (RFC 6749, section 2.3.1).
    fn form_credentials(&self) -> Option<IdAndSecret> {
        let secret = self.client_secret.expose_secret();
        let is_whole = !self.client_id.is_empty() && !secret.is_empty();
        is_whole
            .then(|| IdAndSecret { id: self.client_id.clone(), secret: Zeroizing::new(secret.to_owned()) })
    }

    /// Rejects a request with more than one authentication method (RFC 6749, section 2.3). The same `client_id` alone may be
    /// repeated in the form.
    fn reject_second_auth_method(&self, basic: &IdAndSecret) -> Result<(), Problem> {
        let names_another = !self.client_id.is_empty() && !self.client_id.eq_ignore_ascii_case(&basic.id);
        if self.client_secret.expose_secret().is_empty() && !names_another {
            return Ok(());
        }
        let detail = "Send the client's id and secret in one place: in Authorization, or in the form.";
        Err(Problem::new(Code::MalformedRequest, detail))
    }

    fn token(&self) -> Result<Credential, Problem> {
        match self.token.expose_secret() {
            "" => Err(Problem::new(Code::MalformedRequest, "The form has no `token`.")),
            token => Ok(Credential::new(token, Transport::Bearer)),
        }
    }
}

/// A token request of a registered client, which has been authenticated.
pub(super) struct AuthenticatedTokenRequest {
    /// The client.
    pub(super) client_id: Uuid,
    /// The token that the request is about.
    pub(super) token: Credential,
}

impl FromRequest for AuthenticatedTokenRequest {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = Form::<TokenRequest>::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move {
            let authenticated = async {
                let (client_id, form) = match basic_credentials(request.headers())? {
                    Some(basic) => {
                        let client_id = authenticate(&request, &basic).await?;
                        let Form(form) = body.await?;
                        form.reject_second_auth_method(&basic)?;
                        (client_id, form)
                    }
                    None => {
                        let Form(form) = body.await.map_err(body_error)?;
                        let credentials = form.form_credentials().ok_or_else(invalid_client)?;
                        (authenticate(&request, &credentials).await?, form)
                    }
                };
                Ok(Self { client_id, token: form.token()? })
            };
            authenticated.await.map_err(with_oauth_error)
        })
    }
}

/// Unauthenticated clients get `invalid_client` instead of the details of a form error, unless the form may have
/// contained credentials that could not be read.
fn body_error(problem: Problem) -> Problem {
    if matches!(problem.code(), Code::Timeout | Code::MalformedRequest) { problem } else { invalid_client() }
}
