//! The path to which providers send browsers back.

/// Whether this path is one to which a provider sends a browser back: `/providers/{name}/callback`. By GET as well, such a request
/// changes something, and it comes from a page of the provider.
pub fn is_provider_callback(path: &str) -> bool {
    let name = path.strip_prefix("/providers/").and_then(|below| below.strip_suffix("/callback"));
    name.is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_callbacks_are_meant() {
        assert!(is_provider_callback("/providers/google/callback"));
        for other in ["/providers", "/providers/callback", "/providers//callback", "/providers/a/b/callback"]
        {
            assert!(!is_provider_callback(other), "{other}");
        }
        for other in ["/providers/a/callback/", "/x/providers/a/callback", "/providers/a/callbacks", "/login"]
        {
            assert!(!is_provider_callback(other), "{other}");
        }
    }
}
