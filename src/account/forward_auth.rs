//! What proxies ask: whether a request is authenticated, whose it is, and whether that user has one of some roles.

use std::time::Duration;

use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, get};

use crate::auth::{ForwardAuthIdentity, Identity};
use crate::clock::write_rfc3339;
use crate::error::{Code, FieldError, Problem};
use crate::http::form::decode_form;
use crate::http::forward_auth::VERIFY;
use crate::logins::{Acr, Authentication};
use crate::sign_in::{Freshness, SignIn};
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
    params(
        ("role" = Option<Vec<String>>, Query, description = "One of these roles is needed.", example = json!(["user"])),
        ("acr_values" = Option<String>, Query, pattern = "^aal[12]$", example = "aal1",
            description = "What the login's proofs must come to: `aal1`, or `aal2` for two factors."),
        ("max_age" = Option<u32>, Query, maximum = 4294967295_u64, example = 86400,
            description = "How many seconds ago the last proof may have come at the most."),
    ),
    security(("bearer" = []), ("access_token_cookie" = []), ("session_cookie" = [])), responses(
    (status = 200, description = "It is. There is no body.", headers(
        ("X-Auth-User-Id" = String, description = "The user's id."),
        ("X-Auth-Username" = String, description = "The user's name."),
        ("X-Auth-Roles" = String, description = "The user's roles, with commas in between."),
        ("X-Auth-Mode" = String, description = "`session` or `jwt`."),
        ("X-Auth-Acr" = String, description = "What the login's proofs come to: `aal1` or `aal2`."),
        ("X-Auth-Amr" = String, description = "In which ways it was proved (RFC 8176), with commas in between; maybe empty."),
        ("X-Auth-Time" = String, description = "When it was last proved; empty where an access token does not say."),
    )),
    (status = 401, description = "insufficient_user_authentication"),
    (status = 403, description = "forbidden"),
    (status = 422, description = "validation_failed"),
    (status = 503, description = "unavailable"),
))]
#[get("/verify")]
pub(super) async fn verify(
    caller: ForwardAuthIdentity,
    sign_in: Data<SignIn>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    answer(caller.0, &sign_in, &request).await
}

async fn verify_any(
    caller: ForwardAuthIdentity,
    sign_in: Data<SignIn>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    answer(caller.0, &sign_in, &request).await
}

async fn answer(
    identity: Identity,
    sign_in: &SignIn,
    request: &HttpRequest,
) -> Result<HttpResponse, Problem> {
    let wanted = AccessRequirements::read(conditions(request)?)?;
    if !wanted.roles.is_empty() && !identity.roles.iter().any(|role| wanted.roles.contains(role)) {
        return Err(Problem::new(Code::Forbidden, "The user has none of the roles that this needs."));
    }
    sign_in.check_freshness(&identity, &wanted.freshness).await?;
    let Authentication { amr, acr, time } = identity.authentication;
    let mut proved_at = String::new();
    if let Some(time) = time {
        write_rfc3339(time, &mut proved_at);
    }
    // Every one of them, even if it is empty: what a proxy copies nothing into may be a client's own.
    Ok(HttpResponse::Ok()
        .insert_header(("X-Auth-Acr", acr.as_str()))
        .insert_header(("X-Auth-Amr", amr.names().collect::<Vec<_>>().join(",")))
        .insert_header(("X-Auth-Time", proved_at))
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

/// What the proxy wants of a request beyond a credential.
#[derive(Default)]
struct AccessRequirements {
    /// The user needs one of these; none: nobody needs any.
    roles: Vec<String>,
    freshness: Freshness,
}

impl AccessRequirements {
    /// A condition that is not known is never passed over: that would let everybody in.
    fn read(conditions: &[u8]) -> Result<Self, Problem> {
        let conditions = std::str::from_utf8(conditions).map_err(|_| unreadable("not UTF-8"))?;
        let (mut wanted, mut errors) = (Self::default(), Vec::new());
        for condition in conditions.split('&').filter(|condition| !condition.is_empty()) {
            let (name, value) = condition.split_once('=').unwrap_or((condition, ""));
            let decode = |text| decode_form(text).map_err(|_| unreadable("not UTF-8"));
            let (name, value) = (decode(name)?, decode(value)?);
            if let Err(detail) = wanted.add(&name, value) {
                errors.push(FieldError::of(&name, detail));
            }
        }
        if errors.is_empty() { Ok(wanted) } else { Err(Problem::parameters(errors)) }
    }

    fn add(&mut self, name: &str, value: String) -> Result<(), String> {
        let Freshness { acr, max_age } = &mut self.freshness;
        match name {
            "role" => {
                check_role(&value)?;
                self.roles.push(value);
                Ok(())
            }
            "acr_values" => set_once(acr, Acr::of_name(&value).ok_or("must be aal1 or aal2")?),
            "max_age" => set_once(max_age, seconds(&value).ok_or("must be a whole number of seconds")?),
            _ => Err("is no condition: there are `role`, `acr_values` and `max_age`".to_owned()),
        }
    }
}

fn set_once<T>(condition: &mut Option<T>, value: T) -> Result<(), String> {
    match condition.replace(value) {
        None => Ok(()),
        Some(_) => Err("may be there once".to_owned()),
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_: &u32| is_plain).map(|seconds| Duration::from_secs(seconds.into()))
}

fn unreadable(detail: &str) -> Problem {
    Problem::parameters(vec![FieldError { pointer: String::new(), detail: detail.to_owned() }])
}
