//! Handlers of the routes that only the JWT mode has: refresh and JWKS.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get, post};

use crate::auth::{
    AcceptedAuthModes, AuthError, Mode, RefreshRequest, Rejection, limit_refresh_rate, second_factor_missing,
};
use crate::error::Problem;
use crate::http::body::OptionalJson;
use crate::logins::{Acr, Logins};

use super::issue::JwtBody;
use super::{JWKS_MAX_AGE, JwtMode, Keys};

/// Exchange the refresh token, from the body or its cookie, for new tokens.
///
/// A refresh token that was replaced within `REFRESH_GRACE` gets the current tokens: several tabs may refresh at once, and
/// a response may get lost. An older one ends the login.
#[utoipa::path(operation_id = "jwt_refresh", tag = "jwt",
    security((), ("refresh_token_cookie" = [])), request_body = Option<RefreshRequest>, responses(
    (status = 200, description = "The same login with new tokens.", body = JwtBody,
        headers(("Set-Cookie" = String, description = "By cookie: `access_token` and `refresh_token`."))),
    (status = 429, description = "rate_limited"),
    (status = 503, description = "unavailable"),
))]
#[post("/refresh", wrap = "from_fn(limit_refresh_rate)")]
pub(super) async fn jwt_refresh(
    mode: Data<JwtMode>,
    modes: Data<AcceptedAuthModes>,
    request: HttpRequest,
    OptionalJson(body): OptionalJson<RefreshRequest>,
) -> Result<HttpResponse, Problem> {
    let Some(presented) = mode.refresh_credential(body, request.headers())? else {
        return Err(AuthError::NotAuthenticated.into());
    };
    if !modes.admits(Acr::Aal1)
        && let Some((user, acr)) = mode.assurance_of_refresh_token(&presented).await?
        && !modes.admits(acr)
    {
        return Err(second_factor_missing(&request, user).await);
    }
    // Checked first: a refresh that can't be answered must not use up the client's token.
    mode.ensure_can_sign().await?;
    match mode.renew(&presented, &request).await {
        Ok((login, secret)) => mode.issue_tokens(login, secret, presented.transport).await,
        Err(error) => Ok(mode.refuse(&Rejection::new(error, presented.transport), request.headers())),
    }
}

/// The public keys with which other services verify access tokens.
///
/// The active key, the next one, and earlier ones as long as tokens signed with them may be valid. A token names its key
/// in `kid`. With HS256 the set is empty: symmetric keys are not published.
///
/// With `current`, the answer has every change that was committed before the request, or is 503. Whoever was told by one node
/// that the keys have changed may ask another one that does not know yet, and caches between are to be passed by.
#[utoipa::path(operation_id = "jwks", tag = "oauth", params(
    ("current" = Option<String>, Query,
        description = "Anything that no cache has seen, such as the time in microseconds: the set has to be current."),
), responses(
    (status = 200, description = "A JWK set (RFC 7517, section 5).",
        headers(("Cache-Control" = String, description = "The set may be cached for five minutes.")),
        body = Object, content_type = "application/json", example = json!({"keys": [{
            "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "use": "sig",
            "alg": "EdDSA", "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"}]})),
    (status = 503, description = "unavailable"),
))]
#[get("/.well-known/jwks.json")]
pub(super) async fn jwks(request: HttpRequest, keys: Data<Keys>, logins: Data<Logins>) -> HttpResponse {
    if !has_to_be_current(&request) {
        let cached = format!("public, max-age={}", JWKS_MAX_AGE.as_secs());
        return HttpResponse::Ok().insert_header((CACHE_CONTROL, cached)).json(keys.public());
    }
    if !logins.poll_for_unknown().await {
        return Problem::unavailable("the revocation feed can't be read").closing_response();
    }
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(keys.public())
}

/// Whether there is a parameter `current`. Others are ignored: this URL was never checked for any.
fn has_to_be_current(request: &HttpRequest) -> bool {
    let mut names = request.query_string().split('&').map(|it| it.split_once('=').map_or(it, |it| it.0));
    names.any(|name| name == "current")
}
