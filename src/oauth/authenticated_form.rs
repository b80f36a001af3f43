//! A form of a registered client, with the client's credentials by HTTP Basic or in the form itself (RFC 6749, section 2.3.1).

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::error::{Code, Problem};
use crate::http::form::Form;

use super::client_authentication::{IdAndSecret, authenticate, basic_credentials, invalid_client};
use super::error::with_oauth_error;

/// A form that may carry its client's credentials.
pub(super) trait ClientForm: DeserializeOwned + 'static {
    /// What the form says.
    type Content;

    /// `client_id`; empty if it is not there.
    fn client_id(&self) -> &str;

    /// `client_secret`; empty if it is not there.
    fn client_secret(&self) -> &SecretString;

    /// Reads what the form says. Only for an authenticated client.
    fn content(self) -> Result<Self::Content, Problem>;
}

/// A form of a registered client, which has been authenticated.
pub(super) struct AuthenticatedForm<F: ClientForm> {
    /// The client.
    pub(super) client_id: Uuid,
    /// What the form says.
    pub(super) content: F::Content,
}

impl<F: ClientForm> FromRequest for AuthenticatedForm<F> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = Form::<F>::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move {
            let authenticated = async {
                let (client_id, form) = match basic_credentials(request.headers())? {
                    Some(basic) => {
                        let client_id = authenticate(&request, &basic).await?;
                        let Form(form) = body.await?;
                        reject_second_method(&form, &basic)?;
                        (client_id, form)
                    }
                    None => {
                        let Form(form) = body.await.map_err(body_error)?;
                        let credentials = form_credentials(&form).ok_or_else(invalid_client)?;
                        (authenticate(&request, &credentials).await?, form)
                    }
                };
                Ok(Self { client_id, content: form.content()? })
            };
            authenticated.await.map_err(with_oauth_error)
        })
    }
}

/// The client credentials in the form, if both are there.
fn form_credentials(form: &impl ClientForm) -> Option<IdAndSecret> {
    let secret = form.client_secret().expose_secret();
    let is_whole = !form.client_id().is_empty() && !secret.is_empty();
    is_whole
        .then(|| IdAndSecret { id: form.client_id().to_owned(), secret: Zeroizing::new(secret.to_owned()) })
}

/// Rejects a request with more than one authentication method (RFC 6749, section 2.3). The same `client_id` alone may be
/// repeated in the form.
fn reject_second_method(form: &impl ClientForm, basic: &IdAndSecret) -> Result<(), Problem> {
    let names_another = !form.client_id().is_empty() && !form.client_id().eq_ignore_ascii_case(&basic.id);
    if form.client_secret().expose_secret().is_empty() && !names_another {
        return Ok(());
    }
    let detail = "Send the client's id and secret in one place: in Authorization, or in the form.";
    Err(Problem::new(Code::MalformedRequest, detail))
}

/// Unauthenticated clients get `invalid_client` instead of the details of a form error, unless the form may have
/// contained credentials that could not be read.
fn body_error(problem: Problem) -> Problem {
    if matches!(problem.code(), Code::Timeout | Code::MalformedRequest) { problem } else { invalid_client() }
}
