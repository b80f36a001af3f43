//! The path of PUBLIC_URL, under which clients see the service: stripped from a request's path before routing.

use actix_web::dev::ServiceRequest;
use actix_web::http::Uri;
use actix_web::http::uri::PathAndQuery;

/// Prefix of well-known URIs, which precedes the base path (RFC 8414, section 3.1).
const WELL_KNOWN: &str = "/.well-known/";

/// A path such as `/auth`, without a trailing slash.
#[derive(Clone, Debug)]
pub struct BasePath(String);

impl BasePath {
    /// `None` when the service is at the root of its host.
    pub fn new(path: &str) -> Option<Self> {
        (!path.is_empty()).then(|| Self(path.to_owned()))
    }

    /// Strips the base path from the request, unless a proxy has done so already.
    pub fn strip(&self, request: &mut ServiceRequest) {
        let Some(path) = self.without(request.path()) else { return };
        let Some(uri) = with_path(request.uri(), &path) else { return };
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
    }

    /// The path without the base path, which must match whole segments literally. `None` when it does not start with
    /// it.
    fn without(&self, path: &str) -> Option<String> {
        let after = path.strip_prefix(&self.0);
        match after {
            Some("") => Some("/".to_owned()),
            Some(after) if after.starts_with('/') => Some(after.to_owned()),
            _ => {
                let before = path.strip_prefix(WELL_KNOWN)?.strip_suffix(&self.0)?;
                Some(format!("{WELL_KNOWN}{before}"))
            }
        }
    }
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(base: &str, path: &str) -> Option<String> {
        BasePath::new(base).expect("a path").without(path)
    }

    #[test]
    fn a_path_is_taken_off_by_whole_segments_and_once() {
        for (path, rest) in [
            ("/auth/session/login", "/session/login"),
            ("/auth/", "/"),
            ("/auth", "/"),
            ("/auth/auth/profile", "/auth/profile"),
            ("/auth//profile", "//profile"),
            ("/auth/../profile", "/../profile"),
            ("/auth/%2e%2e/profile", "/%2e%2e/profile"),
            ("/.well-known/oauth-authorization-server/auth", "/.well-known/oauth-authorization-server"),
            ("/auth/.well-known/jwks.json", "/.well-known/jwks.json"),
        ] {
            assert_eq!(without("/auth", path).as_deref(), Some(rest), "{path}");
        }
        for path in [
            "/authx",
            "/authx/profile",
            "/Auth/profile",
            "/%61uth/profile",
            "//auth/profile",
            "/profile",
            "/",
            "/profile/auth",
            "/.well-known/jwks.json",
            "*",
        ] {
            assert_eq!(without("/auth", path), None, "{path}");
        }
        assert_eq!(without("/a/b", "/a/b/profile").as_deref(), Some("/profile"));
        assert_eq!(without("/a/b", "/a/profile"), None);
    }

    #[test]
    fn the_rest_of_the_address_stays() {
        let uri = |text: &str| text.parse::<Uri>().expect("a URI");
        assert_eq!(with_path(&uri("/auth/x?a=/auth/b&c"), "/x"), Some(uri("/x?a=/auth/b&c")));
        assert_eq!(with_path(&uri("http://h:1/auth/x?"), "/x"), Some(uri("http://h:1/x?")));
        assert_eq!(with_path(&uri("/auth"), "/"), Some(uri("/")));
    }
}
