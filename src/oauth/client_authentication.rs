//! Client authentication of the endpoints for other services: HTTP Basic (RFC 7617), and the look-up of the credentials.

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::LocalBoxFuture;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::clients::Clients;
use crate::error::{Code, Problem};
use crate::http::client::Client;
use crate::http::form::decode_form;

use super::error::with_oauth_error;

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

pub(super) fn invalid_client() -> Problem {
    let detail = "Send a registered client's id and secret, by HTTP Basic or in the form.";
    Problem::new(Code::NotAuthenticated, detail)
}

pub(super) async fn authenticate(
    request: &HttpRequest,
    IdAndSecret { id, secret }: &IdAndSecret,
) -> Result<Uuid, Problem> {
    let clients = request.app_data::<Data<Clients>>().ok_or_else(invalid_client)?;
    Ok(clients.authenticate(id, secret, || Client::of(request).actor()).await?)
}

/// Client credentials.
pub(super) struct IdAndSecret {
    pub(super) id: String,
    pub(super) secret: Zeroizing<String>,
}

/// The credentials in the `Authorization: Basic` header. `None` without the header, or with another scheme.
pub(super) fn basic_credentials(headers: &HeaderMap) -> Result<Option<IdAndSecret>, Problem> {
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
