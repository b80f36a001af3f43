//! Handlers of the account routes, which take the credential of either mode.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, delete, get, post};
use uuid::Uuid;

use crate::auth::{AcceptedAuthModes, Identity, ProfileBody, UserBody};
use crate::error::{Code, Problem};
use crate::factors::password::ChangePasswordError;
use crate::http::body::{IgnoredBody, Json};
use crate::http::client::Client;
use crate::logins::Logins;
use crate::sign_in::SignIn;
use crate::users::Accounts;

use super::bodies::{ListedLoginBody, ListedLoginsBody, PasswordRequest};
use super::paging::{encode_cursor, parse_page};

/// The signed-in user, by the credential of either mode.
///
/// One credential is used: the Bearer token, else the access token's cookie, else the session's cookie.
#[utoipa::path(operation_id = "profile", tag = "account",
    security(("bearer" = []), ("access_token_cookie" = []), ("session_cookie" = [])), responses(
    (status = 200, description = "The user and the login.", body = ProfileBody),
    (status = 503, description = "unavailable"),
))]
#[get("/profile")]
pub(super) async fn profile(identity: Identity) -> HttpResponse {
    ProfileBody::from(identity).response()
}

/// The signed-in user with the email, read from the database.
///
/// The same body as in the responses of register and login.
#[utoipa::path(operation_id = "account", tag = "account",
    security(("bearer" = []), ("access_token_cookie" = []), ("session_cookie" = [])), responses(
    (status = 200, description = "The user.", body = UserBody),
    (status = 503, description = "unavailable"),
))]
#[get("/account")]
pub(super) async fn account(identity: Identity, accounts: Data<Accounts>) -> Result<HttpResponse, Problem> {
    let user = accounts.find_by_id(identity.user_id).await?;
    // The account's logins were revoked, but this node has not read that yet.
    let deleted = || Problem::new(Code::NotAuthenticated, "The account was deleted.");
    Ok(HttpResponse::Ok().json(UserBody::from(user.ok_or_else(deleted)?)))
}

/// The user's live logins, in both modes, page by page.
///
/// The login that made the request is marked as `current`. `next` is the `after` of the next page, null on the last one.
#[utoipa::path(operation_id = "list_logins", tag = "account",
    params(
        ("limit" = Option<u8>, Query, minimum = 1, maximum = 200, description = "The most logins on a page; 100 by default."),
        ("after" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$", description = "The `next` of the previous page."),
    ),
    security(("bearer" = []), ("access_token_cookie" = []), ("session_cookie" = [])), responses(
    (status = 200, description = "A page of logins, newest first.", body = ListedLoginsBody),
    (status = 422, description = "validation_failed"),
    (status = 503, description = "unavailable"),
))]
#[get("/account/logins")]
pub(super) async fn list_logins(
    identity: Identity,
    logins: Data<Logins>,
    modes: Data<AcceptedAuthModes>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let page = parse_page(request.query_string())?;
    let current = identity.login_id;
    let (listed, next) = logins.list(identity.user_id, current, page).await?;
    let logins = listed.into_iter().map(|login| ListedLoginBody::new(login, current, &modes)).collect();
    Ok(HttpResponse::Ok().json(ListedLoginsBody { next: next.as_ref().map(encode_cursor), logins }))
}

/// Sign another device out, or this one.
///
/// Ends a live login of the signed-in user. Any other id is not found.
#[utoipa::path(operation_id = "end_login", tag = "account",
    params(("id" = Uuid, Path, description = "The login's id, from the list of logins.")),
    security(("bearer" = []), ("access_token_cookie" = []), ("session_cookie" = [])), responses(
    (status = 204, description = "The login has ended, and all its credentials are revoked."),
    (status = 404, description = "not_found"),
    (status = 503, description = "unavailable"),
))]
#[delete("/account/logins/{id}")]
pub(super) async fn end_login(
    identity: Identity,
    logins: Data<Logins>,
    client: Client,
    id: Path<String>,
    _: IgnoredBody,
) -> Result<HttpResponse, Problem> {
    let missing = || Problem::new(Code::NotFound, "You have no such live login.");
    let id: Uuid = id.parse().map_err(|_| missing())?;
    if !logins.end_own(identity.user_id, id, &identity.actor(&client)).await? {
        return Err(missing());
    }
    Ok(HttpResponse::NoContent().finish())
}

/// Change the password, and sign every other device out.
///
/// Attempts are limited per account, over all addresses: three at once, then one every 20 seconds.
#[utoipa::path(operation_id = "change_password", tag = "account", request_body = PasswordRequest,
    security(("bearer" = []), ("access_token_cookie" = []), ("session_cookie" = [])), responses(
    (status = 204, description = "The password was changed. This login continues; every other login of the user has ended."),
    (status = 401, description = "insufficient_user_authentication"),
    (status = 403, description = "invalid_credentials"),
    (status = 429, description = "rate_limited"),
    (status = 503, description = "unavailable"),
))]
#[post("/account/password")]
pub(super) async fn change_password(
    identity: Identity,
    sign_in: Data<SignIn>,
    client: Client,
    Json(body): Json<PasswordRequest>,
) -> Result<HttpResponse, Problem> {
    let PasswordRequest { current_password, new_password } = body;
    sign_in.check_two_step_fresh(&identity).await?;
    match current_password {
        Some(current) => sign_in.password.change(&identity, &current, &new_password, &client).await?,
        None if sign_in.password.is_set(identity.user_id).await? => {
            return Err(ChangePasswordError::Missing.into());
        }
        None => {
            sign_in.check_fresh(&identity).await?;
            sign_in.password.set_first(&identity, &new_password, &client).await?;
        }
    }
    Ok(HttpResponse::NoContent().finish())
}

/// Remove the password, and sign every other device out.
///
/// For who signs in another way: with a passkey, or with a code by mail to a proved address. If there is none, the password stays.
#[utoipa::path(operation_id = "remove_password", tag = "account",
    security(("bearer" = []), ("access_token_cookie" = []), ("session_cookie" = [])), responses(
    (status = 204, description = "The password was removed. This login continues; every other login of the user has ended."),
    (status = 401, description = "insufficient_user_authentication"),
    (status = 404, description = "not_found"),
    (status = 409, description = "last_factor"),
    (status = 503, description = "unavailable"),
))]
#[delete("/account/password")]
pub(super) async fn remove_password(
    identity: Identity,
    sign_in: Data<SignIn>,
    client: Client,
    _: IgnoredBody,
) -> Result<HttpResponse, Problem> {
    sign_in.remove_password(&identity, &client).await?;
    Ok(HttpResponse::NoContent().finish())
}
