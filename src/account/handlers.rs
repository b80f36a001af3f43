//! The routes that take either credential.

use actix_web::{HttpResponse, get};

use crate::auth::{Identity, ProfileBody};

/// Who is signed in, by whichever credential came: a Bearer token, else the access-token cookie, else the session
/// cookie.
#[utoipa::path(operation_id = "profile", tag = "account",
    security(("bearer" = []), ("access_token_cookie" = []), ("session_cookie" = [])), responses(
    (status = 200, description = "Who is signed in, and by what.", body = ProfileBody),
    (status = 503, description = "unavailable"),
))]
#[get("/profile")]
pub(super) async fn profile(identity: Identity) -> HttpResponse {
    HttpResponse::Ok().json(ProfileBody::from(identity))
}
