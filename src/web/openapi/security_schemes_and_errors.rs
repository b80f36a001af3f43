//! Security schemes of the OpenAPI document, the CSRF header of cookie routes, and authentication errors.

use utoipa::openapi::Components;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};

use crate::error::Code;

use super::super::BasePathAndCookieNames;
use super::csrf_header;

// The names of the security schemes, as used in the routes.
const BEARER: &str = "bearer";
const SESSION_COOKIE: &str = "session_cookie";
const ACCESS_TOKEN_COOKIE: &str = "access_token_cookie";
const REFRESH_TOKEN_COOKIE: &str = "refresh_token_cookie";
const CLIENT_BASIC: &str = "client_basic";

/// Declares the security schemes.
pub(super) fn declare(components: &mut Components, base_path_and_cookie_names: &BasePathAndCookieNames) {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An access token or a session token, as issued by `login`."))
        .build();
    let client = HttpBuilder::new()
        .scheme(HttpAuthScheme::Basic)
        .description(Some("A client's id and secret, as printed by `dualauth client create`."))
        .build();
    let cookie = |name: &str| {
        let text = "Sent by the browser automatically. Over https its name has a prefix: `__Host-`, or `__Secure-` \
                    where that is not possible, followed by COOKIE_NAME_PREFIX.";
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(name, text)))
    };
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    components.add_security_scheme(CLIENT_BASIC, SecurityScheme::Http(client));
    components.add_security_scheme(SESSION_COOKIE, cookie(&base_path_and_cookie_names.session_cookie));
    components
        .add_security_scheme(ACCESS_TOKEN_COOKIE, cookie(&base_path_and_cookie_names.access_token_cookie));
    components
        .add_security_scheme(REFRESH_TOKEN_COOKIE, cookie(&base_path_and_cookie_names.refresh_token_cookie));
    csrf_header::declare(components);
}

/// Marks a route without security schemes as public, and adds the CSRF header to unsafe methods that accept a cookie.
pub(super) fn complete(is_unsafe: bool, operation: &mut Operation) {
    let _ = operation.security.get_or_insert_default();
    if is_unsafe && takes_cookie(operation) {
        operation.parameters.get_or_insert_default().push(csrf_header::reference());
    }
}

fn takes_cookie(operation: &Operation) -> bool {
    let cookies = [SESSION_COOKIE, ACCESS_TOKEN_COOKIE, REFRESH_TOKEN_COOKIE];
    schemes(operation).iter().any(|scheme| cookies.contains(&scheme.as_str()))
}

/// Returns `true` if a route authenticates OAuth clients, so that its errors have an OAuth code.
pub(super) fn takes_client_credentials(operation: &Operation) -> bool {
    schemes(operation).iter().any(|scheme| scheme == CLIENT_BASIC)
}

/// The error codes of a route's authentication.
pub(super) fn auth_error_codes(is_unsafe: bool, operation: &Operation) -> Vec<Code> {
    let schemes = schemes(operation);
    if schemes.is_empty() {
        return Vec::new();
    }
    let scheme_codes = schemes.iter().flat_map(|scheme| scheme_error_codes(scheme));
    let csrf = (is_unsafe && takes_cookie(operation)).then_some(Code::CsrfFailed);
    [Code::MalformedRequest, Code::NotAuthenticated]
        .into_iter()
        .chain(scheme_codes.copied())
        .chain(csrf)
        .collect()
}

fn scheme_error_codes(scheme: &str) -> &'static [Code] {
    match scheme {
        BEARER => &[Code::InvalidToken, Code::TokenExpired, Code::TokenRevoked, Code::SessionExpired],
        ACCESS_TOKEN_COOKIE => &[Code::InvalidToken, Code::TokenExpired, Code::TokenRevoked],
        REFRESH_TOKEN_COOKIE => {
            &[Code::InvalidToken, Code::TokenExpired, Code::TokenRevoked, Code::RefreshTokenReused]
        }
        SESSION_COOKIE => &[Code::SessionExpired],
        CLIENT_BASIC => &[Code::InvalidCredentials],
        _ => &[],
    }
}

/// The names of the security schemes that a route takes.
fn schemes(operation: &Operation) -> Vec<String> {
    let requirements = operation.security.iter().flatten();
    let objects = requirements.filter_map(|requirement| serde_json::to_value(requirement).ok());
    objects
        .filter_map(|object| Some(object.as_object()?.keys().cloned().collect::<Vec<_>>()))
        .flatten()
        .collect()
}
