//! The `GET` route of ours that changes something, beside a provider's callback. It takes a header that no link can send, and answers no `HEAD`.

/// The path of the route.
const OPEN_SESSION: &str = "/session/open";

/// Whether `GET` on this path changes something.
pub fn is_get_with_effect(path: &str) -> bool {
    path == OPEN_SESSION
}
