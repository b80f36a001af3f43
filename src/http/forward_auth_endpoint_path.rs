//! The path of forward authentication: a reverse proxy asks whether to let a request through, and forwards its method, path and
//! headers.

/// The path for such requests; the original path may be appended.
pub const VERIFY: &str = "/verify";

/// Whether this path is one for forward authentication. Apart from the credential, such a request was meant for
/// another server, so the rules on methods, origins, CSRF, CORS, bodies and content types do not apply.
pub fn is_forward_auth(path: &str) -> bool {
    path.strip_prefix(VERIFY).is_some_and(|below| below.is_empty() || below.starts_with('/'))
}
