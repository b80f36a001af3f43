//! OpenAPI documentation of the common routes in the session mode.

use crate::auth::RouteDocumentation;

/// The security schemes of a session.
const SESSION: &[&str] = &["bearer", "session_cookie"];

const CLEARED: Option<&str> = Some("By cookie: clears `sessionid`.");

pub(super) const ROUTES: &[RouteDocumentation] = &[
    RouteDocumentation {
        credential: Some("SessionBody"),
        set_cookie: Some("By cookie: `sessionid`."),
        ..RouteDocumentation::new(
            "/login",
            "Sign in with a session: by cookie, or by Bearer token.",
            "By Bearer token with `\"transport\": \"bearer\"`. With two-step sign-in, the answer to the first step is `second_factor_required`, with a `challenge`: send it here, or to the other mode's route, with a `code` of the authenticator, a recovery code, or a `passkey`. A passkey alone, or a provider's `code`, signs in with a [challenge](#/account/create_challenge) for `login`.",
        )
    },
    RouteDocumentation {
        security: SESSION,
        credential: Some("SessionBody"),
        set_cookie: Some("By cookie: `sessionid`, with the new id."),
        ..RouteDocumentation::new(
            "/step-up",
            "Step up: authenticate again for the same login.",
            "The same login continues with a new session id and a new `auth_time`. The proof is the password, a code, or, with a [challenge](#/account/create_challenge) for `step_up`, a passkey or security key, or a provider's `code`. By Bearer token, the one in the answer replaces it (in Swagger UI: under Authorize). Every earlier id is invalid at once, on every node, without a grace. Attempts are limited per account, together with those to change the password.",
        )
    },
    RouteDocumentation {
        security: SESSION,
        ..RouteDocumentation::new(
            "/profile",
            "The signed-in user.",
            "Takes a session only. The answer is current: changed roles show at once.",
        )
    },
    RouteDocumentation {
        security: SESSION,
        ..RouteDocumentation::new(
            "/csrf",
            "The CSRF token of the session.",
            "The same token as in the login's response, for a page that was reloaded.",
        )
    },
    RouteDocumentation {
        security: SESSION,
        set_cookie: CLEARED,
        ..RouteDocumentation::new(
            "/logout",
            "Sign out: end the login.",
            "Every session id of the login, replaced ones included, is invalid then, on every node.",
        )
    },
    RouteDocumentation {
        security: SESSION,
        set_cookie: CLEARED,
        ..RouteDocumentation::new(
            "/logout-all",
            "Sign out everywhere: end every login of the user, in both modes.",
            "This login ends, too.",
        )
    },
];
