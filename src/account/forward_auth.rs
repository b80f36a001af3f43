//! `/verify`, forward authentication for proxies: authenticates a request and checks its roles and freshness.

use std::time::Duration;

use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, get};

use crate::auth::{AuthenticationRequirement, ForwardAuthIdentity, Identity};
use crate::clock::write_rfc3339;
use crate::error::{Code, FieldError, Problem};
use crate::http::form::decode_form;
use crate::http::forward_auth_endpoint_path::VERIFY;
use crate::logins::{Acr, Authentication};
use crate::sign_in::SignIn;
use crate::users::check_role;

/// The header with a proxy's requirements, for paths below `/verify/`, whose query is the original request's.
const REQUIREMENTS: &str = "X-Verify";

/// Registers the other methods of `/verify`, and every path below it: some proxies send those of the original request.
pub(super) fn any_method_routes(config: &mut ServiceConfig) -> &mut ServiceConfig {
    config.service(web::scope(VERIFY).default_service(web::to(verify_any)))
}

/// Forward authentication for proxies: authenticates a request, and returns the user in headers.
///
/// For nginx's `auth_request`, Caddy's `forward_auth`, Traefik's ForwardAuth and Envoy's ext_authz. Any other method,
/// and any path below `/verify/`, is answered alike, since some proxies send the method and path of the original request.
/// Below `/verify/` the query is the original's, and the requirements come in the header `X-Verify`, in the format of
/// this query.
#[utoipa::path(operation_id = "verify", tag = "account",
    params(
        ("role" = Option<Vec<String>>, Query, description = "The user needs one of these roles.", example = json!(["user"])),
        ("acr_values" = Option<String>, Query, pattern = "^aal[12]$", example = "aal1",
            description = "The least assurance level that the login needs: `aal1`, or `aal2` for two factors."),
        ("max_age" = Option<u32>, Query, maximum = 4294967295_u64, example = 86400,
            description = "How long ago the user may have authenticated at most, in seconds."),
    ),
    security(("bearer" = []), ("access_token_cookie" = []), ("session_cookie" = [])), responses(
    (status = 200, description = "The request is authenticated. There is no body.", headers(
        ("X-Auth-User-Id" = String, description = "The user's id."),
        ("X-Auth-Username" = String, description = "The user's name."),
        ("X-Auth-Roles" = String, description = "The user's roles, separated by commas."),
        ("X-Auth-Mode" = String, description = "`session` or `jwt`."),
        ("X-Auth-Acr" = String, description = "The login's assurance level: `aal1` or `aal2`."),
        ("X-Auth-Amr" = String, description = "The login's authentication methods (RFC 8176), separated by commas; may be empty."),
        ("X-Auth-Time" = String, description = "When the user last authenticated; empty if the access token has no `auth_time`."),
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
    let wanted = AccessRequirements::read(raw_requirements(request)?)?;
    if !wanted.roles.is_empty() && !identity.roles.iter().any(|role| wanted.roles.contains(role)) {
        return Err(Problem::new(Code::Forbidden, "The user has none of the roles that this needs."));
    }
    sign_in.check_freshness(&identity, &wanted.freshness).await?;
    let Authentication { amr, acr, time } = identity.authentication;
    let mut proved_at = String::new();
    if let Some(time) = time {
        write_rfc3339(time, &mut proved_at);
    }
    // All headers are always set, even if empty: a proxy that copies a header only when it is present would pass on the
    // client's own.
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

/// The proxy's requirements, unparsed: the query at `/verify`, the header `X-Verify` below it.
fn raw_requirements(request: &HttpRequest) -> Result<&[u8], Problem> {
    if request.match_info().as_str() == VERIFY {
        return Ok(request.query_string().as_bytes());
    }
    let mut sent = request.headers().get_all(REQUIREMENTS);
    let conditions = sent.next().map_or(&b""[..], |value| value.as_bytes());
    match sent.next() {
        None => Ok(conditions.trim_ascii()),
        // One of the headers may come from the client.
        Some(_) => Err(invalid_requirement(&format!("{REQUIREMENTS} was sent more than once"))),
    }
}

/// What a proxy requires of a request beyond a valid credential.
#[derive(Default)]
struct AccessRequirements {
    /// The user needs one of these roles. Empty: no role is needed.
    roles: Vec<String>,
    freshness: AuthenticationRequirement,
}

impl AccessRequirements {
    /// An unknown requirement is an error: ignoring it would admit requests that the proxy means to refuse.
    fn read(conditions: &[u8]) -> Result<Self, Problem> {
        let conditions = std::str::from_utf8(conditions).map_err(|_| invalid_requirement("not UTF-8"))?;
        let (mut wanted, mut errors) = (Self::default(), Vec::new());
        for condition in conditions.split('&').filter(|condition| !condition.is_empty()) {
            let (name, value) = condition.split_once('=').unwrap_or((condition, ""));
            let decode = |text| decode_form(text).map_err(|_| invalid_requirement("not UTF-8"));
            let (name, value) = (decode(name)?, decode(value)?);
            if let Err(detail) = wanted.add(&name, value) {
                errors.push(FieldError::of(&name, detail));
            }
        }
        if errors.is_empty() { Ok(wanted) } else { Err(Problem::parameters(errors)) }
    }

    fn add(&mut self, name: &str, value: String) -> Result<(), String> {
        let AuthenticationRequirement { acr, max_age } = &mut self.freshness;
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

fn invalid_requirement(detail: &str) -> Problem {
    Problem::parameters(vec![FieldError { pointer: String::new(), detail: detail.to_owned() }])
}
