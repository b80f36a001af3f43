//! Forward authentication: a proxy asks about a request to somewhere else, with that request's method, path and headers.

/// Where proxies ask, here and below.
pub const VERIFY: &str = "/verify";

/// Whether a request to this path is such a question. What it says besides its credential was meant for somebody else:
/// none of the rules on methods, origins, CSRF, CORS, bodies and types is about it.
pub fn is_forward_auth(path: &str) -> bool {
    path.strip_prefix(VERIFY).is_some_and(|below| below.is_empty() || below.starts_with('/'))
}
