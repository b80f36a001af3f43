//! `POST /session/token`: an access token of a session's login, for services that verify tokens.

use actix_web::web::Data;
use actix_web::{HttpResponse, post};

use crate::auth::{AccessTokenBody, AuthError, Identity, OtherAuthModes};
use crate::error::Problem;
use crate::http::body::IgnoredBody;
use crate::logins::Login;
use crate::metrics::Metrics;

use super::{NAME, SessionMode};

/// Get an access token of the session's login.
///
/// A signed snapshot of the *same* login, for services that verify access tokens: it is accepted wherever one is, here as well, and
/// is revoked with the login. It expires no later than the login as it stands now, and has no refresh token: ask again when it has
/// expired. A session id is never in it.
#[utoipa::path(operation_id = "session_token", tag = "session", security(("bearer" = []), ("session_cookie" = [])), responses(
    (status = 200, description = "The token.", body = AccessTokenBody),
    (status = 401, description = "insufficient_user_authentication"),
    (status = 503, description = "unavailable"),
))]
#[post("/token")]
pub(super) async fn session_token(
    mode: Data<SessionMode>,
    others: Data<OtherAuthModes>,
    metrics: Data<Metrics>,
    identity: Identity,
    _: IgnoredBody,
) -> Result<HttpResponse, Problem> {
    let outcome = async {
        let noted = mode.logins.note_access_token(identity.claimed_login(), NAME).await;
        let login = noted.map_err(|error| AuthError::of_exchange(error, AuthError::SessionExpired))?;
        Ok(HttpResponse::Ok().json(sign(&others, &login).await?))
    };
    metrics.exchanged("token", outcome.await)
}

async fn sign(others: &OtherAuthModes, login: &Login) -> Result<AccessTokenBody, Problem> {
    for mode in others.iter() {
        if let Some(token) = mode.sign_access_token(login).await? {
            return Ok(token);
        }
    }
    Err(Problem::unavailable("no mode has access tokens"))
}
