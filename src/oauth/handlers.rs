//! Handlers of token introspection (RFC 7662) and revocation (RFC 7009).

use actix_web::web::Data;
use actix_web::{HttpResponse, post};
use futures_util::future::BoxFuture;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{AcceptedAuthModes, ActiveIntrospectionResponse, AuthError, Mode};
use crate::error::Problem;
use crate::http::client::Client;

use super::authenticated_form::AuthenticatedForm;
use super::introspection_or_revocation_request::TokenRequest;
use super::metadata::Metadata;

/// The introspection response.
#[derive(Serialize, ToSchema)]
#[schema(examples(
    json!({
        "active": true, "iss": "https://auth.example.com", "token_type": "Bearer", "mode": "jwt",
        "sub": "0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e", "username": "ada", "roles": ["user"],
        "sid": "0199f0a1-23c4-7f00-8a51-5a4f6b7c8d9e", "exp": 1_795_254_300, "aud": "https://auth.example.com",
        "iat": 1_795_253_400, "jti": "8a4c2f5e-91d7-4b0a-a3a6-2f1b7c9d0e4f", "client_id": "dualauth",
    }),
    json!({
        "active": true, "iss": "https://auth.example.com", "token_type": "Bearer", "mode": "session",
        "sub": "0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e", "username": "ada", "roles": ["user"],
        "sid": "0199f0a1-23c4-7f00-8a51-5a4f6b7c8d9e", "exp": 1_795_255_200,
    }),
    json!({"active": false}),
))]
pub(super) struct IntrospectionBody {
    /// `true` if the token is valid. Otherwise there are no other members.
    active: bool,
    /// The issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    iss: Option<String>,
    #[serde(flatten)]
    #[schema(value_type = ActiveIntrospectionResponse)]
    token: Option<ActiveIntrospectionResponse>,
}

/// Introspect a token that your service received: whether it is valid, and whose it is (RFC 7662).
///
/// Takes access tokens and session tokens. Introspecting a session counts as a use of it. Anything else, refresh tokens
/// included, is reported as not active.
#[utoipa::path(operation_id = "oauth_introspect", tag = "oauth", security(("client_basic" = [])),
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 200, description = "The token's state and claims.", body = IntrospectionBody),
    (status = 503, description = "unavailable"),
))]
#[post("/jwt/introspect")]
pub(super) async fn introspect(
    request: AuthenticatedForm<TokenRequest>,
    modes: Data<AcceptedAuthModes>,
    metadata: Data<Metadata>,
) -> Result<HttpResponse, Problem> {
    let token = first_mode_answer(&modes, |mode| mode.introspect(&request.content)).await?;
    let token = token.filter(|token| modes.admits(token.acr));
    let iss = token.is_some().then(|| metadata.issuer.clone());
    Ok(HttpResponse::Ok().json(IntrospectionBody { active: token.is_some(), iss, token }))
}

/// Revoke a token, by ending its login (RFC 7009).
///
/// Takes access tokens, also expired ones, refresh tokens and session tokens. All credentials of the login are invalid
/// then, as after a logout. An unknown token gets the same response.
#[utoipa::path(operation_id = "oauth_revoke", tag = "oauth", security(("client_basic" = [])),
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 200, description = "The token is revoked, or was not valid. There is no body."),
    (status = 503, description = "unavailable"),
))]
#[post("/jwt/revoke")]
pub(super) async fn revoke(
    request: AuthenticatedForm<TokenRequest>,
    modes: Data<AcceptedAuthModes>,
    client: Client,
) -> Result<HttpResponse, Problem> {
    let actor = client.actor().of_client(request.client_id);
    first_mode_answer(&modes, |mode| mode.revoke(&request.content, &actor)).await?;
    Ok(HttpResponse::Ok().finish())
}

/// The answer of the mode that the token belongs to; `None` if it belongs to no mode or is not valid.
async fn first_mode_answer<'a, T>(
    modes: &'a AcceptedAuthModes,
    question: impl Fn(&'a dyn Mode) -> BoxFuture<'a, Result<Option<T>, AuthError>>,
) -> Result<Option<T>, Problem> {
    for mode in modes.iter() {
        match question(mode.as_ref()).await {
            Ok(None) => {}
            Ok(Some(answer)) => return Ok(Some(answer)),
            // A check that can't be made must not be reported as "not active".
            Err(error @ (AuthError::Stale | AuthError::Database(_))) => return Err(error.into()),
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}
