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
/// A request with `Cache-Control: no-cache` is answered with every change that was committed before it, or 503.
#[utoipa::path(operation_id = "jwks", tag = "oauth", responses(
    (status = 200, description = "A JWK set (RFC 7517, section 5).",
        headers(("Cache-Control" = String, description = "The set may be cached for five minutes.")),
        body = Object, content_type = "application/json", example = json!({"keys": [{
            "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "use": "sig",
            "alg": "EdDSA", "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"}]})),
    (status = 503, description = "unavailable"),
))]
#[get("/.well-known/jwks.json")]
pub(super) async fn jwks(
    request: HttpRequest,
    keys: Data<Keys>,
    logins: Data<Logins>,
) -> Result<HttpResponse, Problem> {
    // Whoever was told by one node that the keys have changed may ask another one that has not read that yet.
    if wants_current(&request) && !logins.poll_for_unknown().await {
        return Err(Problem::unavailable("the revocation feed can't be read"));
    }
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, format!("public, max-age={}", JWKS_MAX_AGE.as_secs())))
        .json(keys.public()))
}

/// Whether a remembered answer is not enough (RFC 9111, section 5.2.1.4).
fn wants_current(request: &HttpRequest) -> bool {
    let values = request.headers().get_all(CACHE_CONTROL).filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|directive| directive.trim().eq_ignore_ascii_case("no-cache"))
}
