//! `RETURN_TO`: where a sign-in by a provider may return to, besides the pages of `PUBLIC_URL` and `ALLOWED_ORIGINS`.

use url::{Host, Url};

/// What a browser runs or shows in place of a page that somebody serves.
const NO_PAGES: [&str; 10] =
    ["javascript", "data", "vbscript", "blob", "file", "filesystem", "about", "view-source", "ws", "wss"];

/// The longest URL, in bytes.
const MOST: usize = 2_048;

/// One of `RETURN_TO`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnToPattern {
    /// A web page's, up to the `*`; else the whole URL.
    url: Url,
    /// Whether it ended in `/*`, and stands for every path below.
    is_prefix: bool,
    /// Whether it is a loopback address without a port, which stands for every port (RFC 8252, section 7.3).
    has_any_port: bool,
}

impl ReturnToPattern {
    /// Reads one.
    ///
    /// # Errors
    /// What is expected.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (written, is_prefix) = match text.strip_suffix('*') {
            Some(prefix) if prefix.ends_with('/') => (prefix, true),
            _ => (text, false),
        };
        let wrong = |expected: &str| Err(format!("{expected}, not {text:?}"));
        let Some(url) = parse_return_to(written) else {
            return wrong(
                "a URL as browsers write it, without user, fragment and, but for a /* at its end, without *",
            );
        };
        if is_prefix && (!is_web(&url) || url.query().is_some()) {
            return wrong("/* only at the end of the path of an http or https URL");
        }
        Ok(Self { has_any_port: is_loopback_address(&url) && url.port().is_none(), url, is_prefix })
    }

    /// Whether it stands for this URL, which [`parse_return_to`] has read.
    pub fn matches(&self, url: &Url) -> bool {
        let mut asked = url.clone();
        if self.has_any_port && is_loopback_address(url) && asked.set_port(None).is_err() {
            return false;
        }
        match self.is_prefix {
            true => asked.origin() == self.url.origin() && is_below(asked.path(), self.url.path()),
            false => asked == self.url,
        }
    }
}

/// Reads a URL to return to: absolute, in the form in which browsers write it (WHATWG URL), so that there is one way to read it, and
/// without user and fragment. A web origin may lack the slash at its end. `None`: it is none.
pub fn parse_return_to(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|_| text.len() <= MOST)?;
    let is_written_so = url.as_str() == text || url.as_str().strip_suffix('/') == Some(text) && is_web(&url);
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let has_target = !is_web(&url) || url.has_host();
    let is_page = !NO_PAGES.contains(&url.scheme()) && !url.as_str().contains('*');
    (is_written_so && is_plain && has_target && is_page).then_some(url)
}

/// The origin of a URL as `ALLOWED_ORIGINS` has it: an app's own scheme, such as `capacitor://localhost`, counts as well.
pub fn serialized_origin(url: &Url) -> String {
    if is_web(url) {
        return url.origin().ascii_serialization();
    }
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

/// By its address: whose `localhost` is may be set (RFC 8252, section 8.3).
fn is_loopback_address(url: &Url) -> bool {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        _ => false,
    };
    address && url.scheme() == "http"
}

