//! Parses the origins in `ALLOWED_ORIGINS`: `scheme://host[:port]` with any scheme, as browsers send them in
//! `Origin`.

use url::Url;

/// Serializes an origin like browsers (RFC 6454, section 6.2): scheme and host in lower case, without the default
/// port.
///
/// # Errors
/// What is expected instead.
pub(super) fn parse(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return wrong("each origin by its name: there is no wildcard", text);
    }
    if text == "null" {
        return wrong("origins that have a name: null is that of every sandboxed frame and local file", text);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return wrong("scheme://host[:port], such as https://app.example.com", text);
    };
    if !is_scheme(scheme) {
        return wrong("scheme://host[:port] without quotes, such as https://app.example.com", text);
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#', '@', '\\']) {
        return wrong("scheme://host[:port] alone: an origin has no path, query or user", text);
    }
    let scheme = scheme.to_ascii_lowercase();
    let parsed = match scheme.as_str() {
        "http" | "https" => of_web(&scheme, authority),
        _ => of_app(&scheme, authority),
    };
    parsed.ok_or(()).or_else(|()| wrong("a host, and a port if there is one, after ://", text))
}

fn wrong(expected: &str, text: &str) -> Result<String, String> {
    Err(format!("{expected}, not {text:?}"))
}

/// Whether it is a scheme (RFC 3986, section 3.1).
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

fn of_web(scheme: &str, authority: &str) -> Option<String> {
    let url = Url::parse(&format!("{scheme}://{authority}")).ok()?;
    Some(url.origin().ascii_serialization())
}

/// An origin with an app's own scheme, such as `capacitor://localhost` or `app://-`, whose host is only a name.
fn of_app(scheme: &str, authority: &str) -> Option<String> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse::<u16>().ok()?)),
        None => (authority, None),
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    if host.is_empty() || !host.bytes().all(is_name) {
        return None;
    }
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{scheme}://{}{port}", host.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (written, serialised) in [
            ("https://app.example.com", "https://app.example.com"),
            ("HTTPS://App.Example.COM/", "https://app.example.com"),
            ("https://app.example.com:443", "https://app.example.com"),
            ("http://localhost:80", "http://localhost"),
            ("https://app.example.com:8443", "https://app.example.com:8443"),
            ("http://[::1]:5173", "http://[::1]:5173"),
            ("https://münchen.example", "https://xn--mnchen-3ya.example"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("Ionic://LocalHost/", "ionic://localhost"),
            ("tauri://localhost", "tauri://localhost"),
            ("app://-", "app://-"),
            ("app://localhost:3000", "app://localhost:3000"),
            (
                "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb",
                "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb",
            ),
            (
                "moz-extension://6a0f5ea0-1d3f-4f0c-9c4e-2b7d1f0e9a11",
                "moz-extension://6a0f5ea0-1d3f-4f0c-9c4e-2b7d1f0e9a11",
            ),
            ("vscode-webview://1rq2kjh5b6vd", "vscode-webview://1rq2kjh5b6vd"),
            ("com.example.app://oauth", "com.example.app://oauth"),
        ] {
            assert_eq!(parse(written).as_deref(), Ok(serialised), "{written}");
        }
    }

    #[test]
    fn what_no_browser_sends_is_refused_by_name() {
        for (text, told) in [
            ("*", "wildcard"),
            ("https://*.example.com", "wildcard"),
            ("capacitor://*", "wildcard"),
            ("null", "null"),
            ("app.example.com", "scheme://"),
            ("localhost:5173", "scheme://"),
            ("https:app.example.com", "scheme://"),
            ("\"https://app.example.com\"", "quotes"),
            ("blob:https://app.example.com", "quotes"),
            ("https://app.example.com/login", "path"),
            ("https://app.example.com//", "path"),
            ("https://app.example.com?x", "path"),
            ("https://app.example.com#x", "path"),
            ("https://ada@app.example.com", "user"),
            ("capacitor://localhost/x", "path"),
            ("https://", "host"),
            ("file://", "host"),
            ("app://", "host"),
            ("app://:80", "host"),
            ("app://x:port", "host"),
            ("app://a b", "host"),
            ("https://a https://b", "path"),
            ("https://app.example.com:99999", "host"),
            ("app://ä", "host"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(told) && error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
