//! What the API's document says of JWTs in the routes that every mode has.

use crate::auth::RouteDocumentation;

/// The security schemes that an access token comes by.
const ACCESS_TOKEN: &[&str] = &["bearer", "access_token_cookie"];

const ACCESS_TOKEN_OR_REFRESH_COOKIE: &[&str] = &["bearer", "access_token_cookie", "refresh_token_cookie"];

/// The refresh token may be in the body.
const ANY_TOKEN: &[&str] = &["", "bearer", "access_token_cookie", "refresh_token_cookie"];

const CLEARED: Option<&str> = Some("By cookie: clears `access_token` and `refresh_token`.");

pub(super) const ROUTES: &[RouteDocumentation] = &[
    RouteDocumentation {
        credential: Some("JwtBody"),
        set_cookie: Some("By cookie: `access_token` and `refresh_token`."),
        ..RouteDocumentation::new(
            "/login",
            "Sign in with JWTs: by Bearer token, or by cookie.",
            "By cookie with `\"transport\": \"cookie\"`.",
        )
    },
    RouteDocumentation {
        security: ACCESS_TOKEN,
        ..RouteDocumentation::new(
            "/profile",
            "Who is signed in, as the access token says: no look-up.",
            "Takes an access token only. A token with roles that have changed since is refused; a refresh brings the \
             new ones.",
        )
    },
    RouteDocumentation {
        security: ACCESS_TOKEN_OR_REFRESH_COOKIE,
        ..RouteDocumentation::new(
            "/csrf",
            "The CSRF token of the login.",
            "The same that the login answered with, for a page that was loaded anew. The refresh token's cookie will do \
             when the\naccess token has run out.",
        )
    },
    RouteDocumentation {
        security: ANY_TOKEN,
        optional_body: Some("RefreshRequest"),
        set_cookie: CLEARED,
        ..RouteDocumentation::new(
            "/logout",
            "Sign out: end the login, and with it every access token of it.",
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
            "Takes the same credentials as signing out here.",
        )
    },
];
