//! What the API's document says of sessions in the routes that every mode has.

use crate::auth::RouteDocumentation;

/// The security schemes that a session comes by.
const SESSION: &[&str] = &["bearer", "session_cookie"];

const CLEARED: Option<&str> = Some("By cookie: clears `sessionid`.");

pub(super) const ROUTES: &[RouteDocumentation] = &[
    RouteDocumentation {
        credential: Some("SessionBody"),
        set_cookie: Some("By cookie: `sessionid`."),
        ..RouteDocumentation::new(
            "/login",
            "Sign in with a session: by cookie, or by Bearer token.",
            "By Bearer token with `\"transport\": \"bearer\"`.",
        )
    },
    RouteDocumentation {
        security: SESSION,
        ..RouteDocumentation::new(
            "/profile",
            "Who is signed in.",
            "Takes a session only. What it says is as of now: roles that were given or taken show at once.",
        )
    },
    RouteDocumentation {
        security: SESSION,
        ..RouteDocumentation::new(
            "/csrf",
            "The CSRF token of the session.",
            "The same that the login answered with, for a page that was loaded anew.",
        )
    },
    RouteDocumentation {
        security: SESSION,
        set_cookie: CLEARED,
        ..RouteDocumentation::new(
            "/logout",
            "Sign out: end the login.",
            "Every id of it, replaced ones included, is dead then, on every node.",
        )
    },
    RouteDocumentation {
        security: SESSION,
        set_cookie: CLEARED,
        ..RouteDocumentation::new(
            "/logout-all",
            "Sign out everywhere: end every login of the user, in both modes.",
            "This one is ended, too.",
        )
    },
];
