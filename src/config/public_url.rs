//! Parses `PUBLIC_URL`: an origin, optionally with a path under which a proxy exposes the service.

use std::net::IpAddr;

use url::{Host, Url};

/// First segments of the service's own paths. PUBLIC_URL's path can't begin with one of them, since requests arrive
/// with and without that path, and would be ambiguous.
pub const OWN_PATHS: [&str; 17] = [
    ".well-known",
    "account",
    "challenges",
    "compare",
    "compare.json",
    "docs",
    "handoff",
    "health",
    "jwt",
    "mail",
    "openapi.json",
    "playground",
    "profile",
    "providers",
    "session",
    "tokens",
    "verify",
];

/// Parses the URL, and removes a trailing slash of its path.
///
/// # Errors
/// What is expected.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    let is_named = |url: &Url| url.host_str().is_some_and(|host| !host.contains('*'));
    let url = Url::parse(text).ok().filter(is_plain).filter(is_named);
    let mut url = url.ok_or_else(|| {
        format!("a URL such as https://auth.example.com or https://example.com/auth, not {text:?}")
    })?;
    let path = url.path().trim_end_matches('/').to_owned();
    if !path.split('/').skip(1).all(is_segment) {
        let expected = "a path of ASCII letters, digits, and the characters - . _ ~ between its slashes";
        return Err(format!("{expected}, not {path:?}"));
    }
    if let Some(own) = path.split('/').nth(1).filter(|first| OWN_PATHS.contains(first)) {
        return Err(format!("a path that does not begin with one of the service's own, /{own}"));
    }
    url.set_path(&path);
    Ok(url)
}

/// Whether it consists only of an http or https scheme, a host, a port and a path.
pub(super) fn is_plain(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
}

/// Whether it consists of unreserved characters, which no proxy re-encodes (RFC 3986, section 2.3).
fn is_segment(segment: &str) -> bool {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    !segment.is_empty() && segment.bytes().all(is_unreserved)
}

/// Whether the host is this machine, by its name or address alone.
pub fn is_loopback<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(name) => name.as_ref() == "localhost" || name.as_ref().ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => IpAddr::from(*address).to_canonical().is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_and_its_last_slash_left_out() {
        for (text, url) in [
            ("https://auth.example.com", "https://auth.example.com/"),
            ("https://example.com/auth", "https://example.com/auth"),
            ("https://example.com/auth/", "https://example.com/auth"),
            ("https://example.com/a/../apps/auth-1.0//", "https://example.com/apps/auth-1.0"),
            ("http://localhost:3000/jwts", "http://localhost:3000/jwts"),
        ] {
            assert_eq!(parse(text).expect(text).as_str(), url);
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for text in [
            "auth.example.com",
            "https://*.example.com",
            "ftp://example.com",
            "https://example.com/auth?x",
            "https://example.com/auth#x",
            "https://ada@example.com/auth",
            "https://example.com//auth",
            "https://example.com/a//b",
            "https://example.com/a%20b",
            "https://example.com/münchen",
            "https://example.com/a;b",
            "https://example.com/a{b}",
            "https://example.com/jwt",
            "https://example.com/challenges",
            "https://example.com/session/of/mine",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
