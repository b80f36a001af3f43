//! What proxies ask: whether a request is authenticated, whose it is, and whether that user has one of some roles.

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, get};

use crate::auth::{ForwardedIdentity, Identity};
use crate::error::{Code, FieldError, Problem};
use crate::http::form::decode_form;
use crate::http::forward_auth::VERIFY;
use crate::users::check_role;

/// The header in which a proxy says its conditions where the query is the original request's.
const CONDITIONS: &str = "X-Verify";

/// Registers every other method, and every path below, which are the original request's.
pub(super) fn of_any_request(config: &mut ServiceConfig) -> &mut ServiceConfig {
    config.service(web::scope(VERIFY).default_service(web::to(verify_any)))
}

/// For proxies: whether a request is authenticated, and whose it is, in headers.
///
/// nginx's `auth_request`, Caddy's `forward_auth`, Traefik's ForwardAuth and Envoy's ext_authz ask here. Any other method,
/// and any path below `/verify/`, is answered alike, for proxies that ask with those of the original request. There the
/// query is the original's, and conditions come in the header `X-Verify`, written as the query is here.
#[utoipa::path(operation_id = "verify", tag = "account",
    params(("role" = Option<Vec<String>>, Query, description = "One of these roles is needed.",
        example = json!(["user"]))),
    security(("bearer" = []), ("access_token_cookie" = []), ("session_cookie" = [])), responses(
    (status = 200, description = "It is. There is no body.", headers(
        ("X-Auth-User-Id" = String, description = "The user's id."),
        ("X-Auth-Username" = String, description = "The user's name."),
        ("X-Auth-Roles" = String, description = "The user's roles, with commas in between."),
        ("X-Auth-Mode" = String, description = "`session` or `jwt`."),
    )),
    (status = 403, description = "forbidden"),
    (status = 422, description = "validation_failed"),
    (status = 503, description = "unavailable"),
))]
#[get("/verify")]
pub(super) async fn verify(caller: ForwardedIdentity, request: HttpRequest) -> Result<HttpResponse, Problem> {
    answer(caller.0, &request)
}

async fn verify_any(caller: ForwardedIdentity, request: HttpRequest) -> Result<HttpResponse, Problem> {
    answer(caller.0, &request)
}

fn answer(identity: Identity, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let wanted = wanted_roles(conditions(request)?)?;
    if !wanted.is_empty() && !identity.roles.iter().any(|role| wanted.contains(role)) {
        return Err(Problem::new(Code::Forbidden, "The user has none of the roles that this needs."));
    }
    Ok(HttpResponse::Ok()
        .insert_header(("X-Auth-User-Id", identity.user_id.to_string()))
        .insert_header(("X-Auth-Username", identity.username))
        .insert_header(("X-Auth-Roles", identity.roles.join(",")))
        .insert_header(("X-Auth-Mode", identity.mode))
        .finish())
}

/// What the proxy says beyond the credential: its query, or below, where that is the original's, its header.
fn conditions(request: &HttpRequest) -> Result<&[u8], Problem> {
    if request.match_info().as_str() == VERIFY {
        return Ok(request.query_string().as_bytes());
    }
    let mut sent = request.headers().get_all(CONDITIONS);
    let conditions = sent.next().map_or(&b""[..], |value| value.as_bytes());
    match sent.next() {
        None => Ok(conditions.trim_ascii()),
        // One of them may be a client's.
        Some(_) => Err(unreadable(&format!("{CONDITIONS} was sent more than once"))),
    }
}

/// The roles of which the user needs one; none: nobody needs any. A condition that is not known is never passed over:
/// that would let everybody in.
fn wanted_roles(conditions: &[u8]) -> Result<Vec<String>, Problem> {
    let conditions = std::str::from_utf8(conditions).map_err(|_| unreadable("not UTF-8"))?;
    let (mut roles, mut errors) = (Vec::new(), Vec::new());
    for condition in conditions.split('&').filter(|condition| !condition.is_empty()) {
        let (name, value) = condition.split_once('=').unwrap_or((condition, ""));
        let decode = |text| decode_form(text).map_err(|_| unreadable("not UTF-8"));
        let (name, value) = (decode(name)?, decode(value)?);
        let checked = match name.as_str() {
            "role" => check_role(&value),
            _ => Err("is no condition: there is `role`".to_owned()),
        };
        match checked {
            Ok(()) => roles.push(value),
            Err(detail) => errors.push(FieldError::of(&name, detail)),
        }
    }
    if errors.is_empty() { Ok(roles) } else { Err(Problem::parameters(errors)) }
}

fn unreadable(detail: &str) -> Problem {
    Problem::parameters(vec![FieldError { pointer: String::new(), detail: detail.to_owned() }])
}
