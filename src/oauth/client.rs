//! Client authentication of the endpoints for other services, by HTTP Basic (RFC 7617) or in a form.

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::LocalBoxFuture;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::auth::Credential;
use crate::clients::Clients;
use crate::error::{Code, Problem};
use crate::http::client::Client;
use crate::http::form::{Form, decode_form};
use crate::logins::Transport;

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

/// A request of a registered client, authenticated by HTTP Basic alone. Its body is extracted only then.
pub(super) struct AuthenticatedClientRequest<B> {
    /// The client.
    pub(super) client_id: Uuid,
    /// The body.
    pub(super) body: B,
}

impl<B: FromRequest<Error = Problem> + 'static> FromRequest for AuthenticatedClientRequest<B> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = B::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move {
            let authenticated = async {
                let basic = basic_credentials(request.headers())?.ok_or_else(no_basic)?;
                let client_id = authenticate(&request, &basic).await?;
                Ok(Self { client_id, body: body.await? })
            };
            authenticated.await.map_err(with_oauth_error)
        })
    }
}

fn no_basic() -> Problem {
    Problem::new(Code::NotAuthenticated, "Send a registered client's id and secret by HTTP Basic.")
}

fn invalid_client() -> Problem {
    let detail = "Send a registered client's id and secret, by HTTP Basic or in the form.";
    Problem::new(Code::NotAuthenticated, detail)
}

/// Unauthenticated clients get `invalid_client` instead of the details of a form error, unless the form may have
/// contained credentials that could not be read.
fn body_error(problem: Problem) -> Problem {
    if matches!(problem.code(), Code::Timeout | Code::MalformedRequest) { problem } else { invalid_client() }
}

async fn authenticate(
    request: &HttpRequest,
    IdAndSecret { id, secret }: &IdAndSecret,
) -> Result<Uuid, Problem> {
    let clients = request.app_data::<Data<Clients>>().ok_or_else(invalid_client)?;
    Ok(clients.authenticate(id, secret, || Client::of(request).actor()).await?)
}

/// Client credentials.
struct IdAndSecret {
    id: String,
    secret: Zeroizing<String>,
}

/// The credentials in the `Authorization: Basic` header. `None` without the header, or with another scheme.
fn basic_credentials(headers: &HeaderMap) -> Result<Option<IdAndSecret>, Problem> {
    let mut sent = headers.get_all(AUTHORIZATION);
    let Some(value) = sent.next() else { return Ok(None) };
    if sent.next().is_some() {
        return Err(Problem::new(Code::MalformedRequest, "Send one Authorization header, not several."));
    }
    let (scheme, rest) = value.as_bytes().split_at_checked(5).unwrap_or((value.as_bytes(), b""));
    if !scheme.eq_ignore_ascii_case(b"basic") || rest.first().is_some_and(|next| *next != b' ') {
        return Ok(None);
    }
    let malformed =
        || Problem::new(Code::MalformedRequest, "Send `Authorization: Basic` and base64 of `id:secret`.");
    user_pass(rest.trim_ascii()).ok_or_else(malformed).map(Some)
}

/// Decodes `id:secret`. Both parts are form-encoded, so that they can contain any character (RFC 6749, section 2.3.1).
fn user_pass(encoded: &[u8]) -> Option<IdAndSecret> {
    let bytes = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    let (id, secret) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    Some(IdAndSecret { id: decode_form(id).ok()?, secret: Zeroizing::new(decode_form(secret).ok()?) })
}
