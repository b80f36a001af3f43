//! The routes that take a token from a service.

use actix_web::web::Data;
use actix_web::{HttpResponse, post};
use futures_util::future::BoxFuture;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{AcceptedModes, AuthError, IntrospectedToken, Mode};
use crate::error::Problem;
use crate::http::client::Client;

use super::client::{AuthenticatedTokenRequest, TokenRequest};
use super::metadata::Metadata;

/// What is known of a token.
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
    /// Whether it is good. If it is not, nothing else is said.
    active: bool,
    /// Who issued it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    iss: Option<String>,
    #[serde(flatten)]
    #[schema(value_type = IntrospectedToken)]
    token: Option<IntrospectedToken>,
}

/// Ask about a token that was sent to your service: whether it is good, and whose it is (RFC 7662).
///
/// Takes access tokens and session tokens. To ask about a session is to use it. Everything else, a refresh token
/// included, is not active.
#[utoipa::path(operation_id = "oauth_introspect", tag = "oauth", security(("client_basic" = [])),
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 200, description = "What is known of it.", body = IntrospectionBody),
    (status = 503, description = "unavailable"),
))]
#[post("/jwt/introspect")]
pub(super) async fn introspect(
    asked: AuthenticatedTokenRequest,
    modes: Data<AcceptedModes>,
    metadata: Data<Metadata>,
) -> Result<HttpResponse, Problem> {
    let token = ask(&modes, |mode| mode.introspect(&asked.token)).await?;
    let iss = token.is_some().then(|| metadata.issuer.clone());
    Ok(HttpResponse::Ok().json(IntrospectionBody { active: token.is_some(), iss, token }))
}

/// End the login behind a token (RFC 7009).
///
/// Takes access tokens, also those that have expired, refresh tokens and session tokens. Every credential of that login is
/// dead then, as after a logout. A token that stands for nothing is answered alike.
#[utoipa::path(operation_id = "oauth_revoke", tag = "oauth", security(("client_basic" = [])),
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 200, description = "It is good for nothing any more, if it ever was for anything. There is no body."),
    (status = 503, description = "unavailable"),
))]
#[post("/jwt/revoke")]
pub(super) async fn revoke(
    asked: AuthenticatedTokenRequest,
    modes: Data<AcceptedModes>,
    client: Client,
) -> Result<HttpResponse, Problem> {
    let actor = client.actor().of_client(asked.by);
    ask(&modes, |mode| mode.revoke(&asked.token, &actor)).await?;
    Ok(HttpResponse::Ok().finish())
}

/// What the mode whose token it is says; `None` when it is no mode's, or good for nothing.
async fn ask<'a, T>(
    modes: &'a AcceptedModes,
    question: impl Fn(&'a dyn Mode) -> BoxFuture<'a, Result<Option<T>, AuthError>>,
) -> Result<Option<T>, Problem> {
    for mode in modes.iter() {
        match question(mode.as_ref()).await {
            Ok(None) => {}
            Ok(Some(answer)) => return Ok(Some(answer)),
            // What can't be found out is not said to be so.
            Err(error @ (AuthError::Stale | AuthError::Database(_))) => return Err(error.into()),
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}
