//! Which URLs a sign-in elsewhere may return to.

use url::Url;

use super::Origins;
use crate::config::{ReturnToPattern, parse_return_to, serialized_origin};

/// The pages of this service, of `ALLOWED_ORIGINS`, and `RETURN_TO`.
#[derive(Clone, Debug)]
pub struct ReturnTo {
    origins: Origins,
    patterns: Vec<ReturnToPattern>,
}

impl ReturnTo {
    /// The pages of these origins, and these patterns.
    pub fn new(origins: Origins, patterns: Vec<ReturnToPattern>) -> Self {
        Self { origins, patterns }
    }

    /// The URL, if a sign-in may return to it. It has no fragment.
    pub fn allowed(&self, text: &str) -> Option<Url> {
        let url = parse_return_to(text)?;
        let origin = serialized_origin(&url);
        let is_of_page = self.origins.own.iter().chain(&self.origins.allowed).any(|ours| *ours == origin);
        (is_of_page || self.patterns.iter().any(|pattern| pattern.matches(&url))).then_some(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn return_to() -> ReturnTo {
        let settings = [
            ("ALLOWED_ORIGINS", "https://app.example.com:8443,capacitor://localhost"),
            ("RETURN_TO", "com.example.app:/callback, http://127.0.0.1/cb,https://example.net/in/*"),
        ];
        let value =
            |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let config = Config::from_vars(value).expect("settings");
        let own = vec!["https://auth.example.com".to_owned()];
        ReturnTo::new(Origins { own, allowed: config.allowed_origins }, config.return_to)
    }

    #[test]
    fn a_sign_in_returns_to_pages_of_ours_and_to_what_is_listed() {
        for allowed in [
            "https://auth.example.com",
            "https://auth.example.com/in?x=y",
            "https://app.example.com:8443/in",
            "capacitor://localhost/in",
            "capacitor://localhost",
            "com.example.app:/callback",
            "http://127.0.0.1:4711/cb",
            "https://example.net/in/here",
        ] {
            assert!(return_to().allowed(allowed).is_some(), "{allowed}");
        }
    }

    #[test]
    fn it_returns_nowhere_else() {
        for refused in [
            "",
            "/",
            "//auth.example.com",
            "//evil.example",
            "https://evil.example",
            "https://auth.example.com.evil.example/",
            "https://auth.example.com@evil.example/",
            "https://auth.example.com:444/",
            "https://auth.example.com:443/",
            "https://auth.example.com./",
            "https://AUTH.example.com/",
            "https://auth.example.com\\@evil.example/",
            "https://auth.example.com/#x",
            "https://auth.example.com/\n",
            "http://auth.example.com/",
            "https://app.example.com/in",
            "https://app.example.com:8444/in",
            "javascript:alert(1)",
            "javascript://auth.example.com/%0aalert(1)",
            "data:text/html,x",
            "capacitor://localhost:1/in",
            "capacitor://evil/in",
            "Capacitor://localhost/in",
            "capacitor:localhost/in",
            "COM.EXAMPLE.APP:/callback",
            "com.example.app:/callback2",
            "blob:https://auth.example.com/x",
            "http://127.0.0.1:4711/other",
            "https://example.net/",
            "https://example.net/in",
        ] {
            assert!(return_to().allowed(refused).is_none(), "{refused}");
        }
    }
}
