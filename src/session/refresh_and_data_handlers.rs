//! Handlers of the routes that only the session mode has: refresh and session data.

use actix_web::http::header::ContentType;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, delete, get, post, put};

use crate::auth::{AcceptedAuthModes, AuthError, Identity, Mode, Rejection, limit_refresh_rate};
use crate::error::{Code, Problem};
use crate::http::body::{IgnoredBody, RawJson};
use crate::logins::RenewalOutcome;

use super::issue::SessionBody;
use super::variables::{KEY, SessionDataStore, StoreOutcome, VariableName};
use super::{NAME, SessionMode};

/// Replace the session id by a new one, and restart the idle time.
///
/// The old id is accepted for `REFRESH_GRACE`, and its refresh gets the same new id: requests of other tabs may be in
/// progress.
#[utoipa::path(operation_id = "session_refresh", tag = "session", security(("bearer" = []), ("session_cookie" = [])), responses(
    (status = 200, description = "The same login with its current session id.", body = SessionBody,
        headers(("Set-Cookie" = String, description = "By cookie: `sessionid`, with the current id."))),
    (status = 429, description = "rate_limited"),
    (status = 503, description = "unavailable"),
))]
#[post("/refresh", wrap = "from_fn(limit_refresh_rate)")]
pub(super) async fn session_refresh(
    mode: Data<SessionMode>,
    modes: Data<AcceptedAuthModes>,
    request: HttpRequest,
    identity: Result<Identity, Rejection>,
    _: IgnoredBody,
) -> Result<HttpResponse, Problem> {
    if let Err(rejection) = identity {
        return Ok(mode.refuse(&rejection, request.headers()));
    }
    let credential = modes.credential(request.headers())?;
    let shown = mode.decode_id(&credential).ok_or(AuthError::SessionExpired)?;
    let renewal = mode.logins.renew_handle(&shown.hash(), shown.generation(), NAME).await?;
    // The id was valid when the request was authenticated, but has been replaced or ended since. Cookies are not cleared:
    // the browser may have a newer one by now.
    let RenewalOutcome::Renewed(login) = renewal else { return Err(AuthError::SessionExpired.into()) };
    mode.issue_id(*login, shown.into_secret(), credential.transport, &request)
}

/// All data of the session.
///
/// The data belongs to the login: another login of the same user has its own.
#[utoipa::path(operation_id = "session_data", tag = "session", security(("bearer" = []), ("session_cookie" = [])), responses(
    (status = 200, description = "An object with a member for each key.", body = Object, example = json!({"theme": "dark", "cart": [7, 9]})),
    (status = 503, description = "unavailable"),
))]
#[get("/data")]
pub(super) async fn session_data(
    identity: Identity,
    data: Data<SessionDataStore>,
) -> Result<HttpResponse, Problem> {
    Ok(json(data.all(identity.login_id).await?))
}

/// One value of the session's data.
///
/// The bare JSON value, as it was stored.
#[utoipa::path(operation_id = "session_data_get", tag = "session", params(("key" = String, Path, description = KEY, pattern = "^[A-Za-z0-9_.-]{1,64}$", example = "theme")),
    security(("bearer" = []), ("session_cookie" = [])), responses(
    (status = 200, description = "The value itself.", body = Value, example = json!("dark")),
    (status = 404, description = "not_found"),
    (status = 422, description = "validation_failed"),
    (status = 503, description = "unavailable"),
))]
#[get("/data/{key}")]
pub(super) async fn session_data_get(
    identity: Identity,
    data: Data<SessionDataStore>,
    key: VariableName,
) -> Result<HttpResponse, Problem> {
    let value = data.get(identity.login_id, &key).await?;
    let missing = || Problem::new(Code::NotFound, "The session keeps nothing under this key.");
    value.map(json).ok_or_else(missing)
}

/// Store a value in the session's data, on the server.
///
/// Replaces an earlier value of the key. All values together may have up to 64 KiB.
#[utoipa::path(operation_id = "session_data_put", tag = "session", params(("key" = String, Path, description = KEY, pattern = "^[A-Za-z0-9_.-]{1,64}$", example = "theme")),
    request_body(content = Value, description = "Any JSON value, of 4 KiB at most.", example = json!("dark")),
    security(("bearer" = []), ("session_cookie" = [])), responses(
    (status = 204, description = "The value is stored until the login ends."),
    (status = 503, description = "unavailable"),
))]
#[put("/data/{key}")]
pub(super) async fn session_data_put(
    identity: Identity,
    data: Data<SessionDataStore>,
    key: VariableName,
    RawJson(value): RawJson,
) -> Result<HttpResponse, Problem> {
    match data.put(identity.login_id, &key, &value).await? {
        StoreOutcome::Stored => Ok(HttpResponse::NoContent().finish()),
        StoreOutcome::TooLarge(what) => Err(Problem::new(Code::PayloadTooLarge, what)),
        StoreOutcome::LoginEnded => Err(AuthError::SessionExpired.into()),
    }
}

/// Delete a key of the session's data.
///
/// A key that does not exist is no error.
#[utoipa::path(operation_id = "session_data_delete", tag = "session", params(("key" = String, Path, description = KEY, pattern = "^[A-Za-z0-9_.-]{1,64}$", example = "theme")),
    security(("bearer" = []), ("session_cookie" = [])), responses(
    (status = 204, description = "The key does not exist any more."),
    (status = 422, description = "validation_failed"),
    (status = 503, description = "unavailable"),
))]
#[delete("/data/{key}")]
pub(super) async fn session_data_delete(
    identity: Identity,
    data: Data<SessionDataStore>,
    key: VariableName,
    _: IgnoredBody,
) -> Result<HttpResponse, Problem> {
    data.delete(identity.login_id, &key).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn json(text: String) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(text)
}
