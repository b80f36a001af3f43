//! OpenAPI documentation of the common routes in the JWT mode.

use crate::auth::RouteDocumentation;

/// The security schemes of an access token.
const ACCESS_TOKEN: &[&str] = &["bearer", "access_token_cookie"];

const ACCESS_TOKEN_OR_REFRESH_COOKIE: &[&str] = &["bearer", "access_token_cookie", "refresh_token_cookie"];

/// Every token of the mode. The empty scheme stands for a refresh token in the body.
const ANY_TOKEN: &[&str] = &["", "bearer", "access_token_cookie", "refresh_token_cookie"];

const CLEARED: Option<&str> = Some("By cookie: clears `access_token` and `refresh_token`.");

pub(super) const ROUTES: &[RouteDocumentation] = &[
    RouteDocumentation {
        credential: Some("JwtBody"),
        set_cookie: Some("By cookie: `access_token` and `refresh_token`."),
        ..RouteDocumentation::new(
            "/login",
            "Sign in with JWTs: by Bearer token, or by cookie.",
            "By cookie with `\"transport\": \"cookie\"`. With two-step sign-in, the answer to the first step is `second_factor_required`, with a `challenge`: send it here, or to the other mode's route, with a `code` of the authenticator, a recovery code, or a `passkey`. A passkey alone, or a provider's `code`, signs in with a [challenge](#/account/create_challenge) for `login`.",
        )
    },
    RouteDocumentation {
        security: ACCESS_TOKEN,
        credential: Some("JwtBody"),
        set_cookie: Some("By cookie: `access_token` and `refresh_token`."),
        ..RouteDocumentation::new(
            "/step-up",
            "Step up: authenticate again for the same login.",
            "The same login continues with a new credential and a new `auth_time`. The proof is the password, a code, or, with a [challenge](#/account/create_challenge) for `step_up`, a passkey or security key, or a provider's `code`. By Bearer token, the one in the answer replaces it (in Swagger UI: under Authorize). Takes the access token. Every earlier refresh token is invalid at once, without a grace. Attempts are limited per account, together with those to change the password.",
        )
    },
    RouteDocumentation {
        security: ACCESS_TOKEN,
        ..RouteDocumentation::new(
            "/profile",
            "The signed-in user, from the access token's claims, without a look-up.",
            "Takes an access token only. A token whose roles have changed since is refused; a refresh brings the new \
             ones.",
        )
    },
    RouteDocumentation {
        security: ACCESS_TOKEN_OR_REFRESH_COOKIE,
        ..RouteDocumentation::new(
            "/csrf",
            "The CSRF token of the login.",
            "The same token as in the login's response, for a page that was reloaded. If the access token has expired, \
             the refresh\ntoken's cookie is accepted instead.",
        )
    },
    RouteDocumentation {
        security: ANY_TOKEN,
        optional_body: Some("RefreshRequest"),
        set_cookie: CLEARED,
        ..RouteDocumentation::new(
            "/logout",
            "Sign out: end the login and revoke its access tokens.",
            "Takes the access token or, when there is none or it has expired, the refresh token from the body or its \
             cookie.",
        )
    },
    RouteDocumentation {
        security: ANY_TOKEN,
        optional_body: Some("RefreshRequest"),
        set_cookie: CLEARED,
        ..RouteDocumentation::new(
            "/logout-all",
            "Sign out everywhere: end every login of the user, in both modes.",
            "Takes the same credentials as `logout`.",
        )
    },
];
