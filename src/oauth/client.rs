//! Who asks: a registered client, by HTTP Basic (RFC 7617), and the token that it asks about.

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

use super::error::in_oauth_terms;

/// A token.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"token": "eyJ…"}))]
pub(super) struct TokenRequest {
    /// As it was sent to the service that asks.
    #[serde(default)]
    #[schema(value_type = String, min_length = 1, required = true)]
    token: SecretString,
    /// What it may be. Only a hint, and not needed: every token says itself what it is.
    #[serde(default)]
    #[schema(example = "access_token")]
    #[expect(dead_code, reason = "nobody reads it, but it may come once only")]
    token_type_hint: String,
    /// The service's id, where it is not in `Authorization`.
    #[serde(default)]
    #[schema(example = "")]
    client_id: String,
    /// The service's secret, where it is not in `Authorization`.
    #[serde(default)]
    #[schema(value_type = String, example = "")]
    client_secret: SecretString,
}

impl TokenRequest {
    /// What the form itself says to prove who the client is (RFC 6749, section 2.3.1).
    fn posted(&self) -> Option<IdAndSecret> {
        let secret = self.client_secret.expose_secret();
        let is_whole = !self.client_id.is_empty() && !secret.is_empty();
        is_whole
            .then(|| IdAndSecret { id: self.client_id.clone(), secret: Zeroizing::new(secret.to_owned()) })
    }

    /// One way to prove it in each request (RFC 6749, section 2.3). The id alone is no proof, and may be said again.
    fn check_beside(&self, basic: &IdAndSecret) -> Result<(), Problem> {
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

/// The token that a registered client asks about. Nobody else is listened to.
pub(super) struct AuthenticatedTokenRequest {
    /// Which client.
    pub(super) by: Uuid,
    /// What about.
    pub(super) token: Credential,
}

impl FromRequest for AuthenticatedTokenRequest {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = Form::<TokenRequest>::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move {
            let asked = async {
                let (by, form) = match basic(request.headers())? {
                    Some(basic) => {
                        let by = authenticate(&request, &basic).await?;
                        let Form(form) = body.await?;
                        form.check_beside(&basic)?;
                        (by, form)
                    }
                    None => {
                        let Form(form) = body.await.map_err(unless_unknown)?;
                        let posted = form.posted().ok_or_else(unknown)?;
                        (authenticate(&request, &posted).await?, form)
                    }
                };
                Ok(Self { by, token: form.token()? })
            };
            asked.await.map_err(in_oauth_terms)
        })
    }
}

fn unknown() -> Problem {
    let detail = "Send a registered client's id and secret, by HTTP Basic or in the form.";
    Problem::new(Code::NotAuthenticated, detail)
}

/// Nobody is told about a form that does not say who sent it, unless it may have been about to.
fn unless_unknown(problem: Problem) -> Problem {
    if matches!(problem.code(), Code::Timeout | Code::MalformedRequest) { problem } else { unknown() }
}

async fn authenticate(
    request: &HttpRequest,
    IdAndSecret { id, secret }: &IdAndSecret,
) -> Result<Uuid, Problem> {
    let clients = request.app_data::<Data<Clients>>().ok_or_else(unknown)?;
    Ok(clients.authenticate(id, secret, || Client::of(request).actor()).await?)
}

/// What a client says to prove who it is.
struct IdAndSecret {
    id: String,
    secret: Zeroizing<String>,
}

/// The one `Authorization: Basic` header. `None` without such a header: another scheme proves no client.
fn basic(headers: &HeaderMap) -> Result<Option<IdAndSecret>, Problem> {
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

/// Both parts are encoded as in a form, so that any character can be in them (RFC 6749, section 2.3.1).
fn user_pass(encoded: &[u8]) -> Option<IdAndSecret> {
    let bytes = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    let (id, secret) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    Some(IdAndSecret { id: decode_form(id).ok()?, secret: Zeroizing::new(decode_form(secret).ok()?) })
}