/// Some servers take an encoded slash for one, and go up by it.
fn is_below(path: &str, prefix: &str) -> bool {
    let has_encoded_slash = |rest: &str| {
        let rest = rest.to_ascii_lowercase();
        rest.contains("%2f") || rest.contains("%5c")
    };
    path.strip_prefix(prefix).is_some_and(|rest| !has_encoded_slash(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, url: &str) -> bool {
        let pattern = ReturnToPattern::parse(pattern).expect(pattern);
        parse_return_to(url).is_some_and(|url| pattern.matches(&url))
    }

    #[test]
    fn a_url_is_compared_as_it_is_written() {
        for (pattern, same) in [
            ("com.example.app:/callback", "com.example.app:/callback"),
            ("com.example.app://callback", "com.example.app://callback"),
            ("https://app.example.com/callback?x=1", "https://app.example.com/callback?x=1"),
            ("https://app.example.com", "https://app.example.com/"),
            ("https://app.example.com/", "https://app.example.com"),
            ("http://localhost:3000/cb", "http://localhost:3000/cb"),
        ] {
            assert!(matches(pattern, same), "{pattern} {same}");
        }
        for (pattern, other) in [
            ("com.example.app:/callback", "COM.EXAMPLE.APP:/callback"),
            ("com.example.app:/callback", "Com.example.app:/callback"),
            ("com.example.app:/callback", "com.example.app:/Callback"),
            ("com.example.app:/callback", "com.example.app://callback"),
            ("com.example.app:/callback", "com.example.app:/callback/"),
            ("com.example.app:/callback", "com.example.app:/callback?x"),
            ("com.example.app:/callback", "com.example.app:/callback#x"),
            ("com.example.app:/callback", "com.example.app.evil:/callback"),
            ("https://app.example.com/cb", "https://app.example.com/cb/"),
            ("https://app.example.com/cb", "https://app.example.com/cb?x"),
            ("https://app.example.com/cb", "https://app.example.com/cb#"),
            ("https://app.example.com/cb", "https://app.example.com:443/cb"),
            ("https://app.example.com/cb", "https://app.example.com:8443/cb"),
            ("https://app.example.com/cb", "http://app.example.com/cb"),
            ("https://app.example.com/cb", "https://app.example.com./cb"),
            ("https://app.example.com/cb", "https://App.example.com/cb"),
            ("https://app.example.com/cb", "https://ada@app.example.com/cb"),
            ("https://app.example.com/cb", "//app.example.com/cb"),
            ("https://app.example.com/cb", "/cb"),
            ("https://app.example.com/cb", "https:app.example.com/cb"),
            ("https://app.example.com/cb", "https:///app.example.com/cb"),
            ("https://app.example.com/cb", "https:\\\\app.example.com\\cb"),
            ("https://app.example.com/cb", "https://app.example.com/x/../cb"),
            ("https://app.example.com/cb", " https://app.example.com/cb"),
            ("https://app.example.com/cb", "https://app.example.com/c\tb"),
            ("https://app.example.com/cb", "https://app.example.com/cb\n"),
            ("http://localhost:3000/cb", "http://localhost:3001/cb"),
            ("http://localhost/cb", "http://localhost:3001/cb"),
        ] {
            assert!(!matches(pattern, other), "{pattern} {other}");
        }
    }

    #[test]
    fn a_loopback_address_without_a_port_stands_for_every_port() {
        for (pattern, same) in [
            ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1/cb"),
            ("http://[::1]/cb", "http://[::1]:51004/cb"),
            ("http://127.0.0.1:8000/cb", "http://127.0.0.1:8000/cb"),
            ("http://127.0.0.1/app/*", "http://127.0.0.1:51004/app/cb"),
        ] {
            assert!(matches(pattern, same), "{pattern} {same}");
        }
        for (pattern, other) in [
            ("http://127.0.0.1/cb", "http://127.0.0.1:51004/other"),
            ("http://127.0.0.1/cb", "http://127.0.0.2:51004/cb"),
            ("http://127.0.0.1/cb", "http://[::1]:51004/cb"),
            ("http://127.0.0.1/cb", "http://localhost:51004/cb"),
            ("http://127.0.0.1/cb", "https://127.0.0.1:51004/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1.evil.example:51004/cb"),
            ("http://127.0.0.1/cb", "http://2130706433:51004/cb"),
            ("http://127.0.0.1:8000/cb", "http://127.0.0.1:8001/cb"),
            ("http://192.168.0.2/cb", "http://192.168.0.2:8001/cb"),
        ] {
            assert!(!matches(pattern, other), "{pattern} {other}");
        }
    }

    #[test]
    fn a_prefix_stands_for_the_paths_below_it() {
        let pattern = "https://app.example.com/cb/*";
        for below in ["", "x", "x/y", "x?a=b", "?a=b"] {
            assert!(matches(pattern, &format!("https://app.example.com/cb/{below}")), "{below}");
        }
        assert!(matches("https://app.example.com/*", "https://app.example.com"));
        for other in [
            "https://app.example.com/cb",
            "https://app.example.com/cbx/y",
            "https://app.example.com/cb/../admin",
            "https://app.example.com/cb/%2e%2e/admin",
            "https://app.example.com/cb/..%2fadmin",
            "https://app.example.com/cb/..%5Cadmin",
            "https://app.example.com/cb/x#y",
            "https://app.example.com:8443/cb/x",
            "https://app.example.com.evil.example/cb/x",
            "https://app.example.com@evil.example/cb/x",
            "https://evil.example/cb/x",
            "http://app.example.com/cb/x",
        ] {
            assert!(!matches(pattern, other), "{other}");
        }
    }

    #[test]
    fn what_could_lead_anywhere_is_refused() {
        for wrong in [
            "*",
            "/*",
            "https://*",
            "https://*.example.com/cb",
            "https://app.example.com*",
            "https://app.example.com/cb*",
            "https://app.example.com/cb?x=/*",
            "com.example.app:/*",
            "javascript:alert(1)",
            "javascript://app.example.com/%0aalert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "blob:https://app.example.com/x",
            "https://app.example.com/cb#x",
            "https://ada@app.example.com/cb",
            "App.Example.com/cb",
            "//app.example.com/cb",
            "COM.EXAMPLE.APP:/callback",
            "https://App.example.com/cb",
        ] {
            let told = ReturnToPattern::parse(wrong).expect_err(wrong);
            assert!(told.contains(&format!("{wrong:?}")), "{told}");
        }
        let long = format!("https://app.example.com/{}", "a".repeat(MOST));
        assert!(ReturnToPattern::parse(&long).is_err());
    }
}
